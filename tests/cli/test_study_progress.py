"""What a log says while a study works."""

from __future__ import annotations

import pytest

from deploybench.cli.study_progress import StudyProgress
from deploybench.evaluate.events import DataRead
from deploybench.export.order import ExportsPlanned, ExportStarted
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.results.study import Failure
from deploybench.runs.study_events import (
    StageBegun,
    StageFailed,
    StudyEvent,
    StudyImagesRead,
    TrainingKnown,
)
from deploybench.training.curve import EpochLine
from deploybench.training.events import EpochEnded, StepMade, TrainingPlanned


def log_of(capsys: pytest.CaptureFixture[str], *events: StudyEvent) -> str:
    with StudyProgress() as progress:
        for event in events:
            progress.tell(event)
    return capsys.readouterr().err


def test_an_epoch_is_a_line_with_what_it_reached(capsys: pytest.CaptureFixture[str]) -> None:
    line = EpochLine(
        epoch=1,
        step=10,
        learning_rate=0.1,
        train_loss=0.5,
        balanced_accuracy=0.412,
        seconds=1.0,
        best=True,
    )
    said = log_of(
        capsys,
        StageBegun("vit", "training", 2, 4),
        TrainingPlanned(3, 30, 0, ()),
        StepMade(1, 10, 0.5, 20.0),
        EpochEnded(line),
    )
    assert "vit (2 of 4)" in said
    assert (
        "training vit: 1 of 3 epochs done, balanced 41.2 %, the best so far (10 of 30 done)" in said
    )


def test_a_training_that_goes_on_and_one_that_is_done_are_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    said = log_of(
        capsys,
        TrainingKnown("swin", 30),
        StageBegun("vit", "training", 2, 2),
        TrainingPlanned(3, 30, 12, ()),
    )
    assert "swin: trained before, 30 epochs" in said
    assert "training vit: it goes on (12 of 30 done)" in said


def test_images_that_are_read_after_the_exports_are_not_counted_as_exports(
    capsys: pytest.CaptureFixture[str],
) -> None:
    request = ExportRequest(model=ModelRequest(name="vit"), backend="onnx")
    said = log_of(
        capsys,
        StudyImagesRead(400, 400),
        StageBegun("vit", "export", 1, 1),
        ExportsPlanned((request,)),
        ExportStarted(request),
        StageBegun("vit", "evaluation", 1, 1),
        DataRead(63, 63),
    )
    assert "400 of 400 done" in said
    assert "63 of 63 done" in said
    assert "63 of 1" not in said


def test_what_failed_of_a_model_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    failure = Failure(stage="export", reason="no such operator", backend="onnx")
    assert "vit: export: no such operator" in log_of(capsys, StageFailed("vit", failure))
