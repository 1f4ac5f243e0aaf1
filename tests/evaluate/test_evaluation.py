"""Evaluations of a small model on a few images, from the data to the record."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.evaluate.events import CellStarted, EvaluationEvent
from deploybench.evaluate.journal import Predictions
from deploybench.evaluate.predicting import Predicted
from deploybench.results.launch import Launch
from deploybench.results.quality import ITSELF, Quality
from deploybench.results.record import Record
from deploybench.results.store import evaluations_in, latest_run, read_records
from deploybench.results.verdict import Verdict
from deploybench.runs.evaluation import EvaluationRequest, EvaluationResult, carry_out_evaluation
from tests.evaluate.conftest import COLOURS, write_classes, write_images


@pytest.fixture
def workspace(colours: Workspace, tmp_path: Path) -> Workspace:
    """A workspace of the test's own with the artifacts."""
    own = Workspace(tmp_path / "workspace")
    shutil.copytree(colours.artifacts_folder, own.artifacts_folder)
    return own


def evaluate(
    workspace: Workspace,
    data: Path,
    runners: Sequence[str] = ("onnxruntime",),
    events: list[EvaluationEvent] | None = None,
    **asked: object,
) -> EvaluationResult:
    request = EvaluationRequest(
        data=data,
        runners=runners,
        workspace=workspace.root,
        threads=1,
        **asked,  # type: ignore[arg-type]
    )
    seen: list[EvaluationEvent] = [] if events is None else events
    return carry_out_evaluation(request, seen.append)


def of_runner(result: EvaluationResult, name: str) -> Record:
    (record,) = [one for one in result.records if one.cell.runner == name]
    return record


def quality_of(record: Record) -> Quality:
    assert record.quality is not None, record.judgement
    return record.quality


