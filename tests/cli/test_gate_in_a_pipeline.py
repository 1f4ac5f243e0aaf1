"""The recipe of docs/comparing-and-gating.md, followed as it stands on small records."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from deploybench.artifacts.workspace import Workspace
from deploybench.results.record import Record
from deploybench.results.store import write_record
from tests.comparisons import host, record
from tests.conftest import Cli

PAGE = Path(__file__).parents[2] / "docs" / "comparing-and-gating.md"
STEADY = [10.0, 10.1, 9.9, 10.05, 9.95, 10.02, 10.0, 10.01]
SLOWER = [1.2 * ms for ms in STEADY]


def recipe() -> dict[str, str]:
    """The scripts of the page's pipeline by the names of their steps."""
    text = PAGE.read_text("utf-8").partition("```yaml")[2].partition("```")[0]
    steps = yaml.safe_load(text)["jobs"]["speed"]["steps"]
    return {step["name"]: step["run"] for step in steps if "name" in step}


class Pipeline:
    """A working folder in which jobs run one after the other, as GitHub runs them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.summary = folder / "summary.md"
        self.runs = 3

    def job(self, *cells: Record, on_main: bool = False) -> subprocess.CompletedProcess[str]:
        """What follows ``deploybench run``: its records lie in the workspace."""
        self.runs += 1
        records = Workspace(self.folder / "deploybench-workspace").records_folder
        for kept in cells:
            run = f"run-{self.runs:02}"
            write_record(kept.model_copy(update={"run": run}), records / run)
        self.summary.write_text("")
        done = self._step("gate")
        if on_main:
            assert self._step("keep the baseline").returncode == 0
        return done

    def _step(self, name: str) -> subprocess.CompletedProcess[str]:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", recipe()[name]],
            cwd=self.folder,
            env={**os.environ, "PATH": path, "GITHUB_STEP_SUMMARY": str(self.summary)},
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """After some jobs on the main branch: the runs of these tell by how much whole runs shift."""
    pipeline = Pipeline(tmp_path)
    (tmp_path / "deploybench-workspace" / "artifacts").mkdir(parents=True)
    first = pipeline.job(record(STEADY), record(STEADY, runner="openvino"), on_main=True)
    assert first.returncode == 0, first.stderr
    assert "::warning::" in first.stdout
    assert "INCONCLUSIVE: no baseline: there are no records at baseline" in (
        pipeline.summary.read_text()
    )
    for number in range(3):
        for runner in ("onnxruntime", "openvino"):
            earlier = record(STEADY, f"run-0{number}", runner=runner)
            write_record(earlier, tmp_path / "baseline" / earlier.run)
    return pipeline


def test_second_job_is_held_against_the_first(pipeline: Pipeline) -> None:
    done = pipeline.job(record(STEADY), record(STEADY, runner="openvino"))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "**PASS: 2 of 2" in pipeline.summary.read_text()


def test_baseline_keeps_the_artifacts_and_the_latest_eight_runs(pipeline: Pipeline) -> None:
    made = pipeline.folder / "deploybench-workspace" / "artifacts" / "net"
    made.mkdir()
    for number in range(10, 18):
        (pipeline.folder / "baseline" / f"run-{number}").mkdir()
    pipeline.runs = 20
    pipeline.job(record(STEADY), on_main=True)
    kept = sorted(path.name for path in (pipeline.folder / "baseline").iterdir())
    assert kept == ["artifacts", *(f"run-{number}" for number in (*range(11, 18), 21))]
    assert (pipeline.folder / "baseline" / "artifacts" / "net").is_dir()


def test_slower_job_fails(pipeline: Pipeline) -> None:
    done = pipeline.job(record(STEADY), record(SLOWER, runner="openvino"))
    assert done.returncode == 1
    assert "**REGRESSION: 1 regressed" in pipeline.summary.read_text()


def test_container_with_another_name_is_a_warning_that_says_what_to_do(pipeline: Pipeline) -> None:
    done = pipeline.job(record(STEADY, machine=host(hostname="f00d5eed1234")))
    assert (done.returncode, "::warning::" in done.stdout) == (0, True)
    assert "host here → f00d5eed1234" in pipeline.summary.read_text()
    assert "--allow host compares them" in pipeline.summary.read_text()
    assert "--hostname NAME" in pipeline.summary.read_text()


def test_missing_cell_is_a_warning_and_a_new_one_is_passed_over(pipeline: Pipeline) -> None:
    done = pipeline.job(record(STEADY), record(STEADY, runner="inductor", backend="pytorch"))
    assert (done.returncode, "::warning::" in done.stdout) == (0, True)
    assert "missing: the candidate does not have it" in pipeline.summary.read_text()
    assert "new: the baseline does not have it" in pipeline.summary.read_text()


def test_records_that_do_not_read_fail_the_job(pipeline: Pipeline) -> None:
    next((pipeline.folder / "baseline").glob("*/*.json")).write_text("{")
    assert pipeline.job(record(STEADY)).returncode == 2


@pytest.mark.parametrize("form", [(), ("--markdown",), ("--json",)])
def test_gate_without_a_baseline_exits_3_and_says_so(
    form: tuple[str, ...], pipeline: Pipeline, cli_here: Cli
) -> None:
    folder = pipeline.folder
    (folder / "dangling").symlink_to("gone")
    (folder / "empty").mkdir()
    (folder / "linked").symlink_to("baseline")
    for baseline, code, words in (
        ("dangling", 3, "a link to gone, which is not there"),
        ("empty", 3, "empty holds no records"),
        ("linked", 2, "are on both sides"),
    ):
        done = cli_here("gate", "--baseline", baseline, *form, cwd=folder)
        assert done.returncode == code, done.stderr
        assert words in done.stdout + done.stderr
        assert form != ("--json",) or code == 2 or done.stdout == "[]\n"
