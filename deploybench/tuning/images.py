"""Which images a tuning evaluates on, in which steps, and which int8 is calibrated on.

An evaluation of all images of a large set takes longer than measuring does, and a few hundred tell
most configurations apart from what is allowed. So they come in steps, each with more images than
the one before; what a step leaves open goes on to the next. What is calibrated on is never
evaluated on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from deploybench.data.dataset import DataSet, Example
from deploybench.data.sources import ImageFiles
from deploybench.data.splits import split_data
from deploybench.data.written import write_table
from deploybench.errors import DeployBenchError
from deploybench.evaluate.job import DataRequest
from deploybench.files import slug
from deploybench.plurals import counted
from deploybench.tuning.request import TuneRequest

FIRST_IMAGES = 400
TIMES_MORE = 4
MOST_OVER = 1.5
"""A last step of less than this many times the images of the one before is not worth a step."""
CALIBRATION_IMAGES = 256
LARGEST_SHARE_TO_CALIBRATE = 0.2
"""Of a set without splits: the rest is evaluated on."""
TRAIN, VALIDATION, TEST = "train", "val", "test"
TABLES = "images"
KEY_LETTERS = 12


@dataclass(frozen=True)
class TuneImages:
    """The images of a tuning.

    ``steps`` are the evaluations' data, each with more images than the one before; ``counts`` say
    how many. ``calibration`` are images for int8 (None: there are none, ``no_calibration`` says
    why). ``notes`` say what was decided.
    """

    steps: tuple[DataRequest, ...]
    counts: tuple[int, ...]
    labelled: bool
    sha256: str
    calibration: str | None = None
    no_calibration: str = ""
    notes: tuple[str, ...] = ()


def images_of(
    request: TuneRequest,
    folder: Path,
    told: Callable[[int, int], object],
    *,
    calibrate: bool = True,
) -> TuneImages:
    """The images of the request; tables of them are written below ``folder``.

    ``calibrate`` says that something is exported that needs images to calibrate on. ``told`` hears
    how many of how many images were read to tell which they are.

    Raises DeployBenchError for data that is none, and for a split that it does not have.
    """
    asked = request.data_request
    data = asked.open()
    labelled = data.labelled and bool(data.class_names) and not request.unlabelled
    notes: list[str] = []
    chosen, split = _evaluated(request, data, notes)
    rest = [example for example in data.examples if example.split == TRAIN and split != TRAIN]
    apart = isinstance(data.images, ImageFiles)  # else no table can tell the two parts
    if calibrate and request.calibration is None and not rest and apart and len(chosen) > 1:
        chosen, rest = _set_aside(chosen, request.seed)
        if rest:
            notes.append(
                f"{data.root} has no training split: int8 is calibrated on "
                f"{counted(len(rest), 'image')} of it that are not evaluated on"
            )
    sha256 = chosen.sha256(lambda done: told(done, len(chosen)))
    folder = folder / f"{slug(data.name)}-{sha256[:KEY_LETTERS]}"
    calibration, why_not = _calibration(request, data, rest, folder, calibrate=calibrate)
    if not labelled:
        reason = f"{data.root} has no labels"
        if request.unlabelled:
            reason = "labels are left aside, as was asked"
        share = f"{100 * (1 - request.max_accuracy_drop):g} %"
        notes.append(
            f"{reason}: the agreement with fp32 eager is the accuracy, and has to be {share} at "
            "least"
        )
    whole = len(chosen) == len(data)
    steps, counts = _steps(request, data, chosen, split, folder, whole=whole)
    return TuneImages(
        steps=tuple(steps),
        counts=tuple(counts),
        labelled=labelled,
        sha256=sha256,
        calibration=calibration,
        no_calibration=why_not,
        notes=tuple(notes),
    )


def _evaluated(request: TuneRequest, data: DataSet, notes: list[str]) -> tuple[DataSet, str | None]:
    """The images that are evaluated on, and their split where they are one."""
    if not data.splits:
        if request.split is not None:
            data.in_split(request.split)  # says that there is none
        return data, None
    names = (TEST, VALIDATION) if request.split is None else (request.split,)
    for name in names:
        if name in data.splits or request.split is not None:
            return data.in_split(name), name
    notes.append(
        f"{data.root} has no split '{TEST}' or '{VALIDATION}': all its images count, and a model "
        "that was trained on them is better on them than elsewhere"
    )
    return data, None


def _set_aside(data: DataSet, seed: int) -> tuple[DataSet, list[Example]]:
    """The images to evaluate on, and those to calibrate on: no patient is among both."""
    share = min(LARGEST_SHARE_TO_CALIBRATE, CALIBRATION_IMAGES / len(data))
    try:
        result = split_data(data, {TEST: 1 - share, TRAIN: share}, seed)
    except DeployBenchError:
        return data, []
    aside = {example.key for example in result.data.examples if example.split == TRAIN}
    evaluated = [example for example in data.examples if example.key not in aside]
    return data.with_examples(evaluated), [one for one in data.examples if one.key in aside]


def _calibration(
    request: TuneRequest,
    data: DataSet,
    rest: Sequence[Example],
    folder: Path,
    *,
    calibrate: bool,
) -> tuple[str | None, str]:
    """What int8 is calibrated on, or why there is nothing."""
    if not calibrate:
        return None, "nothing needs it"
    if request.calibration is not None:
        return request.calibration, ""
    if not rest:
        return None, f"{data.root} has no images beside those that are evaluated on"
    if not isinstance(data.images, ImageFiles):
        if TRAIN in data.splits:
            return str(data.root), ""
        return None, f"the images of {data.root} lie in one file, and it has no training split"
    picked = _first(data.with_examples(rest), CALIBRATION_IMAGES, request.seed)
    part = picked.with_examples([replace(one, split=None) for one in picked.examples])
    path = folder / "calibration.csv"
    write_table(part, path)
    return str(path), ""


def _steps(
    request: TuneRequest,
    data: DataSet,
    chosen: DataSet,
    split: str | None,
    folder: Path,
    *,
    whole: bool,
) -> tuple[list[DataRequest], list[int]]:
    """The data of each evaluation, and how many images each has."""
    asked = request.data_request.replaced(split=split)
    of_set = whole or (split is not None and len(chosen) == len(data.in_split(split)))
    if not isinstance(data.images, ImageFiles):
        # No table can name them; they are evaluated on together.
        return [asked], [len(chosen)]
    counts = []
    count = FIRST_IMAGES
    while count * MOST_OVER < len(chosen):
        counts.append(count)
        count *= TIMES_MORE
    steps = []
    for count in counts:
        part = _first(chosen, count, request.seed)
        steps.append(_table(request, part, folder / f"first-{count}.csv"))
    counts.append(len(chosen))
    if of_set:
        steps.append(asked)
    else:
        steps.append(_table(request, chosen, folder / "all.csv"))
    return steps, counts


def _table(request: TuneRequest, part: DataSet, path: Path) -> DataRequest:
    """A part of the images in a table of its own, without splits."""
    plain = [replace(one, split=None) for one in part.examples]
    write_table(part.with_examples(plain), path)
    names = None if request.class_names is None else tuple(request.class_names)
    return DataRequest(
        path=str(path.absolute()),
        class_names=names,
        uncertain=request.uncertain,
        unlabelled=request.unlabelled,
    )


def _first(data: DataSet, count: int, seed: int) -> DataSet:
    """So many of the images in a random order of the seed's, those of every class among them; the
    same for the same seed, and those of fewer are among those of more."""
    if len(data) <= count:
        return data
    order = [int(index) for index in np.random.default_rng(seed).permutation(len(data))]
    # The first image of each class comes before all others, so that a table names every class.
    seen: set[tuple[int, ...]] = set()
    first: list[int] = []
    later: list[int] = []
    for index in order:
        labels = data.examples[index].labels or ()
        if labels in seen:
            later.append(index)
        else:
            seen.add(labels)
            first.append(index)
    taken = sorted([*first, *later][:count])
    return data.with_examples([data.examples[index] for index in taken])
