"""Several models over several images: the sights of the first image, the numbers of all."""

from __future__ import annotations

import itertools
import statistics
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.artifacts.weights import Weights
from deploybench.attention.grids import Pixel, check_inside, corners_of_the_third
from deploybench.attention.numbers import Interval, agreement, interval
from deploybench.attention.seen import Sight, look
from deploybench.data.assumptions import assumption_of
from deploybench.data.preprocess import read_image
from deploybench.errors import DeployBenchError
from deploybench.models.loading import load_model
from deploybench.models.source import BuildOptions, BuiltModel


@dataclass(frozen=True)
class Row:
    """One number with its 95 % interval over ``images`` images.

    ``layer`` is empty for the mean over a model's layers; of an agreement ``model`` names both
    sides. ``unit`` is empty for a share or a correlation.
    """

    model: str
    quantity: str
    layer: str
    value: float | None
    low: float | None
    high: float | None
    images: int
    unit: str = ""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


@dataclass(frozen=True)
class Looked:
    """What one model saw in the first image. ``picture``: height x width x 3, from 0 to 1."""

    model: str
    weights: str
    picture: npt.NDArray[np.float64]
    sight: Sight
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Study:
    """All that was looked at."""

    image: str
    looked: tuple[Looked, ...]
    rows: tuple[Row, ...]
    unread: tuple[str, ...]
    notes: tuple[str, ...] = ()
    """What is in no number, and why."""


def study(
    models: Sequence[str],
    images: Sequence[Path],
    *,
    checkpoints: Mapping[str, Path],
    options: BuildOptions,
    pixels: Sequence[Pixel] = (),
    prepare: Callable[[str, BuiltModel, Weights], Preprocessing] | None = None,
    say: Callable[[str], None] = lambda words: None,
) -> Study:
    """Look with each model at each image; an image that does not read is named and left out.

    ``pixels`` are those of the panels; none: the corners of the centred square of a third.
    ``prepare`` says how a model of that name is fed; None: as its architecture usually is. Raises
    DeployBenchError for a model that cannot be built, a pixel outside, and where no image reads.
    """
    looked: list[Looked] = []
    rows: list[Row] = []
    importance: dict[str, dict[str, list[npt.NDArray[np.float64]]]] = {}
    unread: dict[str, None] = {}
    for name in models:
        built, weights = load_model(name, options, checkpoints.get(name), allow_partial=False)
        spec = built.preprocessing
        if prepare is not None:
            spec = prepare(name, built, weights)
        size = (spec.height, spec.width)
        for pixel in pixels:
            check_inside(pixel, size)
        say(f"{name}: {weights.kind} weights")
        asked = tuple(pixels) or corners_of_the_third(size)
        sights, first = _sights(built.module, spec, images, asked, unread)
        told = f"{weights.kind} weights"
        if weights.kind == "random":
            told += ": they show how the mechanism is made, not what a trained model looks at"
        picture = _picture(first[0], spec)
        assumed = assumption_of(spec)
        notes = (*(() if assumed is None else (assumed,)), *first[1])
        looked.append(Looked(name, told, picture, sights[0], notes))
        rows += _rows(name, sights)
        maps: dict[str, list[npt.NDArray[np.float64]]] = defaultdict(list)
        for sight in sights:
            for mechanism, values in sight.importance.items():
                maps[mechanism].append(values)
        importance[name] = maps
    compared, missing = _agreements(importance)
    rows += compared
    missing += [
        f"{row.model}: no {row.quantity}{f' of {row.layer}' if row.layer else ''}: a map is even"
        for row in rows
        if row.value is None
    ]
    shown = next(str(image) for image in images if str(image) not in unread)
    return Study(shown, tuple(looked), tuple(rows), tuple(unread), tuple(missing))


def _sights(
    module: nn.Module,
    spec: Preprocessing,
    images: Sequence[Path],
    pixels: Sequence[Pixel],
    unread: dict[str, None],
) -> tuple[list[Sight], tuple[npt.NDArray[np.float32], tuple[str, ...]]]:
    """The sight of each image that reads, and the first one's input with its notes."""
    sights: list[Sight] = []
    first: tuple[npt.NDArray[np.float32], tuple[str, ...]] | None = None
    problem: DeployBenchError | None = None
    for image in images:
        try:
            read = read_image(image, spec)
        except DeployBenchError as error:
            problem = problem or error
            unread[str(image)] = None
            continue
        if first is None:
            first = (read.pixels, read.notes)
        sight = look(module, torch.from_numpy(read.pixels)[None], pixels)
        if sights:
            sight.panels.clear()  # only the first image is drawn
        sights.append(sight)
    if first is None:
        raise problem or DeployBenchError("there is no image", expected="one at least")
    return sights, first


def _picture(pixels: npt.NDArray[np.float32], spec: Preprocessing) -> npt.NDArray[np.float64]:
    """What the model saw, with the normalisation taken back."""
    mean, std = np.array(spec.mean)[:, None, None], np.array(spec.std)[:, None, None]
    levels: npt.NDArray[np.float64] = np.clip(pixels * std + mean, 0, 1).transpose(1, 2, 0)
    if levels.shape[2] != 3:
        levels = np.repeat(levels.mean(2, keepdims=True), 3, axis=2)
    return levels


def _rows(model: str, sights: Sequence[Sight]) -> list[Row]:
    """Entropy and distance of each layer, and their means over the layers."""
    by_layer: dict[tuple[str, str], list[float]] = defaultdict(list)
    by_quantity: dict[tuple[str, str], list[float]] = defaultdict(list)
    for sight in sights:
        of_image: dict[str, list[float]] = defaultdict(list)
        for measure in sight.measures:
            by_layer[measure.quantity, measure.layer].append(measure.value)
            of_image[measure.quantity].append(measure.value)
        for quantity, values in of_image.items():
            by_quantity[quantity, ""].append(statistics.fmean(values))
    return [
        _row(model, quantity, layer, interval(values), "px" if quantity == "distance" else "")
        for (quantity, layer), values in {**by_quantity, **by_layer}.items()
    ]


def _agreements(
    importance: Mapping[str, Mapping[str, Sequence[npt.NDArray[np.float64]]]],
) -> tuple[list[Row], list[str]]:
    """The rank correlation of every two maps, of one model or of two, over the images; and which
    two cannot be compared, and why."""
    maps = [
        (f"{model}: {mechanism}", values)
        for model, mechanisms in importance.items()
        for mechanism, values in mechanisms.items()
    ]
    rows = []
    notes = []
    for (one, first), (other, second) in itertools.combinations(maps, 2):
        if len(first) != len(second):
            # An image that one of the models does not read, or of which it has no such map.
            notes.append(
                f"{one} ~ {other}: no agreement: they have maps of {len(first)} and {len(second)} "
                "images"
            )
            continue
        pairs = zip(first, second, strict=True)
        values = interval([agreement(left, right) for left, right in pairs])
        rows.append(_row(f"{one} ~ {other}", "agreement", "", values, ""))
    return rows, notes


def _row(model: str, quantity: str, layer: str, found: Interval, unit: str) -> Row:
    value = found.mean if np.isfinite(found.mean) else None
    return Row(model, quantity, layer, value, found.low, found.high, found.images, unit)
