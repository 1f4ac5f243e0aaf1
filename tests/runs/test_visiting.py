"""Runs by visits: real ones of the tiny model, and what happens when memory or a process is lost,
on processes that are made up."""

from __future__ import annotations

import itertools
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from deploybench.analysis.visit_states import visits_in
from deploybench.artifacts.workspace import Workspace
from deploybench.children import deadlines
from deploybench.children.resident import CAN_REST, ResidentLostError
from deploybench.hardware.pinning import Pinning
from deploybench.measure import residence
from deploybench.measure.stopping import ExperimentRule
from deploybench.measure.visit_plan import MOST_PROCESSES
from deploybench.plan.cells import Planned
from deploybench.results.launch import Launch
from deploybench.results.record import Record
from deploybench.results.store import read_records
from deploybench.results.verdict import Verdict
from deploybench.results.visit import Visit
from deploybench.runs import visiting
from deploybench.runs.events import LaunchedAfresh, RunEvent, VisitLost, VisitsMade
from deploybench.runs.run import run_cells
from deploybench.runs.settings import RunContext, RunSettings
from deploybench.telemetry.canary_memory import remembered
from tests.cli.processes import children_of, started_cli, wait_for
from tests.conftest import run_cli
from tests.records import cell, host
from tests.runs.made_up import ARTIFACT, MadeUp

needs_rest = pytest.mark.skipif(not CAN_REST, reason="this system stops no processes")


@pytest.fixture(scope="module")
def run_of_two(tiny_workspace: Workspace) -> list[Record]:
    """Two runners on the tiny model, visited for some seconds."""
    done = run_cli(
        *("run", "-w", tiny_workspace.root, "--runner", "onnxruntime,openvino"),
        *("--budget", "5s", "--duration", "20ms", "--json"),
    )
    assert done.returncode == 0, done.stderr
    name = json.loads(done.stdout)[0]["run"]
    return read_records(tiny_workspace.records_folder / name)


@needs_rest
def test_run_visits_processes_that_were_started_once(run_of_two: list[Record]) -> None:
    assert len(run_of_two) == 2
    for record in run_of_two:
        assert record.complete
        assert len(record.visits) > 3 * len(record.launches)
        for made in record.launches:
            assert made.parity is not None
            assert made.parity.passed
            assert made.cold_start_s is not None
            assert made.memory is not None
        assert {visit.process for visit in record.visits} <= set(range(len(record.launches)))
        assert record.summary is not None
        # The machine may change its state meanwhile: each has a time of its own visits.
        assert record.summary.states
        for state in record.summary.states:
            assert state.visited is not None
            assert state.visited.visits == len(visits_in(record.visits, state.hop_ns))


@needs_rest
def test_rounds_visit_every_cell_between_two_readings_of_the_canary(
    run_of_two: list[Record],
) -> None:
    rounds = [{visit.round for visit in record.visits} for record in run_of_two]
    assert len(rounds[0] & rounds[1]) >= min(len(rounds[0]), len(rounds[1])) - 2
    moments = sorted((visit.at_s, visit) for record in run_of_two for visit in record.visits)
    assert all(visit.before and visit.after for _, visit in moments)
    pairs = itertools.pairwise(visit for _, visit in moments)
    shared = sum(one.after == other.before for one, other in pairs)
    # Only where a process was started between two visits the canary was read anew.
    assert shared >= len(moments) - 1 - sum(len(record.launches) for record in run_of_two)


@needs_rest
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_stopped_process_is_left_when_a_run_ends_in_the_middle(
    tiny_workspace: Workspace, number: signal.Signals
) -> None:
    with started_cli(
        *("run", "-w", str(tiny_workspace.root), "-r", "onnxruntime,openvino"),
        *("--budget", "120s"),
    ) as run:
        resting = wait_for(lambda: stopped_children(run.pid))
        run.send_signal(number)
        run.communicate(timeout=60)
        wait_for(lambda: not any(process.is_running() for process in resting))


def stopped_children(parent: int) -> list[psutil.Process]:
    """The processes below ``parent`` that rest, once there are two."""
    try:
        stopped = [
            child for child in children_of(parent) if child.status() == psutil.STATUS_STOPPED
        ]
    except psutil.NoSuchProcess:
        return []
    return stopped if len(stopped) > 1 else []


