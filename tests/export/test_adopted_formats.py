"""Foreign OpenVINO, TorchScript and torch.export files, and a trained-sized net end to end."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.signature import is_signed
from deploybench.contracts import RunOptions
from deploybench.contracts.registry import runners_of_format
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.evaluate.predict import predict_images
from deploybench.export.adoption import AdoptOrder, adopt
from deploybench.measure.proof import prove, reference_batches
from deploybench.report.quality_table import quality_report
from deploybench.results.quality import REFERENCE_ITSELF
from deploybench.results.verdict import Verdict
from deploybench.rows.row import Row
from deploybench.rows.rows import rows_of
from deploybench.runs import surroundings
from deploybench.runs.evaluation import EvaluationRequest, carry_out_evaluation
from deploybench.runs.request import RunRequest, carry_out
from tests.export.foreign import CLASSES, SIDE, onnx_model
from tests.export.test_adoption import STATED, in_this_process, picture

__all__ = ["in_this_process"]


class Net(nn.Module):
    """Two tensors in a dict, as detectors and segmenters of others return them."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = torch.relu(self.body(x))
        return {"features": features, "scores": self.head(features.mean((2, 3)))}


class Scores(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = Net()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.net(x)["scores"]


def adopted(file: Path, **options: Any) -> Artifact:
    (result,) = adopt(AdoptOrder(file=file, workspace=file.parent / "w", **options))
    assert result.artifact is not None
    assert result.ok, result.artifact.manifest.parity_note
    return result.artifact


def proved(
    artifact: Artifact, batch: int = 1, *, precision: str = "fp32"
) -> dict[str, tuple[int, ...]]:
    plugin = runners_of_format(artifact.manifest.backend)[0].require()
    options = RunOptions(device="cpu", threads=1, precision=precision, batch=batch)
    with plugin.load(artifact, options) as session:
        session.prepare_thread()
        batches = reference_batches(artifact, batch)
        assert prove(session, artifact, options, batches).holds
        bound = session.bind(batches[0])
        bound.run()
        return {name: array.shape for name, array in bound.outputs().items()}


def script(path: Path, module: nn.Module | None = None) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(module or Net()).save(str(path))
    return path


@pytest.mark.usefixtures("in_this_process")
def test_torchscript_is_code_and_tells_no_size(tmp_path: Path) -> None:
    file = script(tmp_path / "net.pt")
    with pytest.raises(DeployBenchError, match="holds code that would run as you") as refusal:
        adopted(file)
    assert "--trust" in str(refusal.value.action)
    with pytest.raises(DeployBenchError, match="does not tell the size of its input"):
        adopted(file, trust=True)

    artifact = adopted(file, trust=True, image_size=(SIDE, SIDE), preprocessing=STATED)
    manifest = artifact.manifest
    assert is_signed(artifact)
    assert manifest.command.endswith("--trust")
    assert manifest.model.parameters == 4 * 27 + 4 + 4 * CLASSES + CLASSES
    assert manifest.model.macs == SIDE * SIDE * 4 * 27 + 4 * CLASSES
    assert "layout: channels first is assumed; --layout says otherwise" in manifest.assumed
    assert [output.name for output in manifest.outputs] == ["scores", "features"]
    assert proved(artifact, batch=2) == {"scores": (2, CLASSES), "features": (2, 4, SIDE, SIDE)}


@pytest.mark.usefixtures("in_this_process")
def test_a_script_that_was_saved_while_it_trained_is_evaluated(tmp_path: Path) -> None:
    layers = (nn.Conv2d(3, 4, 3), nn.Dropout(0.5), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    file = script(tmp_path / "net.ts", nn.Sequential(*layers).train())
    artifact = adopted(file, trust=True, image_size=(SIDE, SIDE))
    said = "mode: it was saved while it trained, and is run in evaluation mode"
    assert said in artifact.manifest.assumed
    assert proved(artifact)


@pytest.mark.usefixtures("in_this_process")
def test_a_frozen_script_has_no_mode_and_is_adopted(tmp_path: Path) -> None:
    file = tmp_path / "net.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.freeze(torch.jit.script(Net().eval())).save(str(file))
    artifact = adopted(file, trust=True, image_size=(SIDE, SIDE), precision="fp32")
    assert proved(artifact, batch=2) == {"scores": (2, CLASSES), "features": (2, 4, SIDE, SIDE)}


class OfList(nn.Module):
    """As detectors of torchvision take their images."""

    def forward(self, images: list[torch.Tensor]) -> torch.Tensor:
        return images[0]


@pytest.mark.usefixtures("in_this_process")
def test_a_list_of_images_cannot_be_fed(tmp_path: Path) -> None:
    file = script(tmp_path / "net.ts", OfList())
    with pytest.raises(DeployBenchError, match=r"takes List\[Tensor\]"):
        adopted(file, trust=True, image_size=(SIDE, SIDE))


@pytest.mark.usefixtures("in_this_process")
def test_a_program_of_torch_export_tells_its_sizes(tmp_path: Path) -> None:
    batch = torch.export.Dim("batch", min=1, max=64)
    example = (torch.zeros(2, 3, SIDE, SIDE),)
    program = torch.export.export(Net().eval(), example, dynamic_shapes={"x": {0: batch}})
    torch.export.save(program, str(tmp_path / "net.pt2"))
    artifact = adopted(tmp_path / "net.pt2", trust=True)
    assert artifact.manifest.backend == "torch-export"
    assert artifact.manifest.batch is None
    assert artifact.manifest.inputs[0].shape == ("batch", 3, SIDE, SIDE)
    assert proved(artifact, batch=3)["scores"] == (3, CLASSES)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("named", [True, False])
def test_an_openvino_ir_with_its_weights(tmp_path: Path, named: bool) -> None:
    import openvino

    file = onnx_model(tmp_path / "net.onnx", nhwc=True, features=True)
    model = openvino.convert_model(str(file))
    if not named:
        for port in (*model.inputs, *model.outputs):
            port.tensor.set_names(set())
    openvino.save_model(model, str(tmp_path / "net.xml"), compress_to_fp16=False)
    artifact = adopted(tmp_path / "net.xml", preprocessing=STATED)
    manifest = artifact.manifest
    assert {entry.path for entry in manifest.files} >= {"net.xml", "net.bin"}
    assert (manifest.precision, manifest.inputs[0].layout) == ("fp32", "nhwc")
    assert manifest.model.macs == SIDE * SIDE * 4 * 27 + 4 * CLASSES
    shapes = list(proved(artifact, batch=2).values())
    assert shapes == [(2, CLASSES), (2, 4, SIDE, SIDE)]
    (tmp_path / "net.bin").unlink()
    with pytest.raises(DeployBenchError, match=r"there is no net\.bin"):
        adopted(tmp_path / "net.xml", force=True)


@pytest.mark.usefixtures("in_this_process")
def test_an_ir_with_weights_of_8_bits_is_no_int8(tmp_path: Path) -> None:
    import nncf
    import openvino

    model = openvino.convert_model(str(onnx_model(tmp_path / "net.onnx")))
    openvino.save_model(nncf.compress_weights(model), str(tmp_path / "net.xml"))
    artifact = adopted(tmp_path / "net.xml", preprocessing=STATED)
    assert artifact.manifest.precision == "int8-weights"
    assert proved(artifact, precision="int8-weights")


@pytest.mark.usefixtures("in_this_process")
def test_onnx_converted_to_openvino_is_held_to_the_first(tmp_path: Path) -> None:
    file = onnx_model(tmp_path / "net.onnx", nhwc=True, features=True)
    results = adopt(
        AdoptOrder(file=file, workspace=tmp_path / "w", to="openvino", preprocessing=STATED)
    )
    first, second = (result.artifact for result in results)
    assert first is not None
    assert second is not None
    assert all(result.ok for result in results)
    manifest = second.manifest
    assert (first.manifest.backend, manifest.backend) == ("onnx", "openvino")
    assert manifest.adopted is not None
    assert manifest.adopted.answers_of.endswith("on net.onnx")
    assert manifest.weights.identity == first.manifest.weights.identity
    assert manifest.inputs == first.manifest.inputs
    assert [output.name for output in manifest.outputs] == ["scores", "rectified"]
    assert "--to openvino" in manifest.command
    proved(second, batch=2)
    again = adopt(
        AdoptOrder(file=file, workspace=tmp_path / "w", to="openvino", preprocessing=STATED)
    )
    assert [result.reused for result in again] == [True, True]
    # In fp32 eager's place stands the file as it was adopted, also where it was not asked for.
    names = list("abcde")
    for name in names:
        (tmp_path / "set" / name).mkdir(parents=True)
        picture(tmp_path).rename(tmp_path / "set" / name / "noise.png")
    evaluation = EvaluationRequest(
        data=tmp_path / "set",
        artifacts=[second.path],
        class_names=names,
        threads=1,
        workspace=tmp_path / "w",
    )
    reference, converted = carry_out_evaluation(evaluation).records
    assert reference.quality is not None
    assert reference.quality.no_eager == REFERENCE_ITSELF
    assert converted.cell.runner == "openvino"
    assert converted.quality is not None
    assert converted.quality.eager is not None
    assert converted.quality.eager.stands_for == "net.onnx on onnxruntime"
    assert converted.quality.eager.agreement.flipped == 0
    report = str(quality_report([reference, converted], []).sections)
    assert "are to net.onnx on onnxruntime: it was adopted" in report

    with pytest.raises(DeployBenchError, match="--to tensorrt, and the file is onnx"):
        adopt(AdoptOrder(file=file, workspace=tmp_path / "w", to="tensorrt"))


@pytest.mark.usefixtures("in_this_process")
def test_a_checkpoint_is_no_torchscript(tmp_path: Path) -> None:
    torch.save(Net().state_dict(), tmp_path / "weights.pt")
    with pytest.raises(DeployBenchError, match="weights, and no graph") as refusal:
        adopted(tmp_path / "weights.pt", trust=True)
    assert "--checkpoint" in str(refusal.value.action)
    script(tmp_path / "net.pt2")
    with pytest.raises(DeployBenchError, match="TorchScript, by its content"):
        adopted(tmp_path / "net.pt2", trust=True)


def test_an_adopted_net_is_run_and_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    torch.manual_seed(0)
    net = timm.create_model("test_resnet", num_classes=CLASSES).eval()
    example = torch.zeros(1, 3, 64, 64)
    file = tmp_path / "trained.onnx"
    torch.onnx.export(
        net,
        (example,),
        str(file),
        input_names=["pixels"],
        dynamic_axes={"pixels": {0: "n"}},
        dynamo=False,
    )
    mean_and_std = PreprocessingOptions(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    artifact = adopted(file, preprocessing=mean_and_std)
    file.unlink()  # the artifact is a copy

    monkeypatch.setattr(surroundings, "measured_peaks", lambda host, threads: None)
    result = carry_out(
        RunRequest(
            models=["trained"],
            workspace=tmp_path / "w",
            runners=["onnxruntime"],
            batches=(1, 2),
            rounds=1,
            duration_s=0.05,
            min_samples=3,
        )
    )
    assert [record.cell.batch for record in result.records] == [1, 2]
    for record in result.records:
        assert record.judgement.verdict not in (Verdict.FAILED, Verdict.INVALID), record.judgement
        assert record.cell.weights == "adopted trained.onnx"
        assert record.macs is not None
        assert any("agrees with itself only" in sentence for sentence in record.assumed)
        assert f"--artifact {artifact.path.resolve()}" in record.command

    printed = "\n".join(text for row in rows_of(result.records) for text in _noted(row))
    assert "agrees with itself only" in printed

    image = picture(tmp_path)
    (seen,) = predict_images(artifact.path, [image], threads=1, top=1)
    assert any("agrees with itself only" in sentence for sentence in seen["assumed"])
    with torch.no_grad():
        answered = net(torch.from_numpy(_prepared(image, artifact))[None]).numpy()
    assert seen["classes"][0]["index"] == int(np.argmax(answered))


def _noted(row: Row) -> list[str]:
    from deploybench.report.run_notes import notes_of

    return [note.cause for note in notes_of(row)]


def _prepared(image: Path, artifact: Artifact) -> Any:
    from deploybench.data.preprocess import load_image

    return load_image(image, artifact.manifest.preprocessing)
