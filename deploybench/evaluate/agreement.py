"""How far two sets of answers to the same images are apart; no label is needed."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from deploybench.data.dataset import DataSet
from deploybench.evaluate.scoring import Evaluated
from deploybench.results.quality import MOST_LISTED, Agreement, Flip
from deploybench.statistics.multi_label import THRESHOLD
from deploybench.statistics.proportions import share
from deploybench.statistics.quality import TOP

Floats = npt.NDArray[np.float64]
Booleans = npt.NDArray[np.bool_]

ROWS_AT_ONCE = 2048


def agreement_of(baseline: Evaluated, candidate: Evaluated, data: DataSet) -> Agreement | None:
    """The candidate beside fp32 eager on the images that both have; None where there are none."""
    common, of_baseline, of_candidate = np.intersect1d(
        baseline.images, candidate.images, assume_unique=True, return_indices=True
    )
    if not len(common):
        return None
    sure = baseline.probabilities.sure and candidate.probabilities.sure
    classes = baseline.probabilities.shape[1]
    several = baseline.multi_label
    same_five = 0
    largest, total = 0.0, 0.0
    flips: list[Flip] = []
    flipped = 0
    for first in range(0, len(common), ROWS_AT_ONCE):
        rows = slice(first, first + ROWS_AT_ONCE)
        old = baseline.probabilities[of_baseline[rows]]
        new = candidate.probabilities[of_candidate[rows]]
        shifts = np.abs(new - old).max(axis=1)
        largest = max(largest, float(shifts.max()))
        total += math.fsum(shifts)
        if not several and sure and classes > TOP:
            same_five += int((_top(old) == _top(new)).all(axis=1).sum())
        differing = np.flatnonzero(_differs(old, new, several))
        flipped += len(differing)
        for row in differing[: MOST_LISTED - len(flips)]:
            image = data.place(data.examples[int(common[first + row])])
            flips.append(_flip(image, old[row], new[row], baseline, sure))
    images = len(common)
    return Agreement(
        images=images,
        top1=share(images - flipped, images),
        top5=same_five / images if not several and sure and classes > TOP else None,
        largest_shift=largest if sure else None,
        mean_shift=total / images if sure else None,
        flipped=flipped,
        flips=tuple(flips),
    )


def _differs(old: Floats, new: Floats, several: bool) -> Booleans:
    if several:
        given: Booleans = ((old >= THRESHOLD) != (new >= THRESHOLD)).any(axis=1)
        return given
    differing: Booleans = old.argmax(axis=1) != new.argmax(axis=1)
    return differing


def _top(probabilities: Floats) -> npt.NDArray[np.int64]:
    """The five most probable classes of each row, by number."""
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP]
    return np.sort(order, axis=1)


def _flip(image: str, old: Floats, new: Floats, names: Evaluated, sure: bool) -> Flip:
    """Of several labels, the one whose probability moved most across one half."""
    if names.multi_label:
        moved = np.where((old >= THRESHOLD) != (new >= THRESHOLD), np.abs(new - old), -1)
        label = int(moved.argmax())
        name = names.classes[label]
        words = {True: name, False: f"not {name}"}
        return Flip(
            image=image,
            baseline=words[bool(old[label] >= THRESHOLD)],
            candidate=words[bool(new[label] >= THRESHOLD)],
            baseline_probability=float(old[label]),
            candidate_probability=float(new[label]),
        )
    was, now = int(old.argmax()), int(new.argmax())
    return Flip(
        image=image,
        baseline=names.classes[was],
        candidate=names.classes[now],
        baseline_probability=float(old[was]) if sure else None,
        candidate_probability=float(new[now]) if sure else None,
    )
