"""Do the intervals of quality cover what they should, and does the paired test alarm as it should?

Sets of images are drawn from a population that is made up: ten unequal classes, and a classifier
whose scores are drawn around the true class. What each figure is in the whole population is known
from a million images of it; an interval covers when that lies within. For A/A two predictors that
are equally good and err mostly on the same images are held against each other by McNemar's test.
Simulated only: nothing is measured.

    python -m benchmarks.quality_simulated [--sets 1000] [--images 1000]
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.statistics.bootstrap import RESAMPLES
from deploybench.statistics.figures import Figure
from deploybench.statistics.multi_label import multi_label
from deploybench.statistics.proportions import paired_difference
from deploybench.statistics.quality import Classification, classification

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SHARES = np.array([0.3, 0.2, 0.14, 0.1, 0.08, 0.06, 0.04, 0.035, 0.025, 0.02])
"""Of the classes; the rarest has 20 images in a thousand."""
SIGNAL, SHARPNESS = 2.2, 1.4
"""By how much the true class's score stands out, and how much too sure the classifier is."""
POPULATION = 1_000_000
LEAST, MOST = 0.93, 0.97
MOST_ALARMS = 0.05
LABELS = np.array([0.4, 0.25, 0.15, 0.1, 0.05])


@dataclass(frozen=True)
class Drawn:
    """Images with their true class and the probabilities that the classifier gives."""

    true: Integers
    probabilities: Floats


def draw(generator: np.random.Generator, images: int) -> Drawn:
    """Softmax of normal scores with the true class raised; too sharp to be calibrated."""
    true = generator.choice(len(SHARES), images, p=SHARES)
    scores = generator.normal(size=(images, len(SHARES))) + np.log(SHARES)
    scores[np.arange(images), true] += SIGNAL
    exponents = np.exp(SHARPNESS * (scores - scores.max(axis=1, keepdims=True)))
    return Drawn(true, exponents / exponents.sum(axis=1, keepdims=True))


def draw_labels(generator: np.random.Generator, images: int) -> tuple[Floats, Integers]:
    """Probabilities and truth of several labels an image."""
    truth = (generator.random((images, len(LABELS))) < LABELS).astype(np.int64)
    scores = generator.normal(size=truth.shape) + 2 * truth + np.log(LABELS)
    return 1 / (1 + np.exp(-scores)), truth


def figures_of(found: Classification) -> dict[str, Figure | None]:
    """Every figure of a set by name, with those of the rarest class."""
    rarest = found.classes[-1]
    return {
        "top-1": found.top1,
        "top-5": found.top5,
        "balanced accuracy": found.balanced_accuracy,
        "specificity, mean": found.specificity,
        "AUC, macro": found.area,
        "kappa": found.kappa,
        "MCC": found.correlation,
        "calibration error": found.calibration_error,
        "rarest class: sensitivity": rarest.sensitivity,
        "rarest class: specificity": rarest.specificity,
        "rarest class: AUC": rarest.area,
    }


def label_figures_of(
    probabilities: Floats, truth: Integers, resamples: int = RESAMPLES
) -> dict[str, Figure | None]:
    found = multi_label(probabilities, truth, resamples=resamples)
    return {
        "labels: AUC, macro": found.area,
        "labels: F1, macro": found.f1,
        "labels: sensitivity, macro": found.sensitivity,
        "labels: accuracy": found.label_accuracy,
        "labels: all right": found.exact_match,
    }


def coverage(sets: int, images: int, seed: int, population: int = POPULATION) -> dict[str, float]:
    """The share of the sets whose interval holds what the population has, by figure."""
    generator = np.random.default_rng(seed)
    everybody = draw(generator, population)
    truth = figures_of(classification(everybody.probabilities, everybody.true, resamples=2))
    truth |= label_figures_of(*draw_labels(generator, population), resamples=2)
    covered = dict.fromkeys(truth, 0)
    known = dict.fromkeys(truth, 0)
    for number in range(sets):
        drawn = draw(generator, images)
        found = figures_of(classification(drawn.probabilities, drawn.true, seed=number))
        found |= label_figures_of(*draw_labels(generator, images))
        for name, figure in found.items():
            true = truth[name]
            if figure is None or figure.low is None or figure.high is None or true is None:
                continue
            known[name] += 1
            covered[name] += figure.low <= true.value <= figure.high
    return {name: covered[name] / max(known[name], 1) for name in covered}


@dataclass(frozen=True)
class Pairs:
    """Of pairs of predictors: how often the test calls them different at 5 %, and how often the
    interval of their difference holds the true one."""

    alarms: float
    covered: float


def pairs(sets: int, images: int, seed: int, better_by: float = 0.0) -> Pairs:
    """Two predictors that err on the same hard images; the candidate is right ``better_by`` more
    often."""
    generator = np.random.default_rng(seed)
    alarms = covered = 0
    for _ in range(sets):
        # Both are more often right on the same images.
        ease = generator.beta(3, 1, images) * (1 - better_by)
        baseline = generator.random(images) < ease
        candidate = generator.random(images) < ease + better_by
        found = paired_difference(baseline, candidate)
        alarms += found.p_value < 0.05
        covered += found.low <= better_by <= found.high
    return Pairs(alarms / sets, covered / sets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", type=int, default=1000)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    bad = False
    print(f"{asked.sets} sets of {asked.images} images; wanted: 93 to 97 %")
    for name, share in coverage(asked.sets, asked.images, asked.seed).items():
        outside = not LEAST <= share <= MOST
        bad |= outside
        print(f"{name:28} {share:6.1%}{'  outside' if outside else ''}")
    same = pairs(10 * asked.sets, asked.images, asked.seed)
    better = pairs(10 * asked.sets, asked.images, asked.seed, better_by=0.03)
    for name, share in (("A/A", same.covered), ("A/B", better.covered)):
        outside = not LEAST <= share <= MOST
        bad |= outside
        print(f"{f'difference, {name}':28} {share:6.1%}{'  outside' if outside else ''}")
    bad |= same.alarms > MOST_ALARMS
    print(f"{'A/A by McNemar: alarms':28} {same.alarms:6.1%}; wanted: at most 5 %")
    print(f"{'A/B, 3 points: found':28} {better.alarms:6.1%}")
    sys.exit(int(bad))


if __name__ == "__main__":
    main()
