"""A whole training: what it writes, what an export makes of it, and that both tell one accuracy."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.export.order import ExportOrder, export_models
from deploybench.models.loading import load_model
from deploybench.models.source import BuildOptions
from deploybench.runs.evaluation import EvaluationRequest, carry_out_evaluation
from deploybench.training.events import EpochEnded, StepMade, TrainingEvent, TrainingPlanned
from deploybench.training.folder import read_record
from deploybench.training.job import TrainingResult, result_in, train
from deploybench.training.memory import is_out_of_memory
from tests.training.small import COLOURS, MODEL, SIZE, coloured, request


@pytest.fixture(scope="module")
def trained(colours: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainingResult:
    """A training of a grey model, at its own size and normalisation, with a moving average."""
    out = tmp_path_factory.mktemp("trained") / "out"
    said = PreprocessingOptions(mean=(0.3,), std=(0.2,), crop=1.0, interpolation="bilinear")
    return train(request(colours, out, epochs=3, ema=0.9, preprocessing=said))


def test_a_training_tells_its_plan_each_step_and_each_epoch(colours: Path, tmp_path: Path) -> None:
    events: list[TrainingEvent] = []
    train(request(colours, tmp_path / "out"), events.append)
    planned = [event for event in events if isinstance(event, TrainingPlanned)]
    assert [(event.epochs, event.steps, event.done) for event in planned] == [(2, 8, 0)]
    steps = [event for event in events if isinstance(event, StepMade)]
    assert [(event.epoch, event.step) for event in steps][::4] == [(1, 1), (2, 5)]
    assert len([event for event in events if isinstance(event, EpochEnded)]) == 2


def test_the_folder_holds_the_weights_of_the_best_epoch_and_all_that_decided_them(
    trained: TrainingResult,
) -> None:
    folder = trained.folder
    names = {path.name for path in folder.iterdir()}
    assert {"model.safetensors", "config.json", "training.json", "epochs.jsonl"} <= names
    assert any(name.startswith("events.out.tfevents") for name in names)
    assert "last" not in names, "what is only for going on is gone"
    record = read_record(folder)
    assert record is not None
    assert record.finished
    assert record.best_epoch == trained.best.epoch
    assert record.plan.data.classes == tuple(COLOURS)
    assert record.plan.data.training_counts == (12, 12, 12)
    assert record.plan.recipe.words == (
        "default, with epochs 3, batch 9, learning_rate 0.002, ema 0.9 and warmup_epochs 0.3"
    )
    assert trained.best.balanced_accuracy == max(
        line.balanced_accuracy or 0 for line in trained.lines
    )
    assert (folder / "model.safetensors").stat().st_mode & 0o044, "others may read it"
    assert result_in(folder).best == trained.best


def test_an_export_of_the_folder_needs_no_flag_and_its_accuracy_is_the_training_s(
    trained: TrainingResult, colours: Path, tmp_path: Path
) -> None:
    order = ExportOrder(
        models=[MODEL], backends=["onnx"], checkpoint=trained.folder, workspace=tmp_path
    )
    [exported] = export_models(order)
    assert exported.error is None
    assert exported.artifact is not None
    manifest = exported.artifact.manifest
    assert exported.artifact.labels() == list(COLOURS)
    assert manifest.model.num_classes == 3
    spec = manifest.preprocessing
    assert (spec.height, spec.width, spec.channels) == (SIZE, SIZE, 3)
    assert (spec.mean, spec.std, spec.crop_fraction) == ((0.3,) * 3, (0.2,) * 3, 1.0)
    assert spec.assumed == ()
    assert manifest.assumed == ()
    assert manifest.task is not None
    assert (manifest.task.kind, manifest.task.known) == ("multi_class", "found")

    evaluation = EvaluationRequest(
        data=colours, split="val", runners=["onnxruntime"], compare=False, workspace=tmp_path
    )
    [record] = carry_out_evaluation(evaluation).records
    assert record.quality is not None
    figures = record.quality.figures
    assert figures is not None
    assert figures.top1 is not None
    assert figures.balanced_accuracy is not None
    assert figures.area is not None
    assert figures.top1.value == trained.best.top1
    assert figures.balanced_accuracy.value == trained.best.balanced_accuracy
    assert figures.area.value == pytest.approx(trained.best.area, abs=1e-9)
    assert trained.best.top1 > 1 / 3, "it has learned something"


def test_a_grey_model_of_ours_comes_out_as_it_was_trained(colours: Path, tmp_path: Path) -> None:
    """Its attention is our own code: timm's config.json has no name for it."""
    out = tmp_path / "out"
    train(request(colours, out, model="xca", in_channels=1, epochs=1, batch=36))
    built, weights = load_model("xca", BuildOptions(), out, allow_partial=False)
    spec = built.preprocessing
    assert (spec.channels, spec.height, spec.width) == (1, 32, 32)
    assert built.labels == tuple(COLOURS)
    assert weights.missing == weights.ignored == 0
    config = json.loads((out / "config.json").read_text())
    assert "architecture" not in config
    with pytest.raises(DeployBenchError) as caught:
        load_model(f"hub:{out}", BuildOptions(), None, allow_partial=False)
    assert caught.value.action == f"--model xca --checkpoint {out}"


