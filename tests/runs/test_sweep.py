"""How far a sweep over batch sizes goes, on made-up launches."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.measure.job import Job
from deploybench.measure.stopping import ExperimentRule
from deploybench.plan.cells import Planned
from deploybench.results.launch import GpuReading, Launch
from deploybench.runs.settings import RunSettings
from deploybench.runs.sweep import LOOK_S, doublings, with_auto_batches
from deploybench.telemetry import free_memory
from tests.records import cell, gpu, host, launch, surroundings

SETTINGS = RunSettings(ExperimentRule(0.01, 60, 6), duration_s=9)
ARTIFACT = cast(Artifact, SimpleNamespace(path=Path("/a")))
PLENTY = 1 << 40


def planned(**changes: object) -> Planned:
    return Planned(cell(**changes), ARTIFACT, None)


def failing_from(limit: int) -> Callable[[Job], Launch]:
    """A machine that runs out of memory at that batch size."""
    works = machine(lambda batch: 100 * batch)
    return lambda job: works(job) if job.batch < limit else Launch(error="out of memory: 2 GiB")


def machine(
    images_per_s: Callable[[int], float], peak_mib: Callable[[int], int] = lambda batch: 150
) -> Callable[[Job], Launch]:
    """A launch of each batch size with that throughput and peak memory."""

    def one(job: Job) -> Launch:
        made = launch([1e3 * job.batch / images_per_s(job.batch)] * 10)
        assert made.memory is not None
        return made.model_copy(
            update={
                "memory": made.memory.model_copy(update={"peak_bytes": peak_mib(job.batch) << 20})
            }
        )

    return one


def sizes(launch: Callable[[Job], Launch], available: int = PLENTY) -> list[int]:
    cells = with_auto_batches(
        [planned()], SETTINGS, launch=launch, available_bytes=lambda: available
    )
    return [one.cell.batch for one in cells]


def test_sweep_ends_with_the_first_size_that_gains_less_than_5_percent() -> None:
    assert sizes(machine(lambda batch: min(100 * batch, 410))) == [1, 2, 4, 8]


def test_sweep_ends_at_once_when_a_larger_batch_is_slower() -> None:
    assert sizes(machine(lambda batch: 100 / batch)) == [1, 2]


def test_sweep_ends_where_the_next_size_would_not_fit_into_the_cgroup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The machine has plenty; a container's limit leaves 1 GiB."""
    bytes_in = {"memory.max": 2 << 30, "memory.current": 1 << 30}
    monkeypatch.setattr(free_memory, "_number", lambda path: bytes_in.get(path.name))
    monkeypatch.setattr(free_memory, "_reclaimable", lambda path: 0)
    monkeypatch.setattr(
        free_memory.psutil, "virtual_memory", lambda: SimpleNamespace(available=PLENTY)
    )
    growing = machine(lambda batch: 100 * batch, lambda batch: 100 * batch)

    found = with_auto_batches([planned()], SETTINGS, launch=growing)

    # From 8 to 16 it grew by 800 MiB: the next step would take 1.6 GiB.
    assert [one.cell.batch for one in found] == [1, 2, 4, 8, 16]


def test_sweep_that_always_pays_ends_at_the_largest_batch() -> None:
    assert sizes(machine(lambda batch: 100 * batch**0.9))[-1] == 1024


def test_sweep_ends_before_a_size_that_would_need_more_than_is_left_of_the_memory() -> None:
    """From batch 4 to 8 it grew by 400 MiB; twice as much is more than 80 % of 900 MiB."""
    found = sizes(
        machine(lambda batch: 100 * batch, lambda batch: 100 + 100 * batch), available=900 << 20
    )
    assert found == [1, 2, 4, 8]


def test_first_size_does_not_count_the_model_itself_as_growth() -> None:
    assert (
        sizes(machine(lambda batch: 100 * batch, lambda batch: 4000), available=4000 << 20)[-1]
        == 1024
    )


def test_sweep_ends_at_the_size_whose_launch_failed_and_its_row_says_why() -> None:
    cells = with_auto_batches(
        [planned()], SETTINGS, launch=failing_from(8), available_bytes=lambda: PLENTY
    )
    assert [(one.cell.batch, one.skip) for one in cells] == [
        (1, None),
        (2, None),
        (4, None),
        (8, "the sweep ends: out of memory: 2 GiB"),
    ]


def test_cell_that_fails_at_batch_1_is_measured_so_that_its_row_says_why() -> None:
    cells = with_auto_batches(
        [planned()], SETTINGS, launch=failing_from(1), available_bytes=lambda: PLENTY
    )
    assert [(one.cell.batch, one.skip) for one in cells] == [(1, None)]


