"""Parity: does the artifact on its runner compute what PyTorch computed eagerly in fp32?

Errors are relative to the spread of the reference outputs (how far those of an image deviate from
the mean over all images and classes), so that a network with tiny outputs cannot pass by being
tiny. The unit is the median image's spread, and an image's own where that is larger: an image with
huge outputs is no excuse for errors on the others. It is never less than what the roundings of the
outputs themselves take. A top-1 disagreement counts only where the reference's own margin between
its two best classes is larger than twice the error that the budget allows; below that the reference
itself is a tie.

Where one and the same answer for every image would pass, parity says little, and the report says
so: it is weak on such a model.

Where the export measured what a reduced precision costs on the model, the error is held against
that as well (:mod:`deploybench.artifacts.cost`); the budgets here are then its ceiling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.acceptance import (
    EXACT,
    MOST_TIMES_FURTHER,
    WHY_NOT_EXACT,
    Evidence,
)
from deploybench.artifacts.cost import CostVerdict, held_to_cost
from deploybench.documents import Document
from deploybench.plurals import counted

ROUNDING = {
    "fp32": 2**-24,
    "tf32": 2**-11,
    "fp16": 2**-11,
    "bf16": 2**-8,
    "int8": 2**-8,
    "int8-weights": 2**-24,
}
"""The relative rounding error of one number. (tf32 and int8: of what their products take in;
int8-weights: of the outputs, which are float32.)"""
MOST_ROUNDINGS = 4
"""Of an output that are put up with, however little the outputs differ."""
PLAIN_FACTOR = 10
"""On an image of one colour every pixel is rounded alike, so that errors of a reduced precision add
up instead of averaging out: they count a tenth. Of their spread, with random weights: a DenseNet121
in bf16 was off by 0.88 (by 0.03 on noise), an XCA Transformer in fp16 by 0.28 (by 0.007)."""
SMALLEST_DIRECTION = 0.5
"""Of the unit: an image with smaller outputs has no direction, only its errors count."""


@dataclass(frozen=True)
class Budget:
    """What a precision may cost. ``max_error`` is in units of the reference spread."""

    max_error: float
    min_cosine: float
    reason: str


BUDGETS = {
    "fp32": Budget(
        2e-3,
        0.99999,
        "same arithmetic in another order: float32 rounds at 6e-8, and sums over thousands of "
        "terms through up to a hundred layers were seen to reach 1e-4 of the spread",
    ),
    "tf32": Budget(
        2e-2, 0.9995, "10-bit mantissa in products (rounding 5e-4), float32 accumulation"
    ),
    "fp16": Budget(
        3e-2, 0.9990, "10-bit mantissa in weights and activations (rounding 5e-4), every layer"
    ),
    "bf16": Budget(
        2e-1, 0.9900, "7-bit mantissa in weights and activations (rounding 4e-3), every layer"
    ),
    "int8": Budget(5e-1, 0.9700, "8-bit weights and activations, calibrated"),
    "int8-weights": Budget(
        3e-1,
        0.9950,
        "8-bit weights, each channel over its own extremes; activations in float32. Fifteen models "
        "were off by 0.04 to 0.20",
    ),
}


def loosest(*precisions: str) -> str:
    """The precision with the widest budget.

    An fp16 artifact that runs in fp32 is still held to fp16's.
    """
    return max(precisions, key=lambda precision: BUDGETS[precision].max_error)


class ParityReport(Document):
    """The figures of one comparison.

    ``max_error`` and ``budget_error`` are relative to ``spread``. ``cost_ratio`` is the error in
    units of what the precision costs on this model, None where that was not measured. ``accuracy``
    is what was asked where it failed (``--accept-by accuracy``); ``passed`` stays False then.
    """

    passed: bool
    precision: str
    max_error: float | None
    budget_error: float
    cosine: float | None
    budget_cosine: float
    top1_agreement: float | None
    spread: float | None
    images: int
    reason: str
    budget_reason: str
    weak: str = ""
    """Why it says little of this model, in words; empty where it says enough."""
    cost_ratio: float | None = None
    budget_cost_ratio: float | None = None
    accuracy: Evidence | None = None

    @property
    def holds(self) -> bool:
        """Whether the artifact may be used: it passed, or was accepted by its accuracy."""
        return self.passed or bool(self.accepted)

    @property
    def accepted(self) -> str:
        """The accuracy that it was accepted by, in words; empty where it was not."""
        if self.accuracy is None or not self.accuracy.accepted:
            return ""
        return self.accuracy.words

    @property
    def why_never_accepted(self) -> str:
        """Why no accuracy can take the place of this failure; empty where one may.

        An output that is NaN, or not there, or of another shape is no matter of precision.
        """
        if self.precision == EXACT:
            return WHY_NOT_EXACT
        if self.max_error is None:
            return "what failed is no matter of precision"
        return ""

    def weighed(self, evidence: Evidence | None) -> ParityReport:
        """The report with what the accuracy says, where parity failed and that was asked for."""
        if self.passed or evidence is None:
            return self
        never = self.why_never_accepted
        if never:
            return self.replaced(accuracy=Evidence(accepted=False, words=never))
        if evidence.accepted and evidence.max_error is not None:
            assert self.max_error is not None  # else it is never accepted
            if self.max_error > MOST_TIMES_FURTHER * evidence.max_error:
                words = (
                    f"the outputs are off by {self.max_error:.2e} of the spread, and were by "
                    f"{evidence.max_error:.2e} where the accuracy was measured"
                )
                evidence = Evidence(accepted=False, words=words, action=evidence.action)
        return self.replaced(accuracy=evidence)


def plain_images(images: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
    """Which of the images (images, channels, height, width) have one colour all over."""
    first_pixel = images[..., :1, :1]
    plain: npt.NDArray[np.bool_] = (images == first_pixel).reshape(len(images), -1).all(axis=1)
    return plain


def compare_outputs(
    reference: npt.NDArray[np.float32],
    candidate: npt.NDArray[np.float32],
    precision: str,
    plain: npt.NDArray[np.bool_] | None = None,
    *,
    rounded: npt.NDArray[np.float32] | None = None,
) -> ParityReport:
    """Hold ``candidate`` (images, classes) against the fp32 eager ``reference`` of that shape.

    ``plain`` (images) says which images have one colour all over; None: none of them. ``rounded``
    are the eager outputs in that precision, of the shape of the reference; None: not measured.
    """
    budget = BUDGETS[precision]
    expected = reference.astype(np.float64).reshape(len(reference), -1)
    spreads = _spreads(expected)
    spread = float(np.median(spreads))
    finite_spread = None
    if math.isfinite(spread):  # JSON has no word for the others
        finite_spread = spread

    def report(
        reason: str,
        *,
        max_error: float | None,
        cosine: float | None,
        top1: float | None,
        weak: str = "",
        cost: CostVerdict | None = None,
    ) -> ParityReport:
        cost_ratio, budget_cost_ratio = None, None
        if cost is not None:
            cost_ratio, budget_cost_ratio = cost.ratio, cost.budget
        return ParityReport(
            passed=not reason,
            precision=precision,
            max_error=max_error,
            budget_error=budget.max_error,
            cosine=cosine,
            budget_cosine=budget.min_cosine,
            top1_agreement=top1,
            spread=finite_spread,
            images=len(reference),
            reason=reason or "within budget",
            budget_reason=budget.reason,
            weak=weak,
            cost_ratio=cost_ratio,
            budget_cost_ratio=budget_cost_ratio,
        )

    def failure(reason: str) -> ParityReport:
        return report(reason, max_error=None, cosine=None, top1=None)

    if reference.shape != candidate.shape:
        return failure(
            f"output shape {tuple(candidate.shape)}, the reference has {tuple(reference.shape)}"
        )
    if not np.isfinite(expected).all():
        return failure("the fp32 eager reference itself holds NaN or Inf")
    outputs = candidate.astype(np.float64).reshape(expected.shape)
    not_finite = outputs.size - int(np.isfinite(outputs).sum())
    if not_finite:
        return failure(f"{not_finite} of {counted(outputs.size, 'output')} are NaN or Inf")

    units = _units(expected, spreads, budget, precision)
    if plain is not None and precision != "fp32":
        units[plain] *= PLAIN_FACTOR
    max_error = _largest(outputs - expected, units)
    cosine = _smallest_cosine(expected, outputs, units)
    # Two classes may each be off by the budget's error, towards each other.
    tie = 2 * budget.max_error * units
    top1, flipped = _top1(expected, outputs, tie=tie)
    reasons = []
    if max_error > budget.max_error:
        reasons.append(f"max error {max_error:.2e} of the spread, budget {budget.max_error:.0e}")
    if cosine is not None and cosine < budget.min_cosine:
        reasons.append(f"cosine {cosine:.6f}, budget {budget.min_cosine}")
    if flipped:
        reasons.append(f"another top-1 class on {flipped} of {counted(len(expected), 'image')}")
    cost = None
    if rounded is not None:
        # On an image of one colour roundings add up, otherwise on every runtime: no measure of it.
        counts = np.ones(len(expected), bool) if plain is None else ~plain
        held = rounded.reshape(expected.shape)[counts]
        cost = held_to_cost(expected[counts], outputs[counts], held, precision)
    if cost is not None and cost.reason:
        reasons.append(cost.reason)
    return report(
        "; ".join(reasons),
        max_error=max_error,
        cosine=cosine,
        top1=top1,
        weak=_weakness(expected, units, budget),
        cost=cost,
    )


def hardly_differs(outputs: npt.NDArray[np.float32], precision: str = "fp32") -> bool:
    """Whether parity on images with these outputs (images, classes) would be weak."""
    expected = outputs.astype(np.float64).reshape(len(outputs), -1)
    budget = BUDGETS[precision]
    units = _units(expected, _spreads(expected), budget, precision)
    return bool(_weakness(expected, units, budget))


def _spreads(expected: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Of each image: how far its outputs deviate from the mean over all (root mean square)."""
    spreads: npt.NDArray[np.float64] = np.sqrt(np.square(expected - expected.mean()).mean(axis=1))
    return spreads


