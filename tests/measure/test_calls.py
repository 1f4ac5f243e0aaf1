"""What each of the timed calls does, and what it leaves out."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Arrays, Bound, RunOptions, Session, SessionFacts
from deploybench.contracts.registry import runners
from deploybench.data.postprocess import softmax
from deploybench.data.preprocess import load_image
from deploybench.data.synthetic import write_sample_image
from deploybench.errors import DeployBenchError
from deploybench.evaluate.predict import predict_images
from deploybench.measure.calls import end_to_end, engine_only, host_to_host

Artifacts = Callable[[str], Artifact]


class Recorder(Session):
    """Keeps the inputs that it got; an image's scores are its mean and its negative mean."""

    def __init__(self, batch: int = 1) -> None:
        super().__init__({"input": (batch, 3, 160, 160)})
        self.inferred: list[Arrays] = []
        self.runs = 0

    def _infer(self, inputs: Arrays) -> Arrays:
        self.inferred.append(inputs)
        means = inputs["input"].mean(axis=(1, 2, 3))
        return {"logits": np.stack([means, -means], axis=1)}

    def _bind(self, inputs: Arrays) -> Bound:
        def run() -> None:
            self.runs += 1

        return Bound(run, lambda: {})

    def facts(self) -> SessionFacts:
        return SessionFacts("fp32", 1, "recorder", "cpu")


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    write_sample_image(tmp_path / "sample.jpg")
    return tmp_path / "sample.jpg"


def test_host_to_host_infers_on_the_very_arrays() -> None:
    session, inputs = Recorder(), {"input": np.zeros((1, 3, 160, 160), np.float32)}
    call = host_to_host(session, inputs)
    call.run()
    call.run()
    assert [found is inputs for found in session.inferred] == [True, True]


def test_engine_only_runs_what_was_bound_and_never_infers() -> None:
    session = Recorder()
    call = engine_only(session, {"input": np.zeros((1, 3, 160, 160), np.float32)})
    call.run()
    call.run()
    assert (session.runs, session.inferred) == (2, [])


def test_engine_only_tells_the_time_on_the_device_where_the_runner_does() -> None:
    class OnADevice(Recorder):
        def _bind(self, inputs: Arrays) -> Bound:
            return Bound(lambda: None, lambda: {}, lambda: 1.5)

    inputs = {"input": np.zeros((1, 3, 160, 160), np.float32)}
    call = engine_only(OnADevice(), inputs)
    assert call.device_ms is not None
    assert call.device_ms() == 1.5
    assert engine_only(Recorder(), inputs).device_ms is None
    assert host_to_host(OnADevice(), inputs).device_ms is None


def test_end_to_end_gives_the_probabilities_that_predict_gives(
    sample: Path, tiny_artifact: Artifacts
) -> None:
    artifact = tiny_artifact("onnx")
    options = RunOptions(device="cpu", threads=1, precision="fp32", batch=2)
    with runners()["onnxruntime"].require().load(artifact, options) as session:
        probabilities = np.asarray(end_to_end(session, artifact, sample).run())
    (predicted,) = predict_images(
        artifact.path, [sample], runner="onnxruntime", top=1000, threads=1
    )
    expected = np.zeros(1000)
    for guess in predicted["classes"]:
        expected[guess["index"]] = guess["probability"]
    assert probabilities.shape == (2, 1000)
    assert np.allclose(probabilities, expected, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
def test_end_to_end_decodes_the_file_for_every_image_of_every_call(
    batch: int, sample: Path, tiny_artifact: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, artifact = Recorder(batch), tiny_artifact("onnx")
    call = end_to_end(session, artifact, sample)
    opened: list[object] = []
    really_open = Image.open
    monkeypatch.setattr(Image, "open", lambda path: (opened.append(path), really_open(path))[1])
    call.run()
    call.run()
    assert opened == [sample] * (2 * batch)
    expected = np.stack([load_image(sample, artifact.manifest.preprocessing)] * batch)
    assert all(np.array_equal(inputs["input"], expected) for inputs in session.inferred)


def test_end_to_end_sees_the_file_as_it_is_now(sample: Path, tiny_artifact: Artifacts) -> None:
    call = end_to_end(Recorder(), tiny_artifact("onnx"), sample)
    before = np.asarray(call.run())
    Image.new("RGB", (640, 480), "white").save(sample)
    assert not np.allclose(before, np.asarray(call.run()))


@pytest.mark.parametrize("damage", ["missing", "no image", "truncated"])
def test_end_to_end_refuses_a_file_that_does_not_read_before_anything_is_timed(
    damage: str, sample: Path, tiny_artifact: Artifacts
) -> None:
    if damage == "missing":
        sample.unlink()
    else:
        sample.write_bytes(b"not an image" if damage == "no image" else sample.read_bytes()[:5000])
    with pytest.raises(DeployBenchError, match=r"sample\.jpg"):
        end_to_end(Recorder(), tiny_artifact("onnx"), sample)


def test_sample_image_is_the_same_photograph_every_time(sample: Path, tmp_path: Path) -> None:
    write_sample_image(tmp_path / "again.jpg")
    assert sample.read_bytes() == (tmp_path / "again.jpg").read_bytes()
    with Image.open(sample) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (640, 480), "RGB")
        pixels = np.asarray(image, dtype=np.float32)
    assert pixels.std() > 20
    assert np.corrcoef(pixels[:, :-1].ravel(), pixels[:, 1:].ravel())[0, 1] > 0.8, (
        "neighbours in a photograph agree"
    )


def test_importing_the_calls_imports_no_runtime() -> None:
    code = (
        "import sys, deploybench.measure.calls as _\n"
        "print(sorted({'torch', 'PIL', 'onnxruntime', 'openvino'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_softmax_is_over_the_last_axis_and_never_overflows() -> None:
    found = softmax(np.array([[0, np.log(3)], [1000, 1000]], np.float32))
    assert np.allclose(found, [[0.25, 0.75], [0.5, 0.5]])
