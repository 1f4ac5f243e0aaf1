"""Runs an artifact on image files, in this process: what it sees, not how fast."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.contracts import Runner, RunOptions
from deploybench.contracts.registry import runner as find_runner
from deploybench.contracts.registry import runners_of_format
from deploybench.data.postprocess import softmax
from deploybench.data.preprocess import load_image
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import CPU
from deploybench.processes import QUIET_RUNTIMES


class Guess(TypedDict):
    index: int
    name: str
    probability: float


class Prediction(TypedDict):
    image: str
    classes: list[Guess]


def predict_images(
    path: Path, images: Sequence[Path], *, runner: str | None, top: int, threads: int
) -> list[Prediction]:
    """The ``top`` most probable classes of each image (softmax over the logits)."""
    artifact = open_artifact(path)
    artifact.check_files()
    if artifact.manifest.parity is not None and not artifact.manifest.verified:
        raise DeployBenchError(
            f"{path} failed parity: {artifact.manifest.parity_note}",
            action="export it again, or another precision",
        )
    plugin = _runner_for(artifact, runner)
    manifest = artifact.manifest
    labels = artifact.labels()
    batch = manifest.batch or 1
    options = RunOptions(
        device=CPU,
        threads=threads,
        precision=plugin.default_precision(manifest.precision),
        batch=batch,
    )
    predictions = []
    inputs = [load_image(image, manifest.preprocessing) for image in images]
    os.environ.update(QUIET_RUNTIMES)
    try:
        with plugin.load(artifact, options) as session:
            for image, pixels in zip(images, inputs, strict=True):
                outputs = session.infer({manifest.inputs[0].name: np.stack([pixels] * batch)})
                logits = next(iter(outputs.values()))[0]
                predictions.append(Prediction(image=str(image), classes=_top(logits, labels, top)))
    except DeployBenchError:
        raise
    except Exception as error:  # a runtime may raise anything
        raise DeployBenchError(
            f"{plugin.name} could not run {path}: {type(error).__name__}: {error}",
            action="deploybench backends lists the versions here; the manifest has those of the "
            "export",
        ) from error
    return predictions


def _runner_for(artifact: Artifact, name: str | None) -> Runner:
    backend = artifact.manifest.backend
    if name is None:
        fitting = runners_of_format(backend)
        if not fitting:
            raise DeployBenchError(
                f"no runner on this host runs {backend} artifacts", action="deploybench doctor"
            )
        return fitting[0].require()
    plugin = find_runner(name).require()
    if backend not in plugin.formats:
        raise DeployBenchError(
            f"{name} does not run {backend} artifacts",
            expected=f"an artifact in {', '.join(sorted(plugin.formats))}",
        )
    return plugin


def _top(logits: npt.NDArray[np.float32], labels: list[str] | None, top: int) -> list[Guess]:
    if logits.ndim != 1:
        raise DeployBenchError(
            f"the model's output has shape {logits.shape}", expected="one score a class"
        )
    probabilities = softmax(logits)
    order = np.argsort(-probabilities, kind="stable")[:top]
    return [
        Guess(
            index=int(i),
            name=labels[i] if labels else f"class {i}",
            probability=float(probabilities[i]),
        )
        for i in order
    ]
