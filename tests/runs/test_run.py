"""What a run keeps of its cells, on made-up launches; the command that measures a cell again."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path

import pytest

from deploybench.artifacts.workspace import Workspace
from deploybench.children.inherited import can_pin
from deploybench.errors import DeployBenchError
from deploybench.files import write_whole
from deploybench.hardware.pinning import AUTO, NONE, Pinning
from deploybench.hardware.profile import load_profile
from deploybench.hardware.roof import MeasuredPeaks
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_rounds
from deploybench.measure.stopping import ExperimentRule
from deploybench.plan.cells import Planned
from deploybench.results.launch import Launch
from deploybench.results.record import Record
from deploybench.results.store import read_records, write_record
from deploybench.runs import run as benchmark
from deploybench.runs.records import command_of
from deploybench.runs.request import RunRequest
from deploybench.runs.run import end_to_end_image, job_of, run_cells
from deploybench.runs.settings import RunContext, RunSettings, settings_of
from deploybench.runs.surroundings import selection_of
from tests.records import cell, host, launch
from tests.records import record as made_record
from tests.runs.made_up import ARTIFACT

THREE_ROUNDS = ExperimentRule(half_width=None, budget_s=math.inf, min_rounds=6, max_rounds=3)
UNTIL_PRECISE = ExperimentRule(half_width=0.015, budget_s=90, min_rounds=6)

can_be_pinned = pytest.mark.skipif(not can_pin(), reason="this system pins no processes")


def options_of(command: str) -> dict[str, str]:
    """The options of a command with their values; a flag has none."""
    words = shlex.split(command)
    assert words[:2] == ["deploybench", "run"]
    found: dict[str, str] = {}
    for word in words[2:]:
        if word.startswith("--"):
            name, found[word] = word, ""
        else:
            found[name] = word
    return found


def test_command_names_the_cell_and_how_it_was_measured() -> None:
    found = options_of(
        command_of(
            cell(batch=4, artifact="/with space/a"), RunSettings(THREE_ROUNDS, seed=7), "host"
        )
    )
    assert found == {
        "--artifact": "/with space/a",
        "--runner": "pytorch",
        "--batch": "4",
        "--threads": "2",
        "--precision": "fp32",
        "--duration": "1s",
        "--min-samples": "20",
        "--rounds": "3",
        "--seed": "7",
    }


def test_command_of_a_run_until_precise_has_its_precision_and_budget_instead_of_rounds() -> None:
    found = options_of(
        command_of(cell(), RunSettings(UNTIL_PRECISE, duration_s=0.05, launches="fresh"), "host")
    )
    assert (found["--precision-target"], found["--budget"], found["--duration"]) == (
        "1.5%",
        "90s",
        "0.05s",
    )
    assert found["--launches"] == "fresh"
    assert "--rounds" not in found


def test_command_of_visits_has_their_length_and_no_fewest_samples() -> None:
    settings = RunSettings(UNTIL_PRECISE, visit_s=0.1, canary=False)
    found = options_of(command_of(cell(), settings, "host"))
    assert (found["--duration"], found["--budget"]) == ("0.1s", "90s")
    assert "--no-canary" in found
    assert not {"--launches", "--min-samples", "--rounds"} & set(found)


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({}, {}),
        ({"streams": 2}, {"--streams": "2"}),
        ({"timing": "engine-only"}, {"--engine-only": ""}),
        ({"cuda_graph": True}, {"--cuda-graph": ""}),
        ({"timing": "end-to-end"}, {"--end-to-end": "", "--image": "/cat.jpg"}),
    ],
)
def test_command_says_what_is_not_the_default(
    changes: dict[str, object], options: dict[str, str]
) -> None:
    found = options_of(
        command_of(cell(**changes), RunSettings(THREE_ROUNDS, image="/cat.jpg"), "host")
    )
    optional = {
        "--streams",
        "--engine-only",
        "--end-to-end",
        "--host-to-host",
        "--image",
        "--profile",
        "--cuda-graph",
    }
    assert {name: value for name, value in found.items() if name in optional} == options


def test_launch_is_asked_for_a_cuda_graph_where_the_cell_is() -> None:
    for asked in (False, True):
        job = job_of(Planned(cell(cuda_graph=asked), ARTIFACT, None), RunSettings(THREE_ROUNDS))
        assert job.cuda_graph is asked


def test_command_finds_our_image_from_any_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    image = end_to_end_image(None, Workspace(Path()))
    assert image == tmp_path / "sample.jpg"


def test_command_names_the_profile_because_it_decides_the_device() -> None:
    found = options_of(command_of(cell(device="cuda"), RunSettings(THREE_ROUNDS), "rtx3090"))
    assert found["--profile"] == "rtx3090"


def measured(
    monkeypatch: pytest.MonkeyPatch,
    folder: Path,
    rule: ExperimentRule,
    *planned: Planned,
    **medians: Iterator[float],
) -> Iterator[Record]:
    """A run of those cells; a launch takes its runner's next time in ms, and fails when there is
    none."""

    def one(job: Job) -> Launch:
        time = next(medians[job.runner], None)
        return launch([time] * 20) if time is not None else Launch(error="killed")

    monkeypatch.setattr(benchmark, "run_rounds", partial(run_rounds, launch=one))
    context = RunContext("run", "host", Workspace(folder), host(), None, 2)
    return run_cells(planned, RunSettings(rule, launches="fresh"), context)


def steady() -> Iterator[float]:
    return (10.0 for _ in count())


def rising() -> Iterator[float]:
    return (10.0 + number for number in count())


def test_record_says_why_its_cell_was_launched_no_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells = [Planned(cell(runner=name), ARTIFACT, None) for name in ("pytorch", "openvino")]
    records = list(
        measured(monkeypatch, tmp_path, UNTIL_PRECISE, *cells, pytorch=steady(), openvino=rising())
    )
    latest = {record.cell.runner: record for record in records}
    precise, spent = latest["pytorch"], latest["openvino"]
    assert (precise.complete, precise.stopped, precise.more_rounds, len(precise.launches)) == (
        True,
        "precise",
        0,
        6,
    )
    assert (spent.complete, spent.stopped, len(spent.launches)) == (True, "budget spent", 45)
    assert (spent.more_rounds or 0) > 45
    kept = {record.cell.runner: record for record in read_records(tmp_path / "records" / "run")}
    assert kept == {runner: record.sealed() for runner, record in latest.items()}


def test_record_of_a_cell_that_is_precise_is_complete_on_disk_while_others_go_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An interrupt must not call it interrupted."""
    cells = [Planned(cell(runner=name), ARTIFACT, None) for name in ("pytorch", "openvino")]
    run = measured(
        monkeypatch, tmp_path, UNTIL_PRECISE, *cells, pytorch=steady(), openvino=rising()
    )
    for record in run:
        if record.cell.runner == "openvino" and len(record.launches) == 9:
            break
    complete = {
        kept.cell.runner: kept.complete for kept in read_records(tmp_path / "records" / "run")
    }
    assert complete == {"pytorch": True, "openvino": False}


