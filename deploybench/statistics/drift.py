"""Whether values that came one after the other rise or fall with time, beyond chance.

Kendall's test for a trend (Mann 1945). Values that depend on each other rise and fall by
themselves: its variance is larger by the statistical inefficiency of what is left when the trend is
taken off (Hamed and Rao 1998 correct in the same way).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from deploybench.statistics.dependence import FEWEST_VALUES, inefficiency_of

Floats = npt.NDArray[np.float64]

SURELY = 3.3
"""Standard deviations: by chance one series in a thousand gets so far."""
THIRDS_APART = 1.5
"""The middles of the first and the last third are two thirds of the whole apart."""


def drift_of(series: Floats) -> float:
    """By how much the values rose from the first to the last, in their own unit.

    0 where chance alone may have done it.
    """
    from scipy.stats import kendalltau

    count = len(series)
    if count < 3 * FEWEST_VALUES:
        return 0.0
    first, _, last = np.array_split(series, 3)
    rise = THIRDS_APART * (float(np.median(last)) - float(np.median(first)))
    if rise == 0:
        return 0.0
    moments = np.arange(count)
    tau = float(kendalltau(moments, series).statistic)
    without_trend = series - rise * moments / (count - 1)
    inefficiency, _ = inefficiency_of(without_trend)
    variance = 2 * (2 * count + 5) / (9 * count * (count - 1)) * inefficiency
    if abs(tau) < SURELY * math.sqrt(variance):
        return 0.0
    return rise
