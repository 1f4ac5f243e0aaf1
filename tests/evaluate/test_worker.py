"""What the worker does with the images, by a session that is made up."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.evaluate.journal import Journal, JournalWriter
from deploybench.evaluate.worker import predict_all


class Session:
    """Says the mean of each image six times; NaN for an image whose mean is in ``nan``."""

    def __init__(self, nan: float | None = None) -> None:
        self.nan = nan
        self.batches: list[int] = []

    def infer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        (pixels,) = inputs.values()
        self.batches.append(len(pixels))
        means = pixels.mean(axis=(1, 2, 3))
        if self.nan is not None:
            means = np.where(np.isclose(means, self.nan), np.nan, means)
        return {"output": np.repeat(means[:, None], 6, axis=1).astype(np.float32)}


@pytest.fixture
def artifact(colours: Workspace) -> Artifact:
    (found,) = [one for one in colours.artifacts() if one.manifest.backend == "onnx"]
    return found


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    made = Journal(tmp_path / "journal", 6)
    made.prepare({})
    return made


@pytest.fixture
def writer(journal: Journal) -> Iterator[JournalWriter]:
    with journal.writer() as made:
        yield made


def read(image: int) -> np.ndarray:
    if image == 3:
        raise DeployBenchError("3.png does not read as an image")
    if image == 4:
        raise ValueError("a codec's own words")
    return np.full((3, 4, 4), image, np.float32)


def test_every_call_has_the_size_that_was_proved_and_no_image_is_left_out(
    artifact: Artifact, journal: Journal, writer: JournalWriter
) -> None:
    session = Session()
    refused = predict_all(session, artifact, 4, range(11), read, writer, readers=3)  # type: ignore[arg-type]
    assert refused is None
    assert session.batches == [4, 4, 4]
    found = journal.read()
    assert found.images.tolist() == [0, 1, 2, 5, 6, 7, 8, 9, 10]
    assert found.outputs[:, 0].tolist() == found.images.tolist()
    assert found.failed == {
        3: "3.png does not read as an image",
        4: "ValueError: a codec's own words",
    }


def test_outputs_that_are_not_finite_are_refused_with_the_image(
    artifact: Artifact, journal: Journal, writer: JournalWriter
) -> None:
    session = Session(nan=6)
    refused = predict_all(session, artifact, 2, range(11), read, writer, readers=1)  # type: ignore[arg-type]
    assert refused == (6, "NaN")
    assert journal.read().images.tolist() == [0, 1, 2, 5]


def test_memory_does_not_grow_with_the_number_of_images(
    artifact: Artifact, writer: JournalWriter
) -> None:
    """Of 400 images of a megabyte each only a few are there at a time."""

    def read_large(image: int) -> np.ndarray:
        return np.full((1, 512, 512), image, np.float32)

    peaks = []
    for images in (60, 400):
        tracemalloc.start()
        predict_all(Session(), artifact, 4, range(images), read_large, writer, readers=2)  # type: ignore[arg-type]
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.2 * peaks[0] < 60 << 20


def test_images_are_read_while_the_runtime_infers(
    artifact: Artifact, writer: JournalWriter
) -> None:
    """Reading and inferring take 10 ms an image each; one after the other would take 0.6 s."""

    class Slow(Session):
        def infer(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            time.sleep(0.04)
            return super().infer(inputs)

    def read_slowly(image: int) -> np.ndarray:
        time.sleep(0.01)
        return np.zeros((3, 4, 4), np.float32)

    began = time.monotonic()
    predict_all(Slow(), artifact, 4, range(32), read_slowly, writer, readers=4)  # type: ignore[arg-type]
    assert time.monotonic() - began < 0.55
