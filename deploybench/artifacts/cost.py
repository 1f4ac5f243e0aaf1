"""What a reduced precision may cost on one model: a multiple of what it was measured to cost there.

One budget for all models has to be as wide as the worst of them needs, and a wrong layer of a
better one passes below it. So the export stores, beside the fp32 outputs, the outputs of the same
module with every number rounded to the precision (:mod:`deploybench.models.precision_cost`); for
fp32, those of the same module in float64. An artifact that computes in the precision may be off by
:data:`MOST_COSTS` times what these are off, in root mean square over all images and classes, and so
may the mean of its errors over the images: random rounding hardly moves them, a wrong tensor does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

COST_PREFIX = "cost:"
"""Of a name in ``reference.npz``: ``cost:bf16`` are the outputs with all numbers rounded to bf16.
"""
MOST_COSTS = {"fp32": 20.0, "tf32": 3.0, "fp16": 2.5, "bf16": 1.7}
"""How many times the measured cost is put up with.

Other ways to round than eager's, on other kernels. Ten architectures were exported to every CPU
format: in bf16 PyTorch and TorchScript, which folds norms into weights that are rounded already,
were within 1.3; in fp16 ONNX Runtime, OpenVINO and TorchScript within 1.8; in fp32 within 1.2. No
GPU's kernels were seen in bf16. In their place, nine models of ``benchmarks/blind_spots.py`` were
taken apart until norms, activations, softmax and attention were plain sums and products, each of
them rounded to bf16, as without any fused kernel: that cost 1.15 to 1.40. Taken apart and folded
(1.19), if both are independent, is the root of 1.40² + 1.19² - 1, or 1.54.

The rest, in fp16 and fp32, is for kernels that were not seen, such as Winograd's convolutions in
fp32, whose rounding is several times that of a plain sum.
"""
SMALLEST_COST = {"fp32": 1e-6, "tf32": 1e-4, "fp16": 1e-4, "bf16": 1e-3}
"""Of the spread of the reference: where a network happens to cost less (one layer, say), rounding
its outputs alone takes as much."""

DEVIATIONS_OF_CHANCE = 3.0
"""By which the ratio of two roundings of few values may be larger."""


@dataclass(frozen=True)
class CostVerdict:
    """How an error compares to the cost. ``ratio`` is in units of the measured cost."""

    ratio: float
    budget: float

    @property
    def reason(self) -> str:
        """Why the artifact fails, in words; empty where it does not."""
        if self.ratio <= self.budget:
            return ""
        return (
            f"its error is {self.ratio:.1f} times what the precision costs on this model, "
            f"at most {self.budget:g}"
        )


def held_to_cost(
    expected: npt.NDArray[np.float64],
    outputs: npt.NDArray[np.float64],
    rounded: npt.NDArray[np.floating],
    precision: str,
) -> CostVerdict | None:
    """Compare the error of ``outputs`` with that of ``rounded``, against ``expected``.

    All are (images, values). None where the precision has no cost, or overflows on this model.
    """
    if precision not in SMALLEST_COST or not np.isfinite(rounded).all():
        return None
    rounding = rounded.astype(np.float64) - expected
    error = outputs - expected
    least = SMALLEST_COST[precision] * float(expected.std())
    overall = _ratio(error, rounding, least)
    # A wrong tensor moves all images alike; most of what rounding does averages out over them.
    common = _ratio(error.mean(axis=0), rounding.mean(axis=0), least / math.sqrt(len(expected)))
    return CostVerdict(max(overall, common), MOST_COSTS[precision])


def _ratio(
    error: npt.NDArray[np.float64], rounding: npt.NDArray[np.float64], least: float
) -> float:
    """The error in units of what rounding costs, which is taken to be ``least`` at least."""
    unit = max(_root_mean_square(rounding), least)
    if unit == 0:  # outputs that are all the same, and that rounding does not change
        return 0.0
    # Of few values both root mean squares are matters of chance: their ratio has a relative
    # standard deviation of about 1 / sqrt(values).
    chance = DEVIATIONS_OF_CHANCE / math.sqrt(error.size)
    return _root_mean_square(error) / unit / (1 + chance)


def _root_mean_square(errors: npt.NDArray[np.float64]) -> float:
    return float(np.sqrt(np.square(errors).mean()))