def on_gpu(
    own_mib: Callable[[int], int | None], others_mib: int = 0, used_beside_mib: int | None = None
) -> Callable[[Job], Launch]:
    """A GPU on which a batch takes that much memory, as the driver tells; ``used_beside_mib`` is
    what is taken of the whole card without it, whoever holds it."""

    def one(job: Job) -> Launch:
        own = own_mib(job.batch)
        reading = dict.fromkeys(GpuReading.model_fields, None) | {
            "missing": {},
            "provenance": "measured",
            "own_bytes": None if own is None else own << 20,
            "other_bytes": others_mib << 20,
        }
        if own is not None and used_beside_mib is not None:
            reading["used_bytes"] = own + used_beside_mib << 20
        made = machine(lambda batch: 100 * batch)(job)
        around = surroundings().model_copy(update={"gpu": GpuReading.model_validate(reading)})
        return made.model_copy(update={"surroundings": around})

    return one


@pytest.mark.parametrize(
    ("own_mib", "others_mib", "expected"),
    [
        (
            lambda batch: 500 + 1000 * batch,
            0,
            [1, 2, 4, 8],
        ),  # 8 takes 8.5 of 12 GiB, 16 would take 16.5
        (lambda batch: 500 + 500 * batch, 0, [1, 2, 4, 8, 16]),
        (
            lambda batch: 500 + 500 * batch,
            7500,
            [1, 2, 4],
        ),  # of 2288 MiB that are left, 80 % are less than 2000
    ],
)
def test_sweep_on_a_gpu_ends_before_a_size_that_its_memory_does_not_hold(
    own_mib: Callable[[int], int], others_mib: int, expected: list[int]
) -> None:
    cells = with_auto_batches(
        [planned(device="cuda")],
        SETTINGS,
        launch=on_gpu(own_mib, others_mib),
        available_bytes=lambda: PLENTY,
        host=lambda: host(gpus=(gpu("Tesla K80", "3.7"),)),
    )
    assert [one.cell.batch for one in cells] == expected


def test_what_a_run_s_own_processes_hold_of_the_gpu_is_not_left_for_a_larger_batch() -> None:
    """They are nobody else's work, and rest; their memory is taken all the same."""
    cells = with_auto_batches(
        [planned(device="cuda")],
        SETTINGS,
        launch=on_gpu(lambda batch: 500 + 500 * batch, 0, used_beside_mib=7500),
        available_bytes=lambda: PLENTY,
        host=lambda: host(gpus=(gpu("Tesla K80", "3.7"),)),
    )
    assert [one.cell.batch for one in cells] == [1, 2, 4]


def test_gpu_whose_driver_tells_no_memory_limits_nothing() -> None:
    cells = with_auto_batches(
        [planned(device="cuda")],
        SETTINGS,
        launch=on_gpu(lambda batch: None),
        available_bytes=lambda: PLENTY,
        host=lambda: host(gpus=(gpu("Tesla K80", "3.7"),)),
    )
    assert cells[-1].cell.batch == 1024


def test_sweep_ends_when_the_next_call_would_take_longer_than_5_seconds() -> None:
    assert sizes(machine(lambda batch: 1.3 * batch**0.9))[-1] == 1024
    assert sizes(machine(lambda batch: 0.9 + 0.1 * batch)) == [1, 2, 4]


def test_look_ahead_is_short_and_of_the_cell_itself() -> None:
    asked: list[Job] = []

    def one(job: Job) -> Launch:
        asked.append(job)
        return machine(lambda batch: 100)(job)

    with_auto_batches(
        [planned(threads=3, precision="bf16", streams=2)],
        SETTINGS,
        launch=one,
        available_bytes=lambda: PLENTY,
    )
    assert [job.batch for job in asked] == [1, 2, 2], "a look that says stop is repeated"
    assert {
        (job.threads, job.precision, job.streams, job.duration_s, job.min_samples) for job in asked
    } == {(3, "bf16", 2, LOOK_S, 3)}


def test_skipped_cells_stay_as_they_are_and_are_not_launched() -> None:
    skipped = Planned(cell(runner="inductor"), ARTIFACT, "left out")
    started: list[str] = []
    found = with_auto_batches(
        [skipped, planned()],
        SETTINGS,
        start=lambda one: started.append(one.cell.runner),
        launch=machine(lambda batch: 100),
        available_bytes=lambda: PLENTY,
    )
    assert found[0] is skipped
    assert [one.cell.batch for one in found[1:]] == [1, 2]
    assert started == ["pytorch"]


@pytest.mark.parametrize(
    ("limit", "expected"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
def test_doublings_end_with_the_limit_itself(limit: int, expected: list[int]) -> None:
    assert doublings(limit) == expected
