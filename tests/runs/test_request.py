"""A whole run by one call: what it tells, what it returns, what an interrupt leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.errors import DeployBenchError
from deploybench.hardware.pinning import NONE, NOT_WANTED, Pinning
from deploybench.plan.cells import Planned
from deploybench.results.cell import CellOptions
from deploybench.results.record import Record
from deploybench.runs import request as requests
from deploybench.runs import surroundings
from deploybench.runs.events import (
    LaunchStarted,
    PeaksMeasured,
    RecordUpdated,
    RunEvent,
    RunPlanned,
)
from deploybench.runs.request import RunRequest, carry_out
from tests.records import cell, launch, record

ARTIFACT = cast(Artifact, SimpleNamespace(path=Path("/a"), manifest=SimpleNamespace(adopted=None)))
FIRST, SECOND = (Planned(cell(runner=name), ARTIFACT, None) for name in ("pytorch", "onnxruntime"))
Asked = dict[str, object]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """A run of two cells on made-up launches: what the rooms below were asked for.

    ``cut`` says whether an interrupt comes after the first launch.
    """
    asked: Asked = {"cut": False}

    def plan(artifacts: object, selection: object, profile: object) -> list[Planned]:
        asked["selection"] = selection
        return [FIRST, SECOND]

    def run(
        planned: object, settings: object, context: object, *, tell: Callable[[RunEvent], None]
    ) -> Iterator[Record]:
        asked["settings"] = settings
        tell(LaunchStarted(SECOND, 0))
        yield record([launch([10.0] * 20)], runner="onnxruntime")
        if asked["cut"]:
            raise KeyboardInterrupt
        tell(LaunchStarted(FIRST, 0))
        yield record([], runner="pytorch")

    monkeypatch.setattr(requests, "select_artifacts", lambda *_, **__: [])
    monkeypatch.setattr(surroundings, "measured_peaks", lambda host, threads: None)
    monkeypatch.setattr(requests, "plan_cells", plan)
    monkeypatch.setattr(requests, "check_planned", lambda planned, **_: None)
    monkeypatch.setattr(requests, "run_cells", run)
    monkeypatch.setattr(requests, "stop_children", lambda: asked.update(stopped=True))
    return asked


def request(folder: Path, **changes: object) -> RunRequest:
    return RunRequest(**{"runners": ["pytorch", "onnxruntime"], "workspace": folder, **changes})  # type: ignore[arg-type]


def test_run_tells_every_step_and_returns_the_records_in_the_order_of_the_plan(
    asked: Asked, tmp_path: Path
) -> None:
    events: list[RunEvent] = []
    result = carry_out(request(tmp_path, pin="none"), events.append)
    assert [made.cell.runner for made in result.records] == ["pytorch", "onnxruntime"]
    assert result.folder == tmp_path / "records" / result.run
    assert not result.interrupted
    pytorch, onnxruntime = result.records
    assert events == [
        PeaksMeasured(None),
        RunPlanned((FIRST, SECOND), result.folder, pinning=Pinning(NONE, why=NOT_WANTED)),
        LaunchStarted(SECOND, 0),
        RecordUpdated(onnxruntime),
        LaunchStarted(FIRST, 0),
        RecordUpdated(pytorch),
    ]


def test_interrupted_run_returns_what_was_finished(asked: Asked, tmp_path: Path) -> None:
    asked["cut"] = True
    result = carry_out(request(tmp_path))
    assert result.interrupted
    assert [made.cell.runner for made in result.records] == ["onnxruntime"]
    assert asked["stopped"]


def test_result_says_when_a_cell_broke(asked: Asked, tmp_path: Path) -> None:
    """Nothing was launched of the first cell, so its record has FAILED."""
    assert carry_out(request(tmp_path)).failed


def test_rounds_stand_for_target_and_budget(asked: Asked, tmp_path: Path) -> None:
    carry_out(request(tmp_path, rounds=4, baseline="onnxruntime"))
    settings = asked["settings"]
    assert isinstance(settings, requests.RunSettings)
    assert (settings.rule.max_rounds, settings.rule.half_width) == (4, None)
    assert (settings.baseline, settings.compare) == ("onnxruntime", True)


def test_auto_streams_double_up_to_the_threads_and_groups_are_spelled_out(
    asked: Asked, tmp_path: Path
) -> None:
    carry_out(request(tmp_path, streams="auto", threads=6, skip=["fair/openvino"]))
    selection = asked["selection"]
    assert isinstance(selection, surroundings.Selection)
    assert list(selection.streams) == [1, 2, 4, 6]
    assert len(selection.skip) > 1
    assert all(pattern.endswith("/openvino") for pattern in selection.skip)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"baseline": "openvino"}, "baseline among the runners"),
        ({"options": CellOptions(cuda_graph=True)}, "obeys --cuda-graph"),
        ({"devices": ["gpu"]}, "gpu"),
        ({"packs": [Path("x.tar")], "models": ["vit"]}, "a pack beside --model"),
    ],
)
def test_wish_that_cannot_come_true_is_refused_before_anything_is_measured(
    asked: Asked, tmp_path: Path, changes: dict[str, object], words: str
) -> None:
    with pytest.raises(DeployBenchError, match=words):
        carry_out(request(tmp_path, **changes))
    assert "settings" not in asked
