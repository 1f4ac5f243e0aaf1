"""Files of others become artifacts: what is read of them, what has to be said, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper
from PIL import Image

from deploybench.artifacts.artifact import Artifact, Manifest
from deploybench.artifacts.workspace import Workspace
from deploybench.children.processes import ChildOutcome
from deploybench.contracts import RunOptions
from deploybench.contracts.registry import runners_of_format
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.evaluate.predict import predict_images
from deploybench.export import adoption, adoption_job
from deploybench.export.adoption import AdoptOrder, adopt
from deploybench.measure.proof import prove, reference_batches
from deploybench.plan.cells import Selection, Sizes, plan_cells
from deploybench.plan.selection import check_baseline_planned, nothing_to_run, select_runners
from deploybench.report.export_table import export_data
from deploybench.runs.missing import missing_exports
from tests.export.foreign import CLASSES, SIDE, onnx_model

STATED = PreprocessingOptions(mean=(0.5,), std=(0.25,))


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child's work without the child: the same function, called here."""

    def run(module: str, request: str, **_: object) -> ChildOutcome:
        job = adoption_job.AdoptionJob.model_validate_json(request)
        reply = adoption_job.answered(job)
        return ChildOutcome(reply.model_dump_json().encode(), None, "")

    monkeypatch.setattr(adoption, "run_forked", run)


def adopted(file: Path, workspace: Path | None = None, **options: Any) -> Manifest:
    return adopted_artifact(file, workspace, **options).manifest


def adopted_artifact(file: Path, workspace: Path | None = None, **options: Any) -> Artifact:
    (result,) = adopt(AdoptOrder(file=file, workspace=workspace or file.parent / "w", **options))
    assert result.artifact is not None
    assert result.ok, result.artifact.manifest.parity_note
    return result.artifact


def proof_of(artifact: Artifact, batch: int = 1) -> Any:
    plugin = runners_of_format(artifact.manifest.backend)[0].require()
    options = RunOptions(device="cpu", threads=1, precision="fp32", batch=batch)
    with plugin.load(artifact, options) as session:
        session.prepare_thread()
        return prove(session, artifact, options, reference_batches(artifact, batch))


def picture(folder: Path) -> Path:
    levels = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    Image.fromarray(levels).save(folder / "noise.png")
    return folder / "noise.png"


def by_onnxruntime(file: Path, array: Any) -> Any:
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return session.run(None, {session.get_inputs()[0].name: array})[0]


pytestmark = pytest.mark.usefixtures("in_this_process")


def test_what_an_onnx_file_tells_is_read(tmp_path: Path) -> None:
    manifest = adopted(onnx_model(tmp_path / "net.onnx"), preprocessing=STATED)

    (tensor,) = manifest.inputs
    assert (tensor.name, tensor.dtype, tensor.layout) == ("images", "float32", "nchw")
    assert tensor.shape == ("batch", 3, SIDE, SIDE)
    assert manifest.batch is None
    assert manifest.outputs[0].shape == ("batch", CLASSES)
    assert manifest.model.num_classes == CLASSES
    assert manifest.precision == "fp32"
    assert manifest.facts == {"opset": 17, "ir_version": 8}
    # 4 kernels of 3 x 3 x 3 at every pixel, and a matrix of 4 x 5.
    assert manifest.model.macs == SIDE * SIDE * 4 * 27 + 4 * CLASSES
    assert manifest.model.parameters == 4 * 27 + 4 * CLASSES
    assert manifest.task is not None
    assert (manifest.task.kind, manifest.task.scores) == ("multi_class", "logits")
    assert manifest.weights.label == "adopted net.onnx"
    assert manifest.adopted is not None
    assert manifest.adopted.reference == "self"
    assert manifest.adopted.batch_dimension == "N"
    assert manifest.verified_words.startswith("agrees with itself only")
    assert any("agrees with itself only" in sentence for sentence in manifest.assumed)
    assert not any("normalisation" in sentence for sentence in manifest.assumed)


def test_its_runner_proves_it_at_other_batch_sizes(tmp_path: Path) -> None:
    artifact = adopted_artifact(onnx_model(tmp_path / "net.onnx"))
    assert proof_of(artifact).holds
    assert proof_of(artifact, batch=3).holds


@pytest.mark.parametrize("nhwc", [False, True])
@pytest.mark.parametrize("whole", [False, True])
def test_predict_feeds_it_as_its_own_runtime_does(tmp_path: Path, nhwc: bool, whole: bool) -> None:
    dtype = TensorProto.UINT8 if whole else TensorProto.FLOAT
    file = onnx_model(tmp_path / "net.onnx", nhwc=nhwc, dtype=dtype, normalises=whole, softmax=True)
    options: dict[str, Any] = {} if whole else {"preprocessing": STATED}
    artifact = adopted_artifact(file, **options)
    assert artifact.manifest.inputs[0].layout == ("nhwc" if nhwc else "nchw")
    image = picture(tmp_path)

    (seen,) = predict_images(artifact.path, [image], threads=1, top=CLASSES)

    levels = np.asarray(Image.open(image))[None]
    array = levels
    if not whole:
        array = ((levels / np.float32(255) - 0.5) / 0.25).astype(np.float32)
    if not nhwc:
        array = np.ascontiguousarray(array.transpose(0, 3, 1, 2))
    expected = by_onnxruntime(file, array)[0]
    assert seen["scores"] == "probabilities"
    for guess in seen["classes"]:
        assert guess["probability"] == pytest.approx(float(expected[guess["index"]]), abs=1e-5)