def test_the_moving_average_comes_out_and_not_the_last_weights(
    colours: Path, tmp_path: Path
) -> None:
    plain = train(request(colours, tmp_path / "plain", epochs=1))
    average = train(request(colours, tmp_path / "average", epochs=1, ema=0.999))
    assert plain.lines[0].train_loss == average.lines[0].train_loss, "the steps are the same"
    tensors = load_file(plain.checkpoint), load_file(average.checkpoint)
    assert not torch.equal(tensors[0]["fc.weight"], tensors[1]["fc.weight"])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model": "tests.training.nets:auxiliary"}, "returns a tuple for 2 images in training"),
        ({"model": "tests.training.nets:with_softmax"}, "ends in Softmax"),
        ({"model": "timm:test_resnetz"}, "unknown timm model"),
        ({"model": "timm:test_vit", "image_size": (37, 37)}, "37"),
        ({"optimizer": "adamzz"}, "no optimizer 'adamzz'"),
        ({"precision": "fp16"}, "fp16 on the CPU"),
        ({"device": "cuda", "devices": 9}, "--devices 9"),
        ({"rand_augment": "nonsense"}, "rand_augment"),
        ({"init_from": Path("nowhere.pt")}, "nowhere.pt"),
        ({"model": "tests.training.nets:averaging", "batch": 1}, "1 image a step on each device"),
        ({"model": "tests.training.nets:frozen"}, "its code froze 6 tensors of 6"),
    ],
)
def test_what_cannot_be_trained_is_refused_in_words(
    changes: dict[str, object], said: str, colours: Path, tmp_path: Path
) -> None:
    with pytest.raises(DeployBenchError) as caught:
        train(request(colours, tmp_path / "out", **changes))
    assert said in caught.value.found


def test_a_loss_that_is_not_finite_ends_it_with_the_step_and_what_to_try(
    colours: Path, tmp_path: Path
) -> None:
    with pytest.raises(DeployBenchError) as caught:
        train(
            request(
                colours,
                tmp_path / "out",
                optimizer="sgd",
                learning_rate=1e30,
                warmup_epochs=0,
                clip_gradient=None,
            )
        )
    assert "the loss is nan at step" in caught.value.found
    action = caught.value.action or ""
    assert "--learning-rate 1e+29" in action
    assert "--clip-gradient 1" in action
    assert "--warmup-epochs" in action


def test_patience_ends_a_training_that_gets_no_better(colours: Path, tmp_path: Path) -> None:
    result = train(
        request(
            colours,
            tmp_path / "out",
            model="tests.training.nets:dropping",
            learning_rate=1e-12,
            epochs=6,
            patience=2,
        )
    )
    assert [line.epoch for line in result.lines] == [1, 2, 3]
    shares = [line.balanced_accuracy or 0 for line in result.lines]
    assert shares[0] == max(shares)
    assert result.stopped_early
    again = train(
        request(
            colours,
            tmp_path / "out",
            model="tests.training.nets:dropping",
            learning_rate=1e-12,
            epochs=6,
            patience=2,
            resume=True,
        )
    )
    assert again.stopped_early


