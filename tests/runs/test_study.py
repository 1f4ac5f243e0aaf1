"""A study: what is done of each model, what is not done again, and what a failure leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.export.order import ExportFinished
from deploybench.plan.cells import Selection
from deploybench.plan.selection import select_runners
from deploybench.report.study_table import study_report
from deploybench.results.study import Trained
from deploybench.results.verdict import Verdict
from deploybench.rows.study_row import study_rows
from deploybench.runs.study import StudyResult, carry_out_study
from deploybench.runs.study_events import StageBegun, StudyEvent, StudyRemarked, TrainingKnown
from deploybench.runs.study_request import StudyModel, StudyRequest
from deploybench.runs.study_times import times_of
from deploybench.runs.study_training import trained_apart
from deploybench.training.recipe import recipe
from deploybench.training.request import TrainingRequest

LEVELS = {"dark": 60, "light": 190}
SIZE = (32, 32)
MODELS = ("timm:test_resnet", "timm:test_efficientnet")
Tell = Callable[[StudyEvent], None]


def write_images(root: Path, each: dict[str, int]) -> Path:
    """Noisy grey images of two levels in folders of splits and classes."""
    generator = np.random.default_rng(0)
    for split, count in each.items():
        for name, level in LEVELS.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = generator.normal(level, 30, SIZE).clip(0, 255).astype(np.uint8)
                Image.fromarray(pixels).convert("RGB").save(folder / f"{number}.png")
    return root


def request_for(data: Path, workspace: Path, **changes: object) -> StudyRequest:
    asked = StudyRequest(
        models=[StudyModel(name, image_size=SIZE) for name in MODELS],
        data=data,
        recipe=recipe("default").with_changes({"epochs": 2, "batch": 8}),
        backends=["onnx"],
        runners=["onnxruntime"],
        budget_s=2.0,
        precision_target=0.2,
        threads=1,
        pin="none",
        workspace=workspace,
    )
    return replace(asked, **changes)  # type: ignore[arg-type]


def never(request: TrainingRequest, tell: Tell) -> Trained:
    raise AssertionError(f"{request.model} was trained again")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("levels")
    return write_images(folder / "data", {"train": 16, "val": 6, "test": 8})


@pytest.fixture(scope="module")
def studied(
    images: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyRequest, StudyResult]:
    """Two models that were trained, exported, evaluated and measured."""
    request = request_for(images, tmp_path_factory.mktemp("study") / "workspace")
    return request, carry_out_study(request)


@pytest.mark.measures
def test_every_model_is_trained_exported_evaluated_and_measured(
    studied: tuple[StudyRequest, StudyResult],
) -> None:
    _, result = studied
    assert not result.failed
    assert result.cut_short is None
    rows = study_rows(result.models, result.timed, result.evaluated)
    assert len(rows) == 2
    for row in rows:
        assert row.quality is not None
        assert row.quality.images_evaluated == 16
        assert row.quality.split == "test"
        # fp32 eager was exported and evaluated too, though only to be held against.
        assert row.quality.compared_with == "pytorch"
        assert row.quality.flipped == 0
        assert row.latency is not None
        assert row.macs is not None
        assert row.ranks.macs in (1, 2)
        assert row.model.trained is not None
        assert row.model.trained.epochs == 2
    # One run: what is ordered by time was measured side by side.
    assert len({record.run for record in result.timed}) == 1
    # Dark and light are told apart by anything that learned.
    assert max(row.accuracy.value for row in rows if row.accuracy) > 0.8


@pytest.mark.measures
def test_what_is_done_is_not_done_again(
    studied: tuple[StudyRequest, StudyResult], monkeypatch: pytest.MonkeyPatch
) -> None:
    request, first = studied
    events: list[StudyEvent] = []
    monkeypatch.setattr(
        "deploybench.runs.study_training.train_apart",
        lambda training, tell: pytest.fail("trained again"),
    )
    monkeypatch.setattr(
        "deploybench.evaluate.predicting.run_child", lambda *_, **__: pytest.fail("predicted again")
    )
    monkeypatch.setattr(
        "deploybench.runs.study.carry_out", lambda *_: pytest.fail("measured again")
    )
    again = carry_out_study(request, events.append)
    known = [event.model for event in events if isinstance(event, TrainingKnown)]
    assert known == list(MODELS)
    exported = [event.result for event in events if isinstance(event, ExportFinished)]
    assert len(exported) == 4
    assert all(result.reused for result in exported)
    remarks = [event.words for event in events if isinstance(event, StudyRemarked)]
    assert any("--measure-again" in words for words in remarks)
    assert again.models == first.models
    assert {record.run for record in again.timed} == {record.run for record in first.timed}


@pytest.mark.measures
def test_other_images_or_another_recipe_are_another_training(
    studied: tuple[StudyRequest, StudyResult], tmp_path: Path
) -> None:
    request, _ = studied
    trained: list[str] = []

    def note(training: TrainingRequest, tell: Tell) -> Trained:
        trained.append(training.out.name)
        raise DeployBenchError("not now")

    changed = write_images(tmp_path / "data", {"train": 3, "val": 3, "test": 3})
    longer = request.recipe.with_changes({"epochs": 3})
    for other in (replace(request, data=changed), replace(request, recipe=longer)):
        carry_out_study(other, train=note)
    folders = {path.name for path in (request.workspace or tmp_path).glob("trained/*")}
    assert len(trained) == 4
    assert not folders & set(trained)


@pytest.mark.measures
def test_times_of_another_machine_or_with_another_model_are_not_taken_for_known(
    studied: tuple[StudyRequest, StudyResult],
) -> None:
    request, result = studied
    workspace = Workspace(request.workspace or Path())
    artifacts = [one for one in workspace.artifacts() if one.manifest.backend == "onnx"]
    selection = Selection(select_runners(request.runners), [1], ["fp32"], 1, devices=["cpu"])
    here = result.timed[0].host
    assert times_of(artifacts, selection, workspace, here) is not None
    assert times_of(artifacts[:1], selection, workspace, here) is not None
    elsewhere = here.replaced(hostname="elsewhere")
    assert times_of(artifacts, selection, workspace, elsewhere) is None
    eager = [one for one in workspace.artifacts() if one.manifest.backend == "pytorch"]
    both = Selection(select_runners(["pytorch", "onnxruntime"]), [1], ["fp32"], 1, devices=["cpu"])
    assert times_of([*artifacts, *eager], both, workspace, here) is None


def test_a_model_that_cannot_be_trained_is_a_row_with_its_reason_and_the_next_one_is_trained(
    images: Path, tmp_path: Path
) -> None:
    tried: list[str] = []

    def broken(training: TrainingRequest, tell: Tell) -> Trained:
        tried.append(training.model)
        raise DeployBenchError(f"the loss of {training.model} is NaN", action="a lower rate")

    result = carry_out_study(request_for(images, tmp_path), train=broken)
    assert tried == list(MODELS)
    assert result.failed
    assert [model.failures[0].stage for model in result.models] == ["training", "training"]
    rows = study_rows(result.models, result.timed, result.evaluated)
    assert [row.verdict for row in rows] == [Verdict.FAILED, Verdict.FAILED]
    report = study_report(result.models, result.timed, result.evaluated)
    notes = [note.cause for table in report.tables for note in table.notes]
    assert notes[0] == "training: the loss of timm:test_resnet is NaN"


def test_an_interrupt_ends_the_study_and_says_of_each_model_how_far_it_is(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # There are no children, and the tests' own server of processes is not to be killed.
    monkeypatch.setattr("deploybench.runs.study.stop_children", lambda: None)

    def interrupted(training: TrainingRequest, tell: Tell) -> Trained:
        if training.model == MODELS[0]:
            raise DeployBenchError("it does not train")
        raise KeyboardInterrupt

    three = [StudyModel(name, image_size=SIZE) for name in (*MODELS, "timm:test_vit")]
    result = carry_out_study(request_for(images, tmp_path, models=three), train=interrupted)
    assert isinstance(result.cut_short, KeyboardInterrupt)
    reasons = [model.failures[0].reason for model in result.models]
    assert reasons[0] == "it does not train"
    assert reasons[1:] == ["interrupted during its training", "interrupted before its training"]
    rows = study_rows(result.models, result.timed, result.evaluated)
    assert [row.verdict for row in rows] == [Verdict.FAILED, Verdict.SKIPPED, Verdict.SKIPPED]


def test_images_without_splits_are_split_once_and_the_table_is_kept(
    images: Path, tmp_path: Path
) -> None:
    asked: list[TrainingRequest] = []

    def note(training: TrainingRequest, tell: Tell) -> Trained:
        asked.append(training)
        raise DeployBenchError("not now")

    plain = images / "train"
    workspace = tmp_path / "workspace"
    result = carry_out_study(request_for(plain, workspace), train=note)
    again = carry_out_study(request_for(plain, workspace), train=note)
    (table,) = (workspace / "splits").glob("*.csv")
    assert {training.data for training in asked} == {table}
    assert result.data.test_split == "test"
    assert result.data == again.data
    assert "had no splits" in result.data.notes[0]


def test_without_val_it_is_said_that_the_best_epoch_was_chosen_on_the_same_images(
    tmp_path: Path,
) -> None:
    data = write_images(tmp_path / "data", {"train": 3, "test": 3})

    def note(training: TrainingRequest, tell: Tell) -> Trained:
        raise DeployBenchError("not now")

    result = carry_out_study(request_for(data, tmp_path / "workspace"), train=note)
    assert "a little too good" in result.data.notes[0]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"backends": ["onxn"]}, "unknown backend 'onxn'"),
        ({"backends": ["openvino"]}, "no runner of this study runs it"),
        ({"test_split": "tset"}, "unknown split 'tset'"),
        ({"models": [StudyModel("resnet5")]}, "unknown model 'resnet5'"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_trained(
    images: Path, tmp_path: Path, changes: dict[str, object], found: str
) -> None:
    with pytest.raises(DeployBenchError) as refused:
        carry_out_study(request_for(images, tmp_path, **changes), train=never)
    assert found in refused.value.found


def test_a_model_cannot_be_studied_twice_nor_none_at_all(tmp_path: Path) -> None:
    with pytest.raises(DeployBenchError, match="twice"):
        request_for(tmp_path, tmp_path, models=[StudyModel("vit"), StudyModel("vit")])
    with pytest.raises(DeployBenchError, match="no model"):
        request_for(tmp_path, tmp_path, models=[])


def test_stages_are_told_in_their_order(images: Path, tmp_path: Path) -> None:
    events: list[StudyEvent] = []

    def broken(training: TrainingRequest, tell: Tell) -> Trained:
        raise DeployBenchError("no")

    carry_out_study(request_for(images, tmp_path), events.append, train=broken)
    begun = [(event.model, event.stage) for event in events if isinstance(event, StageBegun)]
    assert begun == [(MODELS[0], "training"), (MODELS[1], "training")]


def test_the_training_itself_is_the_usual_one() -> None:
    assert carry_out_study.__defaults__ == (None, trained_apart)
