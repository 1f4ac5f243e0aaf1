"""A tuning of a tiny model on a tiny set, with everything real: two backends, and again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from deploybench.contracts.registry import exporters
from deploybench.export.order import ExportFinished
from deploybench.report.data import report_json
from deploybench.report.tune_table import tune_report
from deploybench.tuning.events import TuneEvent, TuneRemarked
from deploybench.tuning.images import images_of
from deploybench.tuning.request import TuneRequest
from deploybench.tuning.space import INT8, takes_calibration
from deploybench.tuning.tune import TuneResult, tune
from tests.tuning.test_bad_input import write_set


def request_for(data: Path, workspace: Path) -> TuneRequest:
    return TuneRequest(
        data=data,
        model="timm:test_efficientnet",
        num_classes=2,
        image_size=(32, 32),
        backends=["onnx"],
        runners=["pytorch", "onnxruntime"],
        precisions=["fp32"],
        budget_s=240.0,
        threads=1,
        pin="none",
        runtime_options=False,
        export_options=False,
        workspace=workspace,
    )


@pytest.fixture(scope="module", autouse=True)
def _one_short_look() -> Iterator[None]:
    """Whatever the machine, what was evaluated is measured once, for the least time.

    What a tuning does is looked at. On a busy machine it would spend its budget on intervals.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("deploybench.tuning.halving.seconds_each", lambda *_: 0.0)
        patch.setattr("deploybench.tuning.halving.MOST_LOOKS", 1)
        yield


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> tuple[TuneRequest, TuneResult]:
    folder = tmp_path_factory.mktemp("tuned")
    request = request_for(write_set(folder / "data", {"test": 8}), folder / "workspace")
    return request, tune(request)


@pytest.mark.measures
def test_two_backends_are_exported_evaluated_measured_and_one_is_chosen(
    tuned: tuple[TuneRequest, TuneResult],
) -> None:
    _, result = tuned
    assert result.cut_short is None
    assert result.tuned is not None
    assert {record.cell.runner for record in result.timed} == {"pytorch", "onnxruntime"}
    assert {record.cell.runner for record in result.evaluated} == {"pytorch", "onnxruntime"}
    # Eager's own answers are its own, and ONNX Runtime's the same on every image: both may win.
    assert result.winner is not None
    rows = json.loads(report_json(tune_report(result.tuned)))
    assert len([row for row in rows if row["tried"]]) == 2
    assert [row["recommended"] for row in rows].count(True) == 1
    run = result.winner.run
    assert (result.folder.parent.parent / "records" / run).is_dir()


@pytest.mark.measures
def test_what_is_done_is_not_done_again(
    tuned: tuple[TuneRequest, TuneResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, first = tuned
    monkeypatch.setattr(
        "deploybench.tuning.evaluating.carry_out_evaluation",
        lambda *_: pytest.fail("evaluated again"),
    )
    monkeypatch.setattr(
        "deploybench.tuning.measuring.run_cells", lambda *_, **__: pytest.fail("measured again")
    )
    events: list[TuneEvent] = []
    again = tune(request, events.append)
    exported = [event.result for event in events if isinstance(event, ExportFinished)]
    assert exported
    assert all(result.reused for result in exported)
    assert any(isinstance(one, TuneRemarked) and "before" in one.words for one in events)
    assert again.winner is not None
    assert first.winner is not None
    assert again.winner.cell == first.winner.cell
    assert again.winner.run == first.winner.run


@pytest.mark.measures
@pytest.mark.skipif(
    not takes_calibration() or INT8 not in getattr(exporters()["onnx"].plugin, "precisions", ()),
    reason="no exporter here calibrates int8 on images that are named",
)
def test_int8_that_was_calibrated_with_noise_is_shown_and_never_wins_by_being_wrong(
    tmp_path: Path, tuned: tuple[TuneRequest, TuneResult]
) -> None:
    request, _ = tuned
    noisy = replace(
        request,
        precisions=["fp32", INT8],
        calibration="synthetic",
        max_accuracy_drop=0.0,
        budget_s=240.0,
        workspace=tmp_path,
    )
    result = tune(noisy)
    assert result.winner is not None
    assert result.tuned is not None
    for one in result.tuned.outcomes:
        cell = one.assessment.candidate.record.cell
        if cell.precision == INT8 and one.assessment.fit.value != "MEETS":
            assert result.winner.cell.precision != INT8


def test_images_to_calibrate_on_are_never_evaluated_on(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {".": 20})
    request = replace(request_for(data, tmp_path), split=None)
    images = images_of(request, tmp_path / "tables", lambda done, count: None)
    assert images.calibration is not None
    calibrated = _files(Path(images.calibration))
    evaluated = _files(Path(images.steps[-1].path))
    assert len(calibrated) == 8
    assert len(evaluated) == 32
    assert not calibrated & evaluated
    assert any("not evaluated on" in note for note in images.notes)


def test_steps_have_more_images_each_and_every_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploybench.tuning.images.FIRST_IMAGES", 4)
    data = write_set(tmp_path / "data", {"train": 2, "test": 20})
    request = request_for(data, tmp_path)
    images = images_of(request, tmp_path / "tables", lambda done, count: None)
    assert images.counts == (4, 16, 40)
    for step, count in zip(images.steps, images.counts, strict=True):
        opened = step.open()
        assert len(opened) == count
        assert opened.class_names == ("dark", "light")
    assert images.steps[-1].split == "test"
    assert len(_files(Path(images.calibration or ""))) == 4


def test_unlabelled_images_are_judged_by_agreement_and_that_is_said(tmp_path: Path) -> None:
    data = write_set(tmp_path / "data", {".": 6}, labelled=False)
    images = images_of(request_for(data, tmp_path), tmp_path / "tables", lambda done, count: None)
    assert not images.labelled
    assert any("agreement with fp32 eager is the accuracy" in note for note in images.notes)
    assert any("99 %" in note for note in images.notes)


def _files(table: Path) -> set[str]:
    lines = table.read_text().splitlines()[1:]
    return {str((table.parent / line.split(",")[0]).resolve()) for line in lines}