def test_without_a_normalisation_it_is_measured_and_not_asked(tmp_path: Path) -> None:
    artifact = adopted_artifact(onnx_model(tmp_path / "net.onnx"))
    assert any(
        sentence.startswith("normalisation: nobody") for sentence in artifact.manifest.assumed
    )
    assert proof_of(artifact).holds
    with pytest.raises(DeployBenchError, match="nobody said how images are normalised") as refusal:
        predict_images(artifact.path, [picture(tmp_path)], threads=1)
    assert "--value-range" in str(refusal.value.action)
    # What is said at the command is as good.
    assert predict_images(artifact.path, [picture(tmp_path)], threads=1, preprocessing=STATED)


def test_a_fixed_batch_and_float_levels(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "net.onnx", batch=2, nhwc=True, normalises=True)
    artifact = adopted_artifact(file, value_range=(0.0, 255.0))
    assert artifact.manifest.batch == 2
    image = picture(tmp_path)
    (seen,) = predict_images(artifact.path, [image], threads=1, top=1, task="regression")
    levels = np.asarray(Image.open(image), np.float32)
    expected = by_onnxruntime(file, np.stack([levels, levels]))[0]
    assert seen["classes"][0]["value"] == pytest.approx(float(expected[0]), rel=1e-4)
    assert "--value-range=0,255" in artifact.manifest.command


def test_a_free_batch_that_does_not_work_is_fixed_and_said(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "net.onnx")
    model = onnx.load(str(file))
    shape = numpy_helper.from_array(np.array([1, 4]), "one_image")
    model.graph.initializer.append(shape)
    for node in model.graph.node:
        if node.op_type == "Flatten":
            node.op_type = "Reshape"
            node.input.append("one_image")
    onnx.save_model(model, str(file))
    manifest = adopted(file)
    assert manifest.batch == 1
    assert any(sentence.startswith("batch: fixed to 1") for sentence in manifest.assumed)


def test_free_sizes_are_asked_for(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "net.onnx", side="S")
    with pytest.raises(DeployBenchError, match="leaves the size of the image free") as refusal:
        adopted(file)
    assert "--image-size" in str(refusal.value.action)
    manifest = adopted(file, image_size=(16, 16))
    assert manifest.inputs[0].shape == ("batch", 3, 16, 16)
    assert manifest.adopted is not None
    assert manifest.adopted.free_dimensions == {"S": 16}
    with pytest.raises(DeployBenchError, match="'S' is one size"):
        adopted(file, image_size=(16, 20))


def test_weights_in_other_files_come_along(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "net.onnx")
    onnx.save_model(
        onnx.load(str(file)),
        str(file),
        save_as_external_data=True,
        location="net.weights",
        size_threshold=0,
    )
    artifact = adopted_artifact(file)
    assert {entry.path for entry in artifact.manifest.files} == {
        "net.onnx",
        "net.weights",
        "reference.npz",
    }
    artifact.check_files()
    (tmp_path / "net.weights").unlink()
    assert proof_of(artifact).holds  # the artifact stands by itself
    with pytest.raises(DeployBenchError, match=r"'net\.weights', which is not beside it"):
        adopted(file, force=True)


def test_several_outputs_the_scores_first(tmp_path: Path) -> None:
    artifact = adopted_artifact(onnx_model(tmp_path / "net.onnx", features=True))
    assert [output.name for output in artifact.manifest.outputs] == ["scores", "rectified"]
    assert any(s.startswith("main output: scores") for s in artifact.manifest.assumed)
    assert proof_of(artifact).holds
    alone = adopted_artifact(tmp_path / "net.onnx", outputs=("rectified",), name="features")
    assert [output.name for output in alone.manifest.outputs] == ["rectified"]
    assert alone.manifest.task is not None
    assert alone.manifest.task.kind == "dense"
    assert proof_of(alone).holds
    # What is left out is not computed beside it.
    plugin = runners_of_format("onnx")[0].require()
    options = RunOptions(device="cpu", threads=1, precision="fp32", batch=1)
    with plugin.load(alone, options) as session:
        assert list(session.infer(reference_batches(alone, 1)[0])) == ["rectified"]