def test_begun_with_another_training_its_classifier_is_taken_for_the_same_classes(
    trained: TrainingResult, colours: Path, tmp_path: Path
) -> None:
    result = train(
        request(
            colours,
            tmp_path / "out",
            init_from=trained.folder,
            learning_rate=1e-12,
            epochs=1,
        )
    )
    assert result.record.begun_from == trained.folder.name
    spec = result.record.plan.preprocessing
    assert spec.mean == (0.3,) * 3, "the images are those of the weights"
    assert any("its classes are the same" in note for note in result.record.notes)
    before, after = load_file(trained.checkpoint), load_file(result.checkpoint)
    assert torch.allclose(before["fc.weight"], after["fc.weight"], atol=1e-6)


def test_several_labels_an_image_are_judged_by_the_area(tmp_path: Path) -> None:
    data = coloured(tmp_path / "data", {"train": 6, "val": 4})
    rows = []
    for path in sorted(data.rglob("*.png")):
        name, split = path.parent.name, path.parent.parent.name
        rows.append((path.relative_to(data), split, int(name == "red"), int(name != "blue")))
    with (data / "manifest.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("path", "split", "reddish", "warm"), *rows])
    out = tmp_path / "out"
    result = train(request(data, out, recipe="chexpert", epochs=2, batch=6, balance="loss"))
    assert result.best.top1 is None
    assert result.best.area is not None
    assert result.best.area == max(line.area or 0 for line in result.lines)
    built, _ = load_model(MODEL, BuildOptions(), out, allow_partial=False)
    assert built.task == "multi_label:logits"
    assert built.labels == ("reddish", "warm")


def test_what_a_factory_froze_stays_as_it_is_and_is_counted(colours: Path, tmp_path: Path) -> None:
    model = "tests.training.nets:frozen_features"
    result = train(request(colours, tmp_path / "out", model=model, epochs=1))
    said = f"4 tensors stay as they are, of 6: the code of {model} froze them (requires_grad)"
    assert said in result.record.notes
    built, _ = load_model(model, BuildOptions(num_classes=3), None, allow_partial=False)
    before, after = built.module.state_dict(), load_file(result.checkpoint)
    for name in ("0.weight", "0.bias", "1.weight", "1.bias"):
        assert torch.equal(before[name], after[name])
    assert not torch.equal(before["6.weight"], after["6.weight"])


def test_wanting_memory_is_told_with_what_can_be_made_smaller(
    colours: Path, tmp_path: Path
) -> None:
    model = "tests.training.nets:out_of_memory"
    with pytest.raises(DeployBenchError) as caught:
        train(request(colours, tmp_path / "out", model=model, batch=64))
    assert caught.value.found == (
        "out of memory with batches of 36 images of 3 x 32 x 32: CUDA out of memory. Tried to "
        "allocate 2.00 GiB."
    )
    action = caught.value.action or ""
    for option in ("--force", "--batch 18", "--image-size", "--precision bf16"):
        assert option in action


@pytest.mark.parametrize(
    ("error", "wanting"),
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
    ],
)
def test_errors_of_memory_are_told_from_others(
    error: RuntimeError | MemoryError, wanting: bool
) -> None:
    assert is_out_of_memory(error) == wanting


def test_the_cpu_s_own_want_of_memory_is_one() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**58, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)


def test_another_fault_of_a_model_is_not_called_too_few_images(
    colours: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="not enough values to unpack"):
        train(request(colours, tmp_path / "out", model="tests.training.nets:of_a_fault"))


def test_the_curve_can_be_looked_at_while_it_trains(colours: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    seen = []

    def tell(event: TrainingEvent) -> None:
        if isinstance(event, EpochEnded):
            seen.append((tmp_path / "out" / "curve.png").is_file())

    train(request(colours, tmp_path / "out", model="tests.training.nets:dropping"), tell)
    assert seen == [True, True]
