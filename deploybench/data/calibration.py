"""The images on which an exporter finds the ranges of 8-bit numbers.

They are picked from the training split where the data has splits: what is evaluated later was not
calibrated on. Every class has its turn before any has a second one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from deploybench.artifacts.calibration import SYNTHETIC, Calibration, CalibrationImages
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.dataset import DataSet, Example
from deploybench.data.opening import open_data
from deploybench.data.options import LabelsLackError
from deploybench.data.synthetic import reference_inputs
from deploybench.errors import DeployBenchError

IMAGES = 128
"""Of real ones, unless another number is asked for."""
SYNTHETIC_IMAGES = 16
SEED = 1
"""Not the seed of the reference images: what is checked was not calibrated on."""
TRAINING = "train"
MOST_NOTES = 4


@dataclass(frozen=True)
class ChosenForCalibration:
    """The part of a set that is calibrated on, and of how many it was picked."""

    data: DataSet
    found: int
    split: str | None


def choose_for_calibration(source: str, count: int, seed: int) -> ChosenForCalibration:
    """Pick ``count`` images, fewer where there are not so many; the same for the same seed.

    Raises DeployBenchError for data that does not open, or that holds no image.
    """
    try:
        data = _opened(source)
    except DeployBenchError as error:
        raise DeployBenchError(
            f"--calibration {source}: {error.found}", expected=error.expected, action=error.action
        ) from None
    split = None
    if TRAINING in data.splits:
        split = TRAINING
        data = data.in_split(split)
    if not len(data):
        raise DeployBenchError(
            f"--calibration {source} holds no image",
            expected="images as the model is to see them",
            action="name a folder with images",
        )
    return ChosenForCalibration(data.with_examples(_picked(data, count, seed)), len(data), split)


def hash_of_calibration(source: str, count: int | None, seed: int | None) -> str:
    """What decides the images in an artifact's key: their content, number and seed."""
    if source == SYNTHETIC:
        return f"{SYNTHETIC} {count or SYNTHETIC_IMAGES} {_seed(seed)}"
    return choose_for_calibration(source, count or IMAGES, _seed(seed)).data.sha256()


def calibration_images(
    source: str, count: int | None, seed: int | None, preprocessing: Preprocessing
) -> CalibrationImages:
    """The images, read as the artifact's preprocessing says.

    Raises DeployBenchError with the name of the first one that does not read.
    """
    seed = _seed(seed)
    if source == SYNTHETIC:
        asked = count or SYNTHETIC_IMAGES
        pixels = reference_inputs(preprocessing, asked, seed)
        told = Calibration(source=source, images=asked, asked=asked, found=asked, seed=seed)
        return CalibrationImages(pixels, told)
    asked = count or IMAGES
    chosen = choose_for_calibration(source, asked, seed)
    inputs = []
    notes: list[str] = []
    for example in chosen.data:
        image = chosen.data.input(example, preprocessing)
        inputs.append(image.pixels)
        notes += [f"{example.key}: {note}" for note in image.notes]
    if len(notes) > MOST_NOTES:
        notes = [*notes[:MOST_NOTES], f"and {len(notes) - MOST_NOTES} more such remarks"]
    if chosen.data.synthetic is not None:
        notes.insert(0, f"synthetic data: {chosen.data.synthetic}")
    told = Calibration(
        source=source,
        images=len(inputs),
        asked=asked,
        found=chosen.found,
        seed=seed,
        sha256=chosen.data.sha256(),
        split=chosen.split,
        notes=tuple(notes),
    )
    return CalibrationImages(np.stack(inputs), told)


def _opened(source: str) -> DataSet:
    """The set with its classes where it has any; images alone will do."""
    try:
        return open_data(source)
    except LabelsLackError:
        return open_data(source, unlabelled=True)


def _seed(seed: int | None) -> int:
    if seed is None:
        return SEED
    return seed


def _picked(data: DataSet, count: int, seed: int) -> Sequence[Example]:
    """In a random order of the seed's, a class after the other in turn; sorted as in the set."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(data))
    by_class: dict[tuple[int, ...] | None, list[int]] = defaultdict(list)
    for index in order:
        by_class[data.examples[index].labels].append(int(index))
    ranked = []
    for members in by_class.values():
        ranked += [(turn, index) for turn, index in enumerate(members)]
    # Within a turn the random order decides which classes come, where not all have a place.
    place = {int(index): position for position, index in enumerate(order)}
    ranked.sort(key=lambda entry: (entry[0], place[entry[1]]))
    taken = sorted(index for _, index in ranked[:count])
    return [data.examples[index] for index in taken]