def test_cell_that_fails_and_one_that_is_skipped_are_complete(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    failing, left_out = (
        Planned(cell(), ARTIFACT, None),
        Planned(cell(runner="openvino"), ARTIFACT, "left out"),
    )
    records = list(
        measured(monkeypatch, tmp_path, THREE_ROUNDS, failing, left_out, pytorch=iter([10.0]))
    )
    assert [
        (record.judgement.verdict.value, record.complete, record.stopped) for record in records
    ] == [
        ("SKIPPED", True, None),
        ("UNSTABLE", False, None),
        ("UNSTABLE", False, None),
        ("FAILED", True, "failed"),
    ]


def test_record_that_the_disk_does_not_hold_is_handed_on_before_the_run_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(path: Path, content: str) -> None:
        if '"round":1' in content.replace(" ", ""):
            raise DeployBenchError(f"{path} could not be written: No space left on device")
        write_whole(path, content)

    monkeypatch.setattr("deploybench.results.store.write_whole", full)
    seen: list[Record] = []
    run = measured(
        monkeypatch, tmp_path, THREE_ROUNDS, Planned(cell(), ARTIFACT, None), pytorch=rising()
    )
    with pytest.raises(DeployBenchError, match="No space left"):
        seen.extend(run)
    for _ in run:
        raise AssertionError("nothing is launched after that")
    assert [len(record.launches) for record in seen] == [1, 2]
    (kept,) = read_records(tmp_path / "records" / "run")
    assert len(kept.launches) == 1


def test_record_whose_writing_somebody_interrupts_is_handed_on_before_the_run_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Otherwise it lies on the disk, and the table of what was measured does not show it."""

    def interrupted(path: Path, content: str) -> None:
        write_whole(path, content)
        raise KeyboardInterrupt

    monkeypatch.setattr("deploybench.results.store.write_whole", interrupted)
    seen: list[Record] = []
    with pytest.raises(KeyboardInterrupt):
        seen.extend(
            measured(
                monkeypatch,
                tmp_path,
                THREE_ROUNDS,
                Planned(cell(), ARTIFACT, None),
                pytorch=rising(),
            )
        )
    assert [record.sealed() for record in seen] == read_records(tmp_path / "records" / "run")


def test_number_of_rounds_is_over_with_the_last_launch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    records = list(
        measured(
            monkeypatch, tmp_path, THREE_ROUNDS, Planned(cell(), ARTIFACT, None), pytorch=rising()
        )
    )
    assert [record.stopped for record in records] == [None, None, "rounds done"]


def test_cells_of_two_devices_keep_a_record_each(tmp_path: Path) -> None:
    for device in ("cpu", "cuda", "cuda:1"):
        write_record(made_record([launch([10.0] * 8)], device=device), tmp_path)
    assert {record.cell.device for record in read_records(tmp_path)} == {"cpu", "cuda", "cuda:1"}


def test_command_of_a_gpu_cell_names_its_device() -> None:
    found = options_of(command_of(cell(device="cuda:1"), RunSettings(THREE_ROUNDS), "host"))
    assert found["--device"] == "cuda:1"


def test_peak_of_a_cpu_is_measured_and_that_of_a_gpu_is_the_profile_s(tmp_path: Path) -> None:
    measured = MeasuredPeaks(threads=2, gflops={"fp32": 100.0}, copy_gb_per_s=1.0, method="test")
    context = RunContext(
        "run", "rtx3090", Workspace(tmp_path), host(), measured, 2, hardware=load_profile("rtx3090")
    )
    found = {device: context.roof(device) for device in ("cpu", "cuda", "cuda:1")}
    assert found["cpu"] is not None
    assert found["cpu"].tflops == {"fp32": pytest.approx(0.1)}
    assert found["cuda"] == found["cuda:1"]
    assert found["cuda"] is not None
    assert found["cuda"].tflops["bf16"] == pytest.approx(71)
    assert replace(context, hardware=None).roof("cuda") is None
    assert replace(context, peaks=None).roof("cpu") is None


@pytest.mark.parametrize(
    ("pinning", "repeated"),
    [
        (Pinning(AUTO, (0, 1), "2 cores"), None),
        (Pinning(NONE), "none"),
        (Pinning("4-5,7", (4, 5, 7)), "4-5,7"),
    ],
)
def test_launch_is_pinned_as_the_run_is_and_its_command_repeats_what_was_asked(
    pinning: Pinning, repeated: str | None
) -> None:
    settings = RunSettings(THREE_ROUNDS, pinning=pinning)
    assert job_of(Planned(cell(), ARTIFACT, None), settings).pin == pinning.cpus
    assert options_of(command_of(cell(), settings, "host")).get("--pin") == repeated


def test_launch_on_a_gpu_is_pinned_only_to_cpus_that_the_user_named() -> None:
    on_gpu = Planned(cell(device="cuda"), ARTIFACT, None)
    assert job_of(on_gpu, RunSettings(THREE_ROUNDS, pinning=Pinning(AUTO, (0, 1)))).pin == ()
    assert job_of(on_gpu, RunSettings(THREE_ROUNDS, pinning=Pinning("0-1", (0, 1)))).pin == (0, 1)


@can_be_pinned
def test_request_for_cpus_has_as_many_threads_as_they_are_cores() -> None:
    cpu = max(os.sched_getaffinity(0))
    request = RunRequest(pin=[cpu])
    assert settings_of(request, None).pinning == Pinning(str(cpu), (cpu,), "--pin")
    assert selection_of(request, ["cpu"], None).threads == 1


@can_be_pinned
def test_request_for_cpus_that_cannot_be_had_is_refused() -> None:
    with pytest.raises(DeployBenchError, match="--pin 5000: CPU 5000 is not usable"):
        settings_of(RunRequest(pin=[5000]), None)
    with pytest.raises(DeployBenchError, match="--pin some"):
        RunRequest(pin="some")  # type: ignore[arg-type]