def test_labelled_folder_has_figures_and_the_difference_to_fp32_eager(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = write_classes(tmp_path / "data", each=8, mistakes=2)
    result = evaluate(workspace, data)
    assert not result.failed
    assert [record.cell.runner for record in result.records] == ["pytorch", "onnxruntime"]
    quality = quality_of(of_runner(result, "onnxruntime"))
    assert quality.data.images == quality.data.evaluated == 48
    assert quality.data.labels == "single-label"
    # Folders come in the order of the alphabet, the model's classes in another: matched by name.
    assert quality.classes_from.startswith("by name")
    figures = quality.figures
    assert figures is not None
    assert figures.top1 is not None
    assert figures.top1.value == 0.75
    assert figures.top1.low is not None
    assert figures.top1.low < 0.75
    assert figures.balanced_accuracy is not None
    assert figures.balanced_accuracy.value == 0.75
    assert figures.top5 is not None
    assert {one.name: one.images for one in quality.classes} == dict.fromkeys(COLOURS, 8)
    red_for_green = (0, 1, 2)
    assert red_for_green in quality.confusion
    assert quality.right is not None
    assert quality.right.values.sum() == 36
    eager = quality.eager
    assert eager is not None
    assert eager.runner == "pytorch"
    assert eager.difference is not None
    assert eager.difference.value == 0
    assert eager.agreement.flipped == 0
    assert eager.agreement.largest_shift is not None
    assert eager.agreement.largest_shift < 1e-5
    assert quality_of(of_runner(result, "pytorch")).no_eager == ITSELF


def test_record_lies_on_disk_and_is_no_run_of_times(workspace: Workspace, tmp_path: Path) -> None:
    data = write_classes(tmp_path / "data", each=2)
    result = evaluate(workspace, data)
    records = read_records(result.folder)
    assert {record.measures for record in records} == {"quality"}
    assert len(evaluations_in(workspace.records_folder)) == 2
    assert latest_run(workspace.records_folder) is None
    record = of_runner(result, "onnxruntime")
    assert record.sealed() in records
    assert record.judgement.verdict is Verdict.VALID
    assert record.parity is not None
    assert record.command.startswith("deploybench evaluate --data")


def test_artifact_that_the_named_model_lacks_is_exported_first(
    workspace: Workspace, colours: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(colours.root.parent))  # where the factory lies
    (onnx,) = [one for one in workspace.artifacts() if one.manifest.backend == "onnx"]
    shutil.rmtree(onnx.path)
    data = write_classes(tmp_path / "data", each=1)
    events: list[object] = []
    result = evaluate(workspace, data, models=["colournets:colours"], events=events)  # type: ignore[arg-type]
    assert [type(event).__name__ for event in events[:2]] == ["ExportsPlanned", "ExportStarted"]
    assert quality_of(of_runner(result, "onnxruntime")).accuracy is not None


def test_reduced_precision_is_held_against_fp32_on_the_same_runner(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = write_classes(tmp_path / "data", each=2)
    result = evaluate(workspace, data, ("pytorch",), precisions=["bf16"])
    assert [record.cell.precision for record in result.records] == ["fp32", "bf16"]
    reduced = result.records[1]
    if reduced.judgement.verdict is not Verdict.SKIPPED:  # a CPU that computes in it
        eager = quality_of(reduced).eager
        assert eager is not None
        assert eager.agreement.largest_shift is not None
        assert eager.agreement.largest_shift > 1e-5


def test_second_evaluation_predicts_nothing_again(workspace: Workspace, tmp_path: Path) -> None:
    data = write_classes(tmp_path / "data", each=2)
    first = evaluate(workspace, data)
    events: list[EvaluationEvent] = []
    second = evaluate(workspace, data, events=events)
    started = [event for event in events if isinstance(event, CellStarted)]
    assert [event.done for event in started] == [12, 12]
    # What was proved of the session that made them goes on standing in the record.
    assert [one.launches for one in second.records] == [one.launches for one in first.records]
    assert all(record.parity is not None for record in second.records)
    assert [one.quality for one in second.records] == [one.quality for one in first.records]
    events.clear()
    evaluate(workspace, data, events=events, fresh=True, compare=False)
    started = [event for event in events if isinstance(event, CellStarted)]
    assert [event.done for event in started] == [0]


def test_another_image_in_the_folder_is_another_evaluation(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = write_classes(tmp_path / "data", each=2)
    evaluate(workspace, data, compare=False)
    write_images(data / "red", ["red"] * 3, seed=9)
    events: list[EvaluationEvent] = []
    result = evaluate(workspace, data, events=events, compare=False)
    assert [event.done for event in events if isinstance(event, CellStarted)] == [0]
    assert quality_of(result.records[0]).data.images == 13


def test_image_that_does_not_read_is_listed_and_the_others_count(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = write_classes(tmp_path / "data", each=4)
    (data / "red" / "0000.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    result = evaluate(workspace, data)
    assert result.failed
    record = of_runner(result, "onnxruntime")
    quality = quality_of(record)
    assert record.judgement.verdict is Verdict.VALID
    assert "1 of 24 could not be read" in record.judgement.reason
    (failed,) = quality.failed
    assert failed.image.endswith("red/0000.png")
    assert (quality.data.images, quality.data.evaluated) == (24, 23)
    assert quality.eager is not None
    assert quality.eager.agreement.images == 23
    assert quality.seen.values.sum() == 23


def test_no_image_that_reads_is_a_failed_row(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    result = evaluate(workspace, folder)
    assert {record.judgement.verdict for record in result.records} == {Verdict.FAILED}
    assert "none of 1 image could be read" in result.records[0].judgement.reason


def test_folder_without_labels_tells_how_far_the_answers_are_from_fp32_eager(
    workspace: Workspace, tmp_path: Path
) -> None:
    write_images(tmp_path / "data", [*COLOURS, *COLOURS])
    result = evaluate(workspace, tmp_path / "data")
    quality = quality_of(of_runner(result, "onnxruntime"))
    assert quality.figures is None
    assert quality.right is None
    assert quality.data.labels == "none"
    assert quality.eager is not None
    assert quality.eager.difference is None
    agreement = quality.eager.agreement
    assert (agreement.images, agreement.flipped, agreement.top5) == (12, 0, 1.0)
    assert agreement.top1.value == 1
    assert agreement.mean_shift is not None
    assert agreement.largest_shift is not None
    assert 0 <= agreement.mean_shift <= agreement.largest_shift < 1e-5


def test_without_labels_and_without_fp32_eager_there_is_nothing_to_tell(
    workspace: Workspace, tmp_path: Path
) -> None:
    write_images(tmp_path / "data", list(COLOURS))
    with pytest.raises(DeployBenchError, match="no labels, and there is no fp32 eager"):
        evaluate(workspace, tmp_path / "data", compare=False)


def test_one_image_is_read_by_the_same_code_as_predict(
    workspace: Workspace, tmp_path: Path
) -> None:
    """16 bits grey: the window of the user's is obeyed."""
    data = tmp_path / "data"
    data.mkdir()
    for number in range(2):
        levels = np.full((32, 32), 1000 + 500 * number, np.uint16)
        Image.fromarray(levels).save(data / f"{number}.png")
    from deploybench.data.preprocessing_options import PreprocessingOptions

    said = PreprocessingOptions(window=(0.0, 4000.0))
    result = evaluate(workspace, data, preprocessing=said)
    quality = quality_of(of_runner(result, "onnxruntime"))
    assert "4000" in quality.preprocessing
    assert quality.data.evaluated == 2


class TestClasses:
    """How the classes of the data become the model's."""

    def test_class_that_the_model_does_not_have_is_refused(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        data = write_classes(tmp_path / "data", each=2)
        (data / "red").rename(data / "scarlet")
        with pytest.raises(DeployBenchError, match="scarlet"):
            evaluate(workspace, data)

    def test_classes_in_the_models_order_are_as_the_user_names_them(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        data = write_classes(tmp_path / "data", each=2)
        result = evaluate(workspace, data, class_names=list(COLOURS), compare=False)
        quality = quality_of(result.records[0])
        assert quality.figures is not None
        assert quality.figures.top1 is not None
        assert quality.figures.top1.value == 1
        assert quality.classes_from == "as --class-names says"

    def test_too_few_names_are_refused(self, workspace: Workspace, tmp_path: Path) -> None:
        data = tmp_path / "data"
        write_images(data / "red", ["red"])
        write_images(data / "green", ["green"])
        with pytest.raises(DeployBenchError, match="2 names, and the model puts out 6"):
            evaluate(workspace, data, class_names=["red", "green"], compare=False)


def test_several_labels_an_image_have_figures_of_their_own(
    workspace: Workspace, tmp_path: Path
) -> None:
    """Two primary colours make up a mixed one: each output is a label of its own."""
    paths = write_images(tmp_path / "data", ["red", "green", "blue", "yellow"] * 4)
    lines = ["path," + ",".join(COLOURS)]
    for number, path in enumerate(paths):
        shown = {list(COLOURS)[number % 4]}
        if "yellow" in shown:
            shown |= {"red", "green"}
        lines.append(f"{path.name}," + ",".join(str(int(name in shown)) for name in COLOURS))
    (tmp_path / "data" / "labels.csv").write_text("\n".join(lines))
    with pytest.raises(DeployBenchError, match="any number of labels an image"):
        evaluate(workspace, tmp_path / "data")
    result = evaluate(workspace, tmp_path / "data", task="multi_label")
    quality = quality_of(of_runner(result, "onnxruntime"))
    assert quality.data.labels == "multi-label"
    figures = quality.figures
    assert figures is not None
    assert figures.top1 is None
    assert figures.exact_match is not None
    assert figures.accuracy == figures.exact_match
    assert figures.area is not None
    assert quality.without_area == ("cyan", "magenta")
    assert quality.eager is not None
    assert quality.eager.agreement.flipped == 0


def test_numbers_that_are_no_scores_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    data = write_classes(tmp_path / "data", each=1)
    with pytest.raises(DeployBenchError, match="there is no class that could be right"):
        evaluate(workspace, data, task="regression")


@pytest.mark.parametrize(
    ("launch", "verdict"),
    [
        (Launch(refused="onnxruntime puts out NaN for red/0001.png"), Verdict.INVALID),
        (Launch(error="killed by SIGKILL"), Verdict.FAILED),
    ],
)
def test_cell_that_broke_or_was_wrong_is_a_row_without_figures(
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    launch: Launch,
    verdict: Verdict,
) -> None:
    data = write_classes(tmp_path / "data", each=1)
    found = Predictions(np.empty(0, np.int64), np.empty((0, 6), np.float32), {})
    monkeypatch.setattr(
        "deploybench.runs.evaluating.predict_cell",
        lambda *arguments, **named: Predicted(launch, found),
    )
    result = evaluate(workspace, data)
    assert result.failed
    for record in result.records:
        assert record.quality is None
        assert record.judgement.verdict is verdict
        assert (launch.refused or launch.error or "") in record.judgement.reason


def test_same_evaluation_is_not_done_twice_at_the_same_time(
    workspace: Workspace, tmp_path: Path
) -> None:
    data = write_classes(tmp_path / "data", each=1)
    evaluate(workspace, data, compare=False)
    (folder,) = workspace.evaluations_folder.iterdir()
    with FileLock(folder / ".lock"):
        result = evaluate(workspace, data, compare=False)
    assert isinstance(result.cut_short, DeployBenchError)
    assert "another process evaluates" in result.cut_short.found


def test_folder_without_images_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(DeployBenchError):
        evaluate(workspace, tmp_path / "data")


def test_one_class_only_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    write_images(tmp_path / "data" / "red", ["red"] * 3)
    with pytest.raises(DeployBenchError, match="one class"):
        evaluate(workspace, tmp_path / "data")
