"""The progress bar reads events: what it counts and says."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.cli import progress as module
from deploybench.cli import steps
from deploybench.cli.progress import Progress
from deploybench.evaluate.events import DataRead
from deploybench.export.order import ExportsPlanned, ExportStarted
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.hardware.pinning import NOT_WANTED, TAKES_ALL, Pinning
from deploybench.plan.cells import Planned
from deploybench.runs.events import (
    LaunchStarted,
    PeaksMeasured,
    RecordUpdated,
    RunPlanned,
    SweepStarted,
)
from tests.records import cell, launch, record

PLANNED = Planned(cell(), cast(Artifact, SimpleNamespace(path=Path("/a"))), None)
ON_GPU = Planned(cell(device="cuda"), PLANNED.artifact, None)
REQUEST = ExportRequest(model=ModelRequest(name="vit"), backend="onnx")


class Bar:
    """Takes down what it is told."""

    def __init__(self, said: list[str]) -> None:
        self._said = said

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *_: object) -> None:
        self._said.append("gone")

    def add_task(self, words: str, *, total: int) -> int:
        self._said.append(f"{words} of {total}")
        return 0

    def update(self, task: int, *, description: str = "", completed: int = -1) -> None:
        self._said.append(description or f"{completed} done")


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []

    monkeypatch.setattr(steps, "progress_bar", lambda *_, **__: Bar(said))
    monkeypatch.setattr(module, "remark", lambda words, style: said.append(f"remark: {words}"))
    return said


def test_cell_counts_once_when_it_needs_no_more_launches(said: list[str]) -> None:
    skipped = Planned(cell(runner="openvino"), PLANNED.artifact, "left out")
    with Progress() as progress:
        progress.tell(RunPlanned((PLANNED, skipped), Path("/records")))
        progress.tell(RecordUpdated(record([], runner="openvino")))
        progress.tell(LaunchStarted(PLANNED, 1))
        progress.tell(RecordUpdated(record([launch([1.0] * 8)], complete=False)))
        progress.tell(RecordUpdated(record([launch([1.0] * 8)])))
        progress.tell(RecordUpdated(record([launch([1.0] * 8)])))
    assert said == [
        "measuring of 1",
        "0 done",
        "round 2: net pytorch fp32 batch 1",
        "0 done",
        "1 done",
        "1 done",
        "gone",
    ]


def test_run_says_that_it_exports_first_and_what_it_could_not_measure(said: list[str]) -> None:
    with Progress(missing_first=True) as progress:
        progress.tell(ExportsPlanned((REQUEST,)))
        progress.tell(ExportStarted(REQUEST))
        progress.tell(PeaksMeasured(None))
        progress.tell(SweepStarted(PLANNED))
        progress.tell(SweepStarted(PLANNED))
    assert said == [
        "remark: exporting 1 missing artifact first",
        "exporting of 1",
        "exporting vit to onnx",
        "gone",
        "remark: the peaks of this host could not be measured: no % of peak",
        "remark: looking how far each batch sweep goes: one short launch a size",
    ]


def test_runner_that_was_named_in_vain_is_said(said: list[str]) -> None:
    with Progress() as progress:
        progress.tell(RunPlanned((PLANNED,), Path("/records"), ("openvino",)))
    (remark,) = [line for line in said if line.startswith("remark")]
    assert "openvino" in remark


@pytest.mark.parametrize(
    ("pinning", "planned", "remark"),
    [
        (
            Pinning("auto", (0, 1, 2, 3), "4 cores"),
            PLANNED,
            ["remark: threads: pinned to CPUs 0-3: 4 cores"],
        ),
        (
            Pinning("auto", (), "nobody knows"),
            PLANNED,
            ["remark: threads: not pinned: nobody knows"],
        ),
        (Pinning("auto", (), TAKES_ALL), PLANNED, []),
        (Pinning("none", (), NOT_WANTED), PLANNED, []),
        (Pinning("auto", (0, 1), "2 cores"), ON_GPU, []),
    ],
)
def test_run_says_where_its_threads_are_kept_where_there_was_something_to_choose(
    said: list[str], pinning: Pinning, planned: Planned, remark: list[str]
) -> None:
    with Progress() as progress:
        progress.tell(RunPlanned((planned,), Path("/records"), pinning=pinning))
    assert [line for line in said if line.startswith("remark")] == remark


def test_reading_the_data_is_not_counted_among_the_exports_before_it(said: list[str]) -> None:
    with Progress(missing_first=True) as progress:
        progress.tell(ExportsPlanned((REQUEST,) * 6))
        progress.tell(ExportStarted(REQUEST))
        progress.tell(DataRead(31, 63))
        progress.tell(DataRead(63, 63))
    after = said[said.index("reading the data of 63") :]
    assert after == ["reading the data of 63", "31 done", "63 done", "gone"]


def test_reading_the_data_again_is_not_counted_among_the_exports_between(said: list[str]) -> None:
    """A tuning reads its images, exports, and reads what it evaluates on."""
    with Progress() as progress:
        progress.tell(DataRead(63, 63))
        progress.tell(ExportsPlanned((REQUEST,) * 6))
        progress.tell(ExportStarted(REQUEST))
        progress.tell(DataRead(31, 63))
    after = said[said.index("exporting of 6") :]
    assert after[-4:] == ["gone", "reading the data of 63", "31 done", "gone"]
