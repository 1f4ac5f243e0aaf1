"""A gate that measures: which artifacts are measured again beside each other, and what is judged
where that cannot be done."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploybench.analysis.comparison import Comparison, Status
from deploybench.analysis.gate import Outcome, check_rows
from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.artifacts.workspace import MEASURED_AGAIN, Workspace
from deploybench.contracts.registry import runner
from deploybench.errors import DeployBenchError
from deploybench.hardware.host import Host
from deploybench.plan.cells import Selection, plan_cells
from deploybench.results.record import Record
from deploybench.results.store import read_records, write_record
from deploybench.runs import again
from deploybench.runs.again import AgainRequest, compare_again
from deploybench.runs.records import keep
from deploybench.runs.request import RunRequest, RunResult
from deploybench.runs.settings import RunContext
from tests.artifacts.workspaces import MODEL, ONNX, add_copy, kept_workspace
from tests.comparisons import host, launch, record
from tests.conftest import Cli, rewrite_manifest, run_here

STEADY = [10.0, 10.01, 9.99, 10.005, 9.995, 10.002]
NEW_KEY = "f" * 64


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """An artifact and a later one of the same cell."""
    workspace = kept_workspace(tmp_path / "workspace", ONNX)
    add_copy(workspace, ONNX, "onnx-fp32-dynamic-ffffffff", key=NEW_KEY)
    return workspace


def both(workspace: Workspace) -> tuple[Artifact, Artifact]:
    old, new = sorted(workspace.artifacts(), key=lambda item: item.manifest.key == NEW_KEY)
    return old, new


def here(**changes: object) -> Host:
    return host(hostname=platform.node(), **changes)


def record_of(
    artifact: Artifact, factor: float, run: str, /, *, machine: Host | None = None, **changes: Any
) -> Record:
    """A record of the artifact on ONNX Runtime, as a run on this machine would have written it."""
    selection = Selection([runner("onnxruntime")], [1], (), 2)
    (planned,) = plan_cells([artifact], selection, None)
    asked = {name: getattr(planned.cell, name) for name in type(planned.cell).model_fields}
    versions = changes.pop("versions", None)
    return record(
        [factor * ms for ms in STEADY],
        run,
        machine=machine or here(),
        versions=versions,
        **{**asked, **changes},
    )


class Runs:
    """Stands in for ``carry_out``: every artifact takes the time that it is given."""

    def __init__(self, factors: dict[str, float], folder: Path) -> None:
        self.factors = factors
        self.folder = folder
        self.asked: list[RunRequest] = []

    def __call__(self, request: RunRequest, on_event: object = None) -> RunResult:
        self.asked.append(request)
        records = []
        for path in request.artifacts:
            artifact = open_artifact(path)
            made = record_of(artifact, self.factors[artifact.manifest.key], "again")
            if request.only is None or request.only(made.cell):
                records.append(made)
        return RunResult("again", self.folder, tuple(records))


@pytest.fixture
def runs(workspace: Workspace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    """In the new run the candidate is 2 % slower."""
    old, _ = both(workspace)
    made = Runs({old.manifest.key: 1.0, NEW_KEY: 1.02}, tmp_path / "again")
    monkeypatch.setattr(again, "carry_out", made)
    return made


def only(rows: list[Comparison]) -> Comparison:
    (row,) = rows
    return row


def test_both_artifacts_are_measured_in_one_run_and_their_ratio_is_paired(
    workspace: Workspace, runs: Runs
) -> None:
    old, new = both(workspace)
    sides = [record_of(old, 1.0, "before")], [record_of(new, 1.5, "after")]
    row = only(compare_again(*sides, AgainRequest(workspace=workspace.root, budget_s=7)))

    assert row.ratio is not None
    assert row.ratio.paired
    assert row.ratio.value == pytest.approx(1 / 1.02, rel=1e-3)
    assert [check.outcome for check in check_rows([row], 0.05)] == [Outcome.PASS]
    assert [check.outcome for check in check_rows([row], 0.01)] == [Outcome.REGRESSION]
    assert "both artifacts were measured again" in row.notes[0]
    (asked,) = runs.asked
    assert set(asked.artifacts) == {old.path, new.path}
    assert (asked.runners, asked.threads, asked.budget_s) == (["onnxruntime"], 2, 7)
    assert asked.workspace == workspace.root / MEASURED_AGAIN, "or it would be the latest run"


def gone(workspace: Workspace) -> dict[str, Any]:
    """The baseline's artifact was deleted."""
    return {"artifact_key": "0" * 64, "artifact": str(workspace.root / "gone")}


