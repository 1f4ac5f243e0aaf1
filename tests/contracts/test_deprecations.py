"""Removals are announced in time, written down, and carried out when they are due."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path

import pytest

from deploybench import __version__, contracts
from deploybench.artifacts.artifact import Manifest
from deploybench.contracts.deprecations import DEPRECATIONS, Deprecation, due
from deploybench.contracts.registry import EXPORTERS, RUNNERS
from deploybench.models.source import GROUP
from deploybench.results.record import Record
from deploybench.scenarios.record import ScenarioRecord

ROOT = Path(__file__).parents[2]
PROMISED = {
    "INPUT_NAME",
    "OUTPUT_NAME",
    "PRECISIONS",
    "Arrays",
    "Bound",
    "ExportSpec",
    "ExportedFiles",
    "Exporter",
    "Plugin",
    "RunOptions",
    "Runner",
    "Session",
    "SessionFacts",
}
"""What a plug-in may import from ``deploybench.contracts``. A name leaves this set only after its
entry in the table was due."""


def test_nothing_is_left_that_this_version_should_have_removed() -> None:
    overdue = due(DEPRECATIONS, __version__)
    assert overdue == [], "remove each with its entry in deploybench/contracts/deprecations.py"


def test_every_deprecation_is_announced_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert [entry.name for entry in DEPRECATIONS if f"`{entry.name}`" not in changelog] == []


def test_every_promised_name_can_be_imported_from_the_contracts() -> None:
    assert set(contracts.__all__) >= PROMISED
    assert all(hasattr(contracts, name) for name in PROMISED)


def test_entry_point_groups_are_those_that_others_wrote_into_their_packages() -> None:
    groups = (EXPORTERS, RUNNERS, GROUP)
    assert groups == ("deploybench.exporters", "deploybench.runners", "deploybench.models")
    assert all(entry_points(group=group) for group in groups)


def test_schema_versions_are_those_that_lie_on_disks() -> None:
    versions = [kind.model_fields["schema_version"].default for kind in (Manifest, Record)]
    assert [*versions, ScenarioRecord.model_fields["schema_version"].default] == [1, 4, 1]


@pytest.mark.parametrize(
    ("version", "is_due"),
    [("0.1.0", False), ("0.2.9", False), ("0.3.0.dev1", True), ("0.3.0", True), ("1.0.0", True)],
)
def test_removal_is_due_from_its_version_on_and_in_its_pre_releases(
    version: str, is_due: bool
) -> None:
    entry = Deprecation("run --old", announced="0.1.0", removed="0.3.0", instead="run --new")
    assert due([entry], version) == ([entry] if is_due else [])


@pytest.mark.parametrize("removed", ["0.1.0", "0.1.5", "0.2.0"])
def test_removal_before_two_minor_versions_is_refused(removed: str) -> None:
    with pytest.raises(ValueError, match="expected 2 minor versions"):
        Deprecation("run --old", announced="0.1.0", removed=removed, instead="run --new")


def test_next_major_version_may_remove_what_the_last_minor_one_announced() -> None:
    Deprecation("run --old", announced="0.9.0", removed="1.0.0", instead="run --new")


def test_warning_names_the_thing_the_version_and_what_to_write_instead() -> None:
    entry = Deprecation("run --old", announced="0.1.0", removed="0.3.0", instead="run --new")

    def old() -> None:
        entry.warn()

    with pytest.warns(DeprecationWarning, match=r"run --old .* 0\.3\.0: run --new") as caught:
        old()
    assert caught[0].filename == __file__
