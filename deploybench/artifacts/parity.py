"""Parity: does the artifact on its runner compute what PyTorch computed eagerly in fp32?

Errors are relative to the spread (standard deviation) of the reference outputs over all images and
classes, so that a network with tiny outputs cannot pass by being tiny. A top-1 disagreement counts
only where the reference's own margin between its two best classes is larger than twice the error
that the budget allows; below that the reference itself is a tie.

Where the export measured what a reduced precision costs on the model, the error is held against
that as well (:mod:`deploybench.artifacts.cost`); the budgets here are then its ceiling.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.cost import CostVerdict, held_to_cost
from deploybench.documents import Document

SMALLEST_SPREAD = 1e-4


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
}


def loosest(*precisions: str) -> str:
    """The precision with the widest budget.

    An fp16 artifact that runs in fp32 is still held to fp16's.
    """
    return max(precisions, key=lambda precision: BUDGETS[precision].max_error)


class ParityReport(Document):
    """The figures of one comparison.

    ``max_error`` and ``budget_error`` are relative to ``spread``. ``cost_ratio`` is the error in
    units of what the precision costs on this model, None where that was not measured.
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
    cost_ratio: float | None = None
    budget_cost_ratio: float | None = None


def compare_outputs(
    reference: npt.NDArray[np.float32],
    candidate: npt.NDArray[np.float32],
    precision: str,
    *,
    rounded: npt.NDArray[np.float32] | None = None,
) -> ParityReport:
    """Hold ``candidate`` (images, classes) against the fp32 eager ``reference`` of that shape.

    ``rounded`` are the eager outputs in that precision, of the same shape; None: not measured.
    """
    budget = BUDGETS[precision]
    expected = reference.astype(np.float64).reshape(len(reference), -1)
    spread = float(expected.std())
    finite_spread = None
    if math.isfinite(spread):  # JSON has no word for the others
        finite_spread = spread

    def report(
        reason: str,
        *,
        max_error: float | None,
        cosine: float | None,
        top1: float | None,
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
    if spread < SMALLEST_SPREAD:
        return failure(
            f"the reference outputs have no spread ({spread:.1e}): any artifact would pass"
        )
    outputs = candidate.astype(np.float64).reshape(expected.shape)
    not_finite = outputs.size - int(np.isfinite(outputs).sum())
    if not_finite:
        return failure(f"{not_finite} of {outputs.size} outputs are NaN or Inf")

    max_error = float(np.abs(outputs - expected).max() / spread)
    cosine = _smallest_cosine(expected, outputs)
    # Two classes may each be off by the budget's error, towards each other.
    tie = 2 * budget.max_error * spread
    top1, flipped = _top1(expected, outputs, tie=tie)
    reasons = []
    if max_error > budget.max_error:
        reasons.append(f"max error {max_error:.2e} of the spread, budget {budget.max_error:.0e}")
    if cosine < budget.min_cosine:
        reasons.append(f"cosine {cosine:.6f}, budget {budget.min_cosine}")
    if flipped:
        reasons.append(f"another top-1 class on {flipped} of {len(expected)} images")
    cost = None
    if rounded is not None:
        cost = held_to_cost(expected, outputs, rounded.reshape(expected.shape), precision)
    if cost is not None and cost.reason:
        reasons.append(cost.reason)
    return report("; ".join(reasons), max_error=max_error, cosine=cosine, top1=top1, cost=cost)


def _smallest_cosine(expected: npt.NDArray[np.float64], outputs: npt.NDArray[np.float64]) -> float:
    """The cosine similarity of the worst image; 0 for one whose outputs are all 0."""
    norms = np.linalg.norm(expected, axis=1) * np.linalg.norm(outputs, axis=1)
    products = (expected * outputs).sum(axis=1)
    cosines = np.divide(products, norms, out=np.zeros_like(products), where=norms > 0)
    return float(cosines.min())


def _top1(
    expected: npt.NDArray[np.float64], outputs: npt.NDArray[np.float64], *, tie: float
) -> tuple[float, int]:
    """The share of images with the same best class, and how many differ beyond a tie.

    It is a tie where the reference itself prefers its class by no more than ``tie``.
    """
    expected_class = expected.argmax(axis=1)
    output_class = outputs.argmax(axis=1)
    differs = expected_class != output_class
    # How much the reference prefers its own class to the one that came out.
    images = np.arange(len(expected))
    margin = expected[images, expected_class] - expected[images, output_class]
    clear = margin > tie
    return float(1 - differs.mean()), int((differs & clear).sum())