def _units(
    expected: npt.NDArray[np.float64],
    spreads: npt.NDArray[np.float64],
    budget: Budget,
    precision: str,
) -> npt.NDArray[np.float64]:
    """What the errors of each image are relative to, in units of the outputs; never 0."""
    # Outputs of about 0.5 that differ by 1e-5 cannot be told to 2e-8: float32 itself rounds there
    # at 3e-8. So the budget's share of the unit is never less than a few roundings.
    roundings = MOST_ROUNDINGS * ROUNDING[precision] * np.abs(expected).max(axis=1)
    units: npt.NDArray[np.float64] = np.maximum(spreads, np.median(spreads))
    units = np.maximum(units, roundings / budget.max_error)
    units[units == 0] = 1  # an image whose outputs are all 0, as are those of half of the others
    return units


def _largest(errors: npt.NDArray[np.float64], units: npt.NDArray[np.float64]) -> float:
    """The largest of the errors (images, classes), each image's in its own unit."""
    return float((np.abs(errors).max(axis=1) / units).max())


def _weakness(
    expected: npt.NDArray[np.float64], units: npt.NDArray[np.float64], budget: Budget
) -> str:
    """Why parity says little here: the mean answer, given for every image, would pass."""
    if len(expected) < 2:
        return ""
    differences = _largest(expected - expected.mean(axis=0), units)
    if differences > budget.max_error:
        return ""
    return (
        "the outputs hardly depend on the image: one and the same answer for all of the "
        "reference images would pass as well"
    )


def _smallest_cosine(
    expected: npt.NDArray[np.float64],
    outputs: npt.NDArray[np.float64],
    units: npt.NDArray[np.float64],
) -> float | None:
    """The cosine similarity of the worst image whose outputs are large enough to have a direction;
    None where there is none."""
    size = np.sqrt(np.square(expected).mean(axis=1))
    counts = size >= SMALLEST_DIRECTION * units
    if not counts.any():
        return None
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(outputs, axis=1)
    products = (expected * outputs).sum(axis=1)
    cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return float(cosines[counts].min())


def _top1(
    expected: npt.NDArray[np.float64],
    outputs: npt.NDArray[np.float64],
    *,
    tie: npt.NDArray[np.float64],
) -> tuple[float, int]:
    """The share of images with the same best class, and how many differ beyond a tie.

    It is a tie where the reference itself prefers its class by no more than ``tie`` (images).
    """
    expected_class = expected.argmax(axis=1)
    output_class = outputs.argmax(axis=1)
    differs = expected_class != output_class
    # How much the reference prefers its own class to the one that came out.
    images = np.arange(len(expected))
    margin = expected[images, expected_class] - expected[images, output_class]
    clear = margin > tie
    return float(1 - differs.mean()), int((differs & clear).sum())