@pytest.mark.parametrize("reference", ["openvino", "answers.npz"])
def test_the_reference_is_whose_answers_were_named(tmp_path: Path, reference: str) -> None:
    file = onnx_model(tmp_path / "net.onnx", nhwc=True)
    if reference.endswith(".npz"):
        inputs = np.random.default_rng(2).normal(size=(3, SIDE, SIDE, 3)).astype(np.float32)
        np.savez(tmp_path / reference, inputs=inputs, outputs=by_onnxruntime(file, inputs))
        reference = str(tmp_path / reference)
    manifest = adopted(file, reference=reference)
    assert manifest.adopted is not None
    assert manifest.adopted.reference in ("runner", "file")
    assert manifest.adopted.answers_of.startswith(Path(reference).name)
    assert manifest.verified_words.startswith(f"agrees with {manifest.adopted.answers_of}")
    assert any("not those of fp32 eager" in sentence for sentence in manifest.assumed)


def test_wrong_answers_of_a_reference_are_invalid(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "net.onnx")
    inputs = np.random.default_rng(2).normal(size=(3, 3, SIDE, SIDE)).astype(np.float32)
    np.savez(tmp_path / "a.npz", inputs=inputs, outputs=-by_onnxruntime(file, inputs))
    order = AdoptOrder(file=file, workspace=tmp_path / "w", reference=str(tmp_path / "a.npz"))
    (result,) = adopt(order)
    assert not result.ok
    assert result.artifact is not None
    assert not result.artifact.manifest.verified


def test_the_same_file_is_the_same_artifact(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "net.onnx")
    first = adopted_artifact(file)
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    (copy / "net.onnx").write_bytes(file.read_bytes())
    (again,) = adopt(AdoptOrder(file=copy / "net.onnx", workspace=tmp_path / "w"))
    assert again.reused
    assert again.artifact is not None
    assert again.artifact.path == first.path
    assert "adopted before" in str(again.remark)
    assert export_data(again)["adopted"] == "agrees with itself only"
    other = adopted_artifact(file, value_range=(0.0, 255.0))
    assert other.manifest.key != first.manifest.key


def test_half_precision_is_told_by_the_weights(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "net.onnx", weights_dtype=np.float16, dtype=TensorProto.FLOAT16)
    manifest = adopted(file)
    assert manifest.precision == "fp16"
    assert manifest.inputs[0].dtype == "float16"


def test_names_of_classes_come_from_the_file_or_the_user(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "net.onnx")
    model = onnx.load(str(file))
    entry = model.metadata_props.add()
    entry.key, entry.value = "names", str({index: f"class {index}" for index in range(CLASSES)})
    onnx.save_model(model, str(file))
    assert adopted_artifact(file).labels() == [f"class {index}" for index in range(CLASSES)]
    names = tmp_path / "names.txt"
    names.write_text("a\nb\nc\nd\ne\n")
    assert adopted_artifact(file, class_names=names).labels() == list("abcde")


@pytest.mark.parametrize(
    ("content", "mean", "std"),
    [
        ('{"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}', 0.5, 0.2),
        (
            '{"pretrained_cfg": {"mean": [0.4, 0.4, 0.4], "std": [0.3, 0.3, 0.3], '
            '"input_size": [3, 99, 99], "crop_pct": 0.9, "interpolation": "bicubic"}}',
            0.4,
            0.3,
        ),
        (
            '{"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 3, '
            '"size": {"height": 9, "width": 9}}',
            0.5,
            0.5,
        ),
        ('{"do_normalize": false, "do_rescale": true}', 0.0, 1.0),
    ],
)
def test_a_file_says_how_images_are_prepared(
    tmp_path: Path, content: str, mean: float, std: float
) -> None:
    said = tmp_path / "said.json"
    said.write_text(content)
    manifest = adopted(onnx_model(tmp_path / "net.onnx"), preprocessing_file=said)
    spec = manifest.preprocessing
    assert (spec.mean, spec.std) == ((mean,) * 3, (std,) * 3)
    assert (spec.height, spec.width) == (SIDE, SIDE)
    assert not {"mean", "std"} & set(spec.assumed)


def test_nothing_is_exported_for_an_adopted_model(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    artifact = adopted_artifact(onnx_model(tmp_path / "net.onnx"))
    selection = Selection(select_runners(["openvino", "pytorch"]), [1], (), 1)
    assert missing_exports(["net"], workspace, selection, Sizes()) == []
    assert "adopted from files" in str(nothing_to_run([artifact], selection).action)
    running = Selection(select_runners([]), [1], (), 1)
    planned = plan_cells([artifact], running, None)
    with pytest.raises(DeployBenchError, match="adopted from a file: there is no pytorch"):
        check_baseline_planned("pytorch", planned)
    check_baseline_planned("onnxruntime", planned)


def test_a_name_of_the_zoo_is_not_taken(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "resnet50.onnx")
    (result,) = adopt(AdoptOrder(file=file, workspace=tmp_path / "w"))
    assert result.request.model.name == "resnet50-adopted"
    assert "the zoo has a model resnet50" in str(result.remark)
    with pytest.raises(DeployBenchError, match="is a model of the zoo"):
        adopted(file, name="vit")
