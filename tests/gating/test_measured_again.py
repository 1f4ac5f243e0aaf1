"""A gate whose baseline's records lie in a revision or a bucket, and that measures both artifacts
again: with real runs of a small real model."""

from __future__ import annotations

import json
from itertools import chain
from pathlib import Path

import pytest

from deploybench.archive.places import place_of
from deploybench.artifacts.workspace import MEASURED_AGAIN, Workspace
from deploybench.gating.keeping import keep_baseline
from deploybench.results.record import Record
from deploybench.results.store import read_records, write_record
from tests.archive.object_store import bucket
from tests.artifacts.workspaces import ONNX, add_copy, kept_workspace
from tests.conftest import Cli, rewrite_manifest
from tests.gating.stores import git, repository

NEW, NEW_KEY = "onnx-fp32-dynamic-ffffffff", "f" * 64
LATER = "20990101-000000-ffff"
QUICK = ("-r", "onnxruntime", "--threads", "1", "--rounds", "1", "--duration", "20ms")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An artifact and a later export of the same model, which has another key."""
    workspace = kept_workspace(tmp_path / "workspace", ONNX)
    rewrite_manifest(workspace.artifacts_folder / ONNX)
    add_copy(workspace, ONNX, NEW, key=NEW_KEY)
    return workspace


def both_sides(workspace: Workspace, cli: Cli) -> tuple[Record, Record]:
    """The records of a real run of both artifacts; that of the later one as of a later run."""
    # Named, as otherwise the newest artifact of a cell alone is measured.
    both = [("--artifact", artifact.path) for artifact in workspace.artifacts()]
    done = cli("run", "-w", workspace.root, *chain(*both), *QUICK, "--no-canary")
    assert done.returncode == 0, done.stderr
    records = read_records(workspace.records_folder)
    (before,) = [record for record in records if record.cell.artifact_key != NEW_KEY]
    (after,) = [record for record in records if record.cell.artifact_key == NEW_KEY]
    return before, after.replaced(run=LATER)


@pytest.mark.measures
def test_baseline_of_a_revision_and_of_a_bucket_is_measured_again_with_what_is_at_hand(
    workspace: Workspace, tmp_path: Path, cli_here: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The records alone come from there: their artifact is found in the workspace by its key."""
    before, after = both_sides(workspace, cli_here)
    write_record(after.sealed(), workspace.records_folder / LATER)
    folder = repository(tmp_path / "repository")
    with bucket("again") as url:
        for place in (str(folder / "speed"), f"{url}/main"):
            keep_baseline([before], place_of(place), workspace.root, with_artifacts=False)
        git(folder, "add", ".")
        git(folder, "commit", "-qm", "baseline")
        for number, baseline in enumerate(("git:HEAD:speed", f"{url}/main"), start=1):
            asked = ("gate", LATER, "-w", workspace.root, "--baseline", baseline, "--json")
            done = cli_here(*asked, "--rerun-baseline", "--budget", "4s", cwd=folder)
            assert done.returncode in (0, 1, 3), done.stderr
            (row,) = json.loads(done.stdout)
            assert row["paired"] is True, row
            assert "both artifacts were measured again" in row["notes"]
            runs = sorted((workspace.root / MEASURED_AGAIN / "records").iterdir())
            assert len(runs) == number
            measured = {record.cell.artifact_key for record in read_records(runs[-1])}
            assert measured == {before.cell.artifact_key, NEW_KEY}