RULE = ExperimentRule(half_width=0.01, budget_s=60.0, min_rounds=6)


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No real processes, no real time, all the memory that one wants."""
    MadeUp.made, MadeUp.deaths, MadeUp.unrest, MadeUp.clock = [], frozenset(), None, 0.0
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(visiting, "Residence", MadeUp)
    monkeypatch.setattr(visiting, "available_bytes", lambda: 1 << 40)
    monkeypatch.setattr(visiting, "monotonic", lambda: MadeUp.clock)


def visited(
    folder: Path, *runners: str, models: tuple[str, ...] = ("net",), **settings: object
) -> tuple[dict[tuple[str, str], Record], list[RunEvent]]:
    """The last record of every cell of a run, and the events."""
    planned = [
        Planned(cell(model=model, runner=name), ARTIFACT, None)
        for model in models
        for name in runners
    ]
    told: list[RunEvent] = []
    context = RunContext("run", "host", Workspace(folder), host(), None, 2)
    chosen = RunSettings(RULE, launches="resident", **settings)  # type: ignore[arg-type]
    records = {}
    for record in run_cells(planned, chosen, context, tell=told.append):
        records[record.cell.model, record.cell.runner] = record
    return records, told


@pytest.mark.usefixtures("made_up")
def test_cells_that_are_known_end_the_run_before_its_budget(tmp_path: Path) -> None:
    records, told = visited(tmp_path, "pytorch", "openvino", compare=True)
    for record in records.values():
        assert (record.complete, record.stopped) == (True, "precise")
        assert record.judgement.verdict is Verdict.VALID, record.judgement.reason
    assert MadeUp.clock < 2 * RULE.budget_s
    last = [event for event in told if isinstance(event, VisitsMade)][-1]
    assert (last.known, last.cells) == (2, 2)
    kept = read_records(tmp_path / "records" / "run")
    assert {record.cell.runner: record for record in kept} == {
        record.cell.runner: record.sealed() for record in records.values()
    }


@pytest.mark.usefixtures("made_up")
def test_cheap_processes_get_others_beside_them_and_take_turns(tmp_path: Path) -> None:
    records, _ = visited(tmp_path, "pytorch")
    (record,) = records.values()
    assert 2 <= len(record.launches) <= MOST_PROCESSES
    last = max(made.round for made in record.launches)
    processes = [visit.process for visit in record.visits if visit.round > last]
    assert set(processes) == set(range(len(record.launches)))
    assert all(one != other for one, other in itertools.pairwise(processes))


@pytest.mark.usefixtures("made_up")
def test_process_that_dies_between_visits_is_a_lost_launch_and_another_takes_its_place(
    tmp_path: Path,
) -> None:
    MadeUp.deaths = frozenset({3})
    records, _ = visited(tmp_path, "pytorch")
    (record,) = records.values()
    errors = [made.error for made in record.launches if made.error]
    assert errors == ["killed by SIGKILL"]
    assert record.judgement.verdict is Verdict.VALID
    assert "1 launch was lost: killed by SIGKILL" in record.judgement.reason


@pytest.mark.usefixtures("made_up")
def test_cell_whose_processes_die_again_and_again_has_failed_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    die = MadeUp.visit

    def visit(self: MadeUp, index: int, number: int, order: int) -> Visit:
        if self.jobs[index].runner == "openvino":
            self.living[index].pop(0)
            raise ResidentLostError("killed by SIGSEGV")
        return die(self, index, number, order)

    monkeypatch.setattr(MadeUp, "visit", visit)
    records, _ = visited(tmp_path, "pytorch", "openvino")
    assert records["net", "openvino"].judgement.verdict is Verdict.FAILED
    assert records["net", "openvino"].judgement.reason == "killed by SIGSEGV"
    assert records["net", "openvino"].complete
    assert records["net", "pytorch"].judgement.verdict is Verdict.VALID


@pytest.mark.usefixtures("made_up")
def test_memory_for_a_few_makes_blocks_with_the_baseline_in_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = visiting.RUNTIME_BYTES + visiting.TIMES_ARTIFACT
    everything = visiting.RESERVE_BYTES + 3 * each + 1

    def left() -> int:
        living = sum(len(processes) for processes in MadeUp.made[-1].living.values())
        return everything - living * each

    monkeypatch.setattr(visiting, "available_bytes", left)
    records, _ = visited(
        tmp_path, "openvino", "pytorch", "torchscript", "onnxruntime", baseline="pytorch"
    )
    started = [sorted(set(block.started)) for block in MadeUp.made]
    assert [len(block) for block in started] == [3, 2]
    assert 1 in started[0]
    assert 1 in started[1]
    baseline = records["net", "pytorch"]
    assert {visit.process for visit in baseline.visits} == set(range(len(baseline.launches)))
    for record in records.values():
        together = {visit.round for visit in record.visits}
        assert len(together & {visit.round for visit in baseline.visits}) == len(together)


@pytest.mark.usefixtures("made_up")
def test_models_are_measured_one_after_the_other_where_they_do_not_fit_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    each = visiting.RUNTIME_BYTES + visiting.TIMES_ARTIFACT

    def left() -> int:
        living = sum(len(processes) for processes in MadeUp.made[-1].living.values())
        return visiting.RESERVE_BYTES + (3 - living) * each + 1

    monkeypatch.setattr(visiting, "available_bytes", left)
    visited(tmp_path, "pytorch", "openvino", models=("one", "two"))
    assert [sorted(set(block.started)) for block in MadeUp.made] == [[0, 1], [2, 3]]


@pytest.mark.usefixtures("made_up")
def test_deadline_leaves_out_who_would_start_late_and_ends_the_visits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = MadeUp.start

    def slow(self: MadeUp, *asked: Any) -> Launch:
        MadeUp.clock += 4.0
        return start(self, *asked)

    monkeypatch.setattr(MadeUp, "start", slow)
    monkeypatch.setattr(deadlines, "monotonic", lambda: MadeUp.clock)
    with deadlines.no_later_than(12.0):
        records, _ = visited(tmp_path, "pytorch", "openvino", "onnxruntime", "torchscript")
    # Two stand side by side at 8 s, which is past 60 % of the time.
    assert {runner for _, runner in records} == {"pytorch", "openvino"}
    assert all(record.visits for record in records.values())
    assert MadeUp.clock < 13.0


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize("cause", ["memory", "unrest"])
def test_what_cannot_rest_here_is_launched_afresh_and_that_is_said(
    cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched: list[str] = []

    def afresh(jobs: list[Any], *_: object, **__: object) -> Iterator[Any]:
        launched.extend(job.runner for job in jobs)
        return iter(())

    monkeypatch.setattr("deploybench.runs.run.run_rounds", afresh)
    if cause == "memory":
        monkeypatch.setattr(visiting, "available_bytes", lambda: 0)
    else:
        MadeUp.unrest = "openvino"
    _, told = visited(tmp_path, "pytorch", "openvino")
    said = {e.planned.cell.runner: e.reason for e in told if isinstance(e, LaunchedAfresh)}
    if cause == "memory":
        assert launched == ["pytorch", "openvino"]
        assert set(said.values()) == {"memory for one process only"}
    else:
        assert launched == ["openvino"]
        assert said == {"openvino": "its process works on while it should rest"}


@pytest.mark.usefixtures("made_up")
def test_visit_during_which_the_machine_slept_is_left_out_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    visit = MadeUp.visit

    def sleeping(self: MadeUp, index: int, number: int, order: int) -> Visit | None:
        made = visit(self, index, number, order)
        return None if number == 2 else made

    monkeypatch.setattr(MadeUp, "visit", sleeping)
    records, told = visited(tmp_path, "pytorch")
    (record,) = records.values()
    assert 2 not in {made.round for made in record.visits}
    assert [event.reason for event in told if isinstance(event, VisitLost)] == ["the machine slept"]


def test_sleep_is_told_by_two_clocks_of_which_one_stands_still(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks = SimpleNamespace(
        CLOCK_BOOTTIME=7, clock_gettime=lambda _: 130.0, monotonic=lambda: 100.0
    )
    monkeypatch.setattr(residence, "time", clocks)
    assert residence.slept_s() == 30.0


@pytest.mark.usefixtures("made_up")
@pytest.mark.parametrize(("asked", "remembers"), [("auto", True), ("2-3", False)])
def test_canary_is_pinned_beside_its_cells_and_remembered_of_the_usual_cpus_only(
    tmp_path: Path, asked: str, remembers: bool
) -> None:
    """Efficiency cores that the user chose would else make every other run look too fast, and
    performance cores every run on them disturbed."""
    visited(tmp_path, "pytorch", pinning=Pinning(asked, (2, 3)))
    (made,) = MadeUp.made
    assert made.canary_cpus == made.jobs[0].pin == (2, 3)
    assert (remembered(host(), 2) is not None) == remembers