@pytest.mark.parametrize(
    ("old_changes", "new_changes", "words"),
    [
        (gone, {}, "the baseline's artifact (00000000) is not at hand"),
        ({}, gone, "the candidate's artifact (00000000) is not at hand"),
        ({"versions": {"onnxruntime": "1"}}, {}, "onnxruntime 1 → 1.30 is in no artifact"),
        ({}, {"machine": host(hostname="there")}, "the candidate was measured on there"),
        ({"machine": host(hostname="there")}, {}, None),
        ({"machine": here(versions={"deploybench": "0"})}, {}, None),
    ],
)
def test_what_cannot_be_told_by_two_artifacts_here_is_judged_by_the_records_and_says_why(
    old_changes: dict[str, Any] | Callable[[Workspace], dict[str, Any]],
    new_changes: dict[str, Any] | Callable[[Workspace], dict[str, Any]],
    words: str | None,
    workspace: Workspace,
    runs: Runs,
) -> None:
    old, new = both(workspace)
    changes = [
        given(workspace) if callable(given) else given for given in (old_changes, new_changes)
    ]
    sides = (
        [record_of(old, 1.0, "before", **changes[0])],
        [record_of(new, 1.5, "after", **changes[1])],
    )
    request = AgainRequest(workspace=workspace.root)
    row = only(compare_again(*sides, request, allowed=["host", "version"]))
    assert row.ratio is not None
    assert row.ratio.paired is (words is None)
    if words is None:
        assert runs.asked
    else:
        assert words in " ".join(row.notes)
        assert row.notes[0].startswith("on the records: ")
        assert not runs.asked


def test_one_artifact_on_both_sides_is_not_measured_against_itself(
    workspace: Workspace, runs: Runs
) -> None:
    old, _ = both(workspace)
    sides = [record_of(old, 1.0, "before")], [record_of(old, 1.0, "after")]
    row = only(compare_again(*sides, AgainRequest(workspace=workspace.root)))
    assert "both sides are one artifact" in row.notes[0]
    assert not runs.asked


def test_library_that_changed_is_said_to_be_in_no_ratio_where_the_user_insists(
    workspace: Workspace, runs: Runs
) -> None:
    old, new = both(workspace)
    sides = (
        [record_of(old, 1.0, "before", versions={"onnxruntime": "1"})],
        [record_of(new, 1.0, "after")],
    )
    row = only(compare_again(*sides, AgainRequest(workspace=workspace.root, insist=True)))
    assert row.ratio is not None
    assert row.ratio.paired
    assert "onnxruntime 1 → 1.30 is in no ratio" in " ".join(row.notes)


def test_unlike_rows_are_refused_and_not_measured(workspace: Workspace, runs: Runs) -> None:
    old, new = both(workspace)
    sides = [record_of(old, 1.0, "before")], [record_of(new, 1.0, "after", batch=8)]
    row = only(compare_again(*sides, AgainRequest(workspace=workspace.root)))
    assert row.status is Status.UNLIKE
    assert not runs.asked


def test_artifact_is_found_beside_the_baseline_s_records_and_by_name(
    workspace: Workspace, runs: Runs, tmp_path: Path
) -> None:
    old, new = both(workspace)
    kept = tmp_path / "baseline" / "artifacts" / "model"
    kept.mkdir(parents=True)
    moved = old.path.rename(kept / "old")
    sides = [record_of(old, 1.0, "before")], [record_of(new, 1.0, "after")]
    for request in (
        AgainRequest(workspace=workspace.root, beside_baseline=[open_artifact(moved)]),
        AgainRequest(workspace=workspace.root, baseline_artifacts=[moved]),
    ):
        row = only(compare_again(*sides, request))
        assert row.ratio is not None
        assert row.ratio.paired
        assert moved in runs.asked[-1].artifacts


def test_copy_of_the_candidate_does_not_stand_for_the_baseline_s_files(
    workspace: Workspace, runs: Runs, tmp_path: Path
) -> None:
    """Two exports of one key need not have the same files, and the baseline's were not seen."""
    old, _ = both(workspace)
    copied = open_artifact(shutil.copytree(old.path, tmp_path / "beside" / old.path.name))
    sides = [record_of(old, 1.0, "before")], [record_of(old, 1.0, "after")]
    request = AgainRequest(workspace=workspace.root, insist=True)
    row = only(compare_again(*sides, replace(request, beside_candidate=[copied])))
    assert row.status is not Status.SAME_FILES
    row = only(compare_again(*sides, replace(request, beside_baseline=[copied])))
    assert row.status is Status.SAME_FILES
    assert not runs.asked


def test_exports_of_one_key_that_lie_beside_their_records_are_measured_where_they_differ(
    workspace: Workspace, runs: Runs, tmp_path: Path
) -> None:
    old, _ = both(workspace)
    sides = [record_of(old, 1.0, "before")], [record_of(old, 1.0, "after")]
    first = shutil.copytree(old.path, tmp_path / "first" / old.path.name)
    second = shutil.copytree(old.path, tmp_path / "second" / old.path.name)
    files = [
        file.replaced(sha256="0" * 64) if file.path.endswith(".onnx") else file
        for file in old.manifest.files
    ]
    rewrite_manifest(second, files=tuple(files))
    shutil.rmtree(old.path)
    request = AgainRequest(
        workspace=workspace.root,
        beside_baseline=[open_artifact(first)],
        beside_candidate=[open_artifact(second)],
        insist=True,
    )
    row = only(compare_again(*sides, request))
    assert row.ratio is not None
    assert row.ratio.paired
    assert runs.asked[0].artifacts == [first, second]


