"""Models of a made-up study with the records of their cells, for tests of what is made of them."""

from __future__ import annotations

import numpy as np

from deploybench.results.quality import Quality
from deploybench.results.record import Record
from deploybench.results.study import StudiedModel, Trained
from deploybench.statistics.figures import Figure
from deploybench.statistics.proportions import share
from tests import comparisons, qualities

RUNNERS = {"pytorch": "pytorch", "onnxruntime": "onnx"}
CLASSES = (61, 20, 19)


def model(name: str, keys: tuple[str, ...] = (), **changes: object) -> StudiedModel:
    """A model that was trained; ``keys`` are those of its artifacts."""
    trained = Trained(
        folder=f"/w/trained/{name}",
        checkpoint=f"/w/trained/{name}/model.safetensors",
        recipe="default",
        epochs=12,
        best_epoch=9,
        seconds=60.0,
    )
    made = StudiedModel(title=name, name=name, trained=trained, artifact_keys=keys)
    return made.replaced(**changes)


def quality(balanced: float, right: int = 70, flipped: int = 0) -> Quality:
    """Of a hundred images, ``right`` of them right; fp32 eager has another class for the first
    ``flipped`` ones."""
    marks = np.arange(100) < right
    eager = marks.copy()
    eager[:flipped] ^= True
    found = qualities.quality(marks, eager=eager)
    balanced_figure = Figure(
        value=balanced, low=balanced - 0.02, high=balanced + 0.02, by="bootstrap"
    )
    area = Figure(value=0.8, low=0.78, high=0.82, by="bootstrap")
    assert found.figures is not None
    figures = found.figures.replaced(
        top1=share(right, 100), balanced_accuracy=balanced_figure, area=area
    )
    data = found.data.replaced(class_counts=CLASSES, split="test")
    return found.replaced(figures=figures, data=data)


def timed(name: str, runner: str, ms: float, macs: float, *, spread: float = 0.0) -> Record:
    """A cell that was launched six times; ``spread`` makes the medians of its launches differ."""
    medians = [ms * (1 + spread * (-1) ** number) for number in range(6)]
    made = comparisons.record(
        medians,
        model=name,
        runner=runner,
        backend=RUNNERS[runner],
        artifact_key=f"{name}-{RUNNERS[runner]}",
        weights_identity=name,
    )
    return made.replaced(macs=int(macs), parameters=int(macs / 100))


def evaluated(name: str, runner: str, found: Quality) -> Record:
    return qualities.evaluation(
        found,
        model=name,
        runner=runner,
        backend=RUNNERS[runner],
        artifact_key=f"{name}-{RUNNERS[runner]}",
        weights_identity=name,
    )


def keys(name: str) -> tuple[str, ...]:
    return tuple(f"{name}-{backend}" for backend in RUNNERS.values())
