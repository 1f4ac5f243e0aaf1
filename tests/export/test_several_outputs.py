"""A model with several outputs, in every format: written, run, proved, and what predict says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts import RunOptions
from deploybench.contracts.registry import runner as find_runner
from deploybench.contracts.registry import runners_of_format
from deploybench.evaluate.predict import predict_images
from deploybench.export.job import ExportJob, run
from deploybench.export.labels import with_task_of
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.measure.proof import prove, reference_batches

FACTORY = """
import torch
from torch import nn

class Segmenter(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Conv2d(8, 5, 1)
    def forward(self, x):
        f = torch.relu(self.body(x))
        scores = self.head(f)
        # a value's name within the graph, one tensor twice, and the input itself
        return {"relu": f.mean((2, 3)), "out": scores, "again": scores, "input": x,
                "classes": scores.argmax(1), "note": None}

def segmenter():
    return Segmenter()
"""
NAMES = ("out", "relu", "again", "input_2", "classes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nets")
    (path / "manynets.py").write_text(FACTORY)
    return path


def written(folder: Path, backend: str, precision: str = "fp32", **model: object) -> Artifact:
    """The artifact, exported in this process."""
    return written_with(folder, backend, precision, {}, **model)


def written_with(
    folder: Path, backend: str, precision: str, options: dict[str, int], **model: object
) -> Artifact:
    """As :func:`written`, with options of the exporter."""
    staging = folder / f"{backend}-{len(list(folder.iterdir()))}"
    staging.mkdir()
    request = ExportRequest(
        model=ModelRequest.model_validate(
            {"name": "manynets:segmenter", "image_size": (16, 16), **model}
        ),
        backend=backend,
        precision=precision,
        options=options,
    )
    run(ExportJob(request=request, staging=str(staging), key="k" * 64, versions={}))
    return open_artifact(staging)


def prediction(artifact: Artifact, folder: Path, **options: str) -> dict[str, object]:
    Image.new("RGB", (16, 16), "red").save(folder / "red.png")
    images = [folder / "red.png"]
    # What was written here was not published in a workspace, so nothing signed it.
    (seen,) = predict_images(artifact.path, images, threads=1, trust=True, **options)  # type: ignore[arg-type]
    found: dict[str, object] = json.loads(json.dumps(seen))
    return found


@pytest.mark.parametrize("backend", ["pytorch", "onnx", "openvino", "torchscript", "torch-export"])
@pytest.mark.trust(
    item=8,
    case="a segmentation model with several outputs, in each format",
    before="verified: the first entry of the dict alone, under the name logits",
    now="all exported by name, run and checked; the dense one is the main one",
)
def test_every_output_is_written_run_and_proved(
    backend: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    artifact = written(folder, backend)
    manifest = artifact.manifest
    assert tuple(output.name for output in manifest.outputs) == NAMES
    assert "left out of the artifact: note (None)" in manifest.assumed
    assert manifest.task is not None
    assert (manifest.task.kind, manifest.task.scores) == ("dense", "logits")

    plugin = runners_of_format(backend)[0].require()
    options = RunOptions(device="cpu", threads=1, precision="fp32", batch=1)
    with plugin.load(artifact, options) as session:
        session.prepare_thread()
        batches = reference_batches(artifact, 1)
        proof = prove(session, artifact, options, batches)
        assert proof.holds, proof
        assert "on 5 outputs" in str(proof.parity and proof.parity.reason)
        found = {name: np.array(array) for name, array in session.infer(batches[0]).items()}
        bound = session.bind(batches[0])
        bound.run()
        assert {name: array.shape for name, array in bound.outputs().items()} == {
            name: array.shape for name, array in found.items()
        }
    assert tuple(found) == NAMES
    assert np.array_equal(found["classes"], found["out"].argmax(1))
    assert np.array_equal(found["input_2"], batches[0]["input"])

    seen = prediction(artifact, folder)
    shares = [guess["share"] for guess in seen["classes"]]  # type: ignore[attr-defined]
    assert sum(shares) == pytest.approx(1)
    assert seen["task_words"] == "dense over logits (assumed)"


def test_output_and_task_that_are_asked_for_are_those_of_the_artifact(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    artifact = written(folder, "torchscript", outputs=("relu",), task="multi_label")
    (output,) = artifact.manifest.outputs
    assert (output.name, output.shape) == ("relu", ("batch", 8))
    assert tuple(artifact.references()) == ("relu",)
    assert np.array_equal(artifact.references()["relu"], artifact.reference()[1])
    assert "--output relu" in artifact.manifest.command
    assert "--task multi_label" in artifact.manifest.command
    assert prediction(artifact, folder)["task_words"] == "multi_label over logits (given: --task)"
    other = prediction(artifact, folder, task="regression")
    assert (other["task"], other["task_known"]) == ("regression", "given")


def test_task_of_an_artifact_that_is_there_gives_way_to_the_one_asked_for(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    artifact = written(folder, "torchscript", outputs=("relu",))
    workspace = Workspace(tmp_path / "workspace")
    workspace.prepare()
    asked = ModelRequest(name="manynets:segmenter", outputs=("relu",), task="multi_label")
    changed, remark = with_task_of(asked, artifact, workspace)
    changed.check_files()
    assert changed.manifest.task is not None
    assert changed.manifest.task.words == "multi_label over logits (given: --task)"
    assert "multi_class over logits (assumed)" in str(remark)
    assert not any(said.startswith("task") for said in changed.manifest.assumed)
    assert with_task_of(asked, changed, workspace)[1] is None


@pytest.mark.parametrize(
    ("backend", "runner", "precision", "options"),
    [
        pytest.param("torchscript", "torchscript", "bf16", {}, id="torchscript-bf16"),
        pytest.param("torchscript", "torchscript", "fp16", {}, id="torchscript-fp16"),
        pytest.param("onnx", "onnxruntime", "fp16", {}, id="onnx-fp16"),
        pytest.param("onnx", "onnxruntime", "fp32", {"opset": 17}, id="onnx-opset17"),
        pytest.param("onnx", "onnxruntime", "fp16", {"opset": 17}, id="onnx-opset17-fp16"),
        pytest.param("pytorch", "inductor", "fp32", {}, id="inductor"),
    ],
)
@pytest.mark.trust(
    item=8,
    case="several outputs in a reduced precision, at ONNX's opset 17, compiled by Inductor",
    before="the first entry of the dict exported alone",
    now="all exported by name, run and checked",
)
def test_several_outputs_in_other_precisions_and_by_other_ways(
    backend: str,
    runner: str,
    precision: str,
    options: dict[str, int],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.chdir(folder)
    artifact = written_with(folder, backend, precision, options, outputs=("out", "relu"))
    assert [output.name for output in artifact.manifest.outputs] == ["out", "relu"]

    plugin = find_runner(runner).require()
    # onnxruntime computes in fp32 on a CPU what has weights of fp16.
    runs_in = plugin.default_precision(precision)
    asked = RunOptions(device="cpu", threads=1, precision=runs_in, batch=1)
    with plugin.load(artifact, asked) as session:
        session.compile()
        session.prepare_thread()
        proof = prove(session, artifact, asked, reference_batches(artifact, 1))
        assert proof.holds, proof
        assert "on 2 outputs" in str(proof.parity and proof.parity.reason)