def test_records_of_two_exports_of_one_key_are_both_kept(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    context = RunContext("again", "host", workspace, here(), None, 2)
    made = record(STEADY, "again", artifact="one", artifact_key="a" * 64)
    for artifact in ("one", "two", "one", "two"):
        keep(made.replaced(cell=made.cell.replaced(artifact=artifact)), context)
    kept = read_records(workspace.records_folder / "again")
    assert sorted(one.cell.artifact or "" for one in kept) == ["one", "two"]


def test_refused_run_leaves_the_rows_to_the_records_unless_the_user_insists(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(request: RunRequest, on_event: object = None) -> RunResult:
        raise DeployBenchError("no consent")

    monkeypatch.setattr(again, "carry_out", refuse)
    old, new = both(workspace)
    sides = [record_of(old, 1.0, "before")], [record_of(new, 1.0, "after")]
    row = only(compare_again(*sides, AgainRequest(workspace=workspace.root)))
    assert row.notes[0] == "on the records: measuring again was refused (no consent)"
    with pytest.raises(DeployBenchError, match="no consent"):
        compare_again(*sides, AgainRequest(workspace=workspace.root, insist=True))


def test_baseline_that_no_longer_runs_is_no_pass_and_a_candidate_that_does_not_is_a_regression(
    workspace: Workspace, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = both(workspace)
    sides = [record_of(old, 1.0, "before")], [record_of(new, 1.0, "after")]

    def breaking(broken: Artifact) -> Callable[..., RunResult]:
        def carry_out(request: RunRequest, on_event: object = None) -> RunResult:
            whole = runs(request)
            records = []
            for made in whole.records:
                if made.cell.artifact == str(broken.path):
                    crashed = [launch(1.0, error="no such operator", samples_ns=())]
                    changes = made.cell.model_dump()
                    made = record(crashed, "again", machine=here(), **changes)
                records.append(made)
            return RunResult("again", whole.folder, tuple(records))

        return carry_out

    monkeypatch.setattr(again, "carry_out", breaking(old))
    row = only(compare_again(*sides, AgainRequest(workspace=workspace.root)))
    assert "the baseline's artifact has no number here: no such operator" in row.notes[0]
    monkeypatch.setattr(again, "carry_out", breaking(new))
    row = only(compare_again(*sides, AgainRequest(workspace=workspace.root)))
    (check,) = check_rows([row], 0.05)
    assert check.outcome is Outcome.REGRESSION
    assert "no such operator" in check.reason


def test_only_the_cells_of_the_records_are_measured(workspace: Workspace, runs: Runs) -> None:
    """Of what the values of all records could be combined to."""
    old, new = both(workspace)
    means: list[dict[str, Any]] = [{"batch": 1, "streams": 1}, {"batch": 4, "streams": 2}]
    sides = (
        [record_of(old, 1.0, "before", **item) for item in means],
        [record_of(new, 1.0, "after", **item) for item in means],
    )
    compare_again(*sides, AgainRequest(workspace=workspace.root))
    (asked,) = runs.asked
    assert (asked.batches, asked.streams) == ([1, 4], [1, 2])
    assert asked.only is not None
    wanted = {"batch": 4, "streams": 2}, {"batch": 4, "streams": 1}
    cells = [record_of(new, 1.0, "again", **item).cell for item in wanted]
    assert [asked.only(cell) for cell in cells] == [True, False]


def test_sides_that_were_measured_by_unlike_means_are_not_measured_again(
    workspace: Workspace, runs: Runs
) -> None:
    old, new = both(workspace)
    sides = [record_of(old, 1.0, "before")], [record_of(new, 1.0, "after", batch=4)]
    row = only(compare_again(*sides, AgainRequest(workspace=workspace.root), allowed=["batch"]))
    assert row.notes[0] == "on the records: they were measured by unlike means"
    assert not runs.asked


@pytest.fixture
def cli() -> Cli:
    return run_here


def test_gate_really_measures_both_artifacts_beside_each_other(
    workspace: Workspace, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two launches of a tiny model: of one pair there is no interval, but both were run."""
    monkeypatch.setattr(again.AgainRequest, "rounds", 1)
    old, new = both(workspace)
    records = workspace.records_folder
    write_record(record_of(old, 1.0, "20260101-before", model=MODEL), records / "20260101-before")
    write_record(record_of(new, 1.0, "20260102-after", model=MODEL), records / "20260102-after")
    arguments = ("gate", "--baseline", "20260101-before", "-w", workspace.root, "--json")

    done = cli(*arguments, "--rerun-baseline", "--budget", "4s", "--allow", "version,environment")
    assert done.returncode in (0, 1, 3), done.stderr
    assert '"paired": true' in done.stdout, done.stdout
    runs = list((workspace.root / MEASURED_AGAIN / "records").glob("*"))
    assert len(runs) == 1
    assert len(list(runs[0].glob("*.json"))) == 2

    # Its records are no run of the workspace: the next gate takes the same candidate.
    done = cli(*arguments, "--no-rerun-baseline")
    assert "20260102-after" in done.stdout
    assert '"paired": false' in done.stdout
