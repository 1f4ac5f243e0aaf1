"""The median of values that came one after the other, and may know of each other.

Neighbouring visits of a cell meet the same machine, so a hundred of them may tell as much as ten
independent ones. How many they are worth follows from their autocorrelation: their number over the
statistical inefficiency, 1 + 2 x (the sum of the autocorrelations) (Sokal 1997). It is
estimated in three ways, and the largest counts:

- from the series "above the median or not", whose autocorrelation decides how much a sample median
  varies, whatever the distribution is; summed up to where pairs of autocorrelations are no longer
  positive and decreasing (Geyer 1992, the initial monotone sequence),
- from the correlation of neighbours, as if it went on like that of an AR(1) process, with the bias
  that a short series has taken off (Kendall 1954). For a normal AR(1) process the series above gets
  the correlation 2/pi x arcsin (Van Vleck 1943),
- from the correlation of neighbouring means of 4 and 8, likewise: a slow process under what
  every value has for itself hides from the correlation of neighbours, and comes out here. For an
  AR(1) process without noise this is up to a half too much.

The interval of a median is that of order statistics (the sign test turned around), as far apart as
that number of independent values asks for, by Student's t: the number is itself an estimate.

Of logarithms, whose noise is about symmetric, the centre is that of Hodges and Lehmann (1963): the
median of the means of all pairs of values, and its interval that of Wilcoxon's signed-rank test
turned around, as wide as the dependence asks for. It stands up to wild values nearly as well, and
is a fifth narrower than that of the median. Where the two part, the noise is not symmetric (a cell
with two modes of its own), and the median counts. So it does where its interval is much the
narrower one: a seventh of wild values on one side is in a quarter of the pairs, and hardly moves
the median.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from deploybench.statistics.samples import CONFIDENCE, FEWEST_FOR_INTERVAL, half_width

Floats = npt.NDArray[np.float64]

FEWEST_INDEPENDENT = 15.0
"""Fewer independent values than this cannot show how dependent they are: of simulated AR(1) series
that were called known with 10, only 83 % were covered at a correlation of 0.9, with 15 it is 95 %
(benchmarks/dependence.py)."""
LARGEST_CORRELATION = 0.998
UPPER_DEVIATIONS = 2.0
"""The correlation of neighbours may be larger than estimated by this many standard errors."""
LONGEST_LAG = 2000
TOGETHER = (4, 8)
FEWEST_MEANS = 16
"""So many values are averaged, if there are so many means then."""
MEANS_DEVIATIONS = 1.0
"""As ``UPPER_DEVIATIONS``, of the correlation of means. Calibrated by simulation: slow processes
under noise are covered in 95 % instead of 89 (a correlation of 0.9; benchmarks/dependence.py)."""
QUIET = 0.0025
"""A logarithm. The visits of a cell on a quiet machine of one's own scatter over less."""
MOST_PAIRED = 600
LARGEST_PARTING = 0.5
"""Of the middle of pairs and the median, in half-widths. Of normal noise they part by a third of
one (a standard deviation)."""
MUCH_WIDER = 1.5
"""The interval of the middle of pairs over that of the median. Of normal noise it is 0.8."""
FEWEST_VALUES = 8
"""Of fewer values no correlation can be estimated."""


@dataclass(frozen=True)
class Centre:
    """A median with its interval. ``low`` and ``high`` are infinite where it has none.

    ``independent`` is how many independent values the series is worth, ``surely`` the same with the
    largest dependence that it does not rule out. ``halves`` are the medians of either half of the
    time.
    """

    value: float
    low: float
    high: float
    count: int
    independent: float
    surely: float
    halves: tuple[float, float]

    @property
    def halves_agree(self) -> bool:
        """Whether it holds in either half of the time: within the interval, with all errors that
        are in it."""
        return all(self.low <= half <= self.high for half in self.halves)

    @property
    def known(self) -> bool:
        """Whether the interval can be trusted: enough independent values, and no drift."""
        return self.surely >= FEWEST_INDEPENDENT and self.halves_agree

    @property
    def half_width(self) -> float:
        """The farther end's distance from the centre, relative to it."""
        return half_width(self.value, self.low, self.high)

    @property
    def distance(self) -> float:
        """The farther end's distance from the centre, in the values' own unit (of logarithms)."""
        return max(self.high - self.value, self.value - self.low)

    def with_error(self, error: float) -> Centre:
        """The same with an independent error of that half-width in the interval."""
        return replace(
            self,
            low=self.value - math.hypot(self.value - self.low, error),
            high=self.value + math.hypot(self.high - self.value, error),
        )


def centre_of(values: Sequence[float] | Floats, confidence: float = CONFIDENCE) -> Centre:
    """The median of values in order of time, with an interval that holds under dependence.

    Needs one value.
    """
    series = np.asarray(values, dtype=np.float64)
    count = len(series)
    ordered = np.sort(series)
    median = float(np.median(series))
    if count < FEWEST_VALUES:
        return Centre(median, -math.inf, math.inf, count, 0.0, 0.0, (median, median))

    inefficiency, largest = inefficiency_of(series)
    independent = count / inefficiency

    low, high = _ends(ordered, inefficiency, confidence)
    first, second = np.array_split(series, 2)
    halves = float(np.median(first)), float(np.median(second))
    return Centre(median, low, high, count, independent, count / largest, halves)


def widest_interval(
    values: Sequence[float] | Floats, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """The interval of the median under the largest dependence that the values do not rule out.

    It holds where it is not known how dependent they are, and is as wide as that takes. None where
    they may be worth fewer independent ones than an interval needs, or where the median of either
    half of the time lies outside.
    """
    series = np.asarray(values, dtype=np.float64)
    count = len(series)
    if count < FEWEST_VALUES:
        return None
    _, largest = inefficiency_of(series)
    if count / largest < FEWEST_FOR_INTERVAL:
        return None
    low, high = _ends(np.sort(series), largest, confidence)
    if not math.isfinite(high - low):
        return None
    if not all(low <= float(np.median(half)) <= high for half in np.array_split(series, 2)):
        return None
    return low, high


def _ends(ordered: Floats, inefficiency: float, confidence: float) -> tuple[float, float]:
    """The order statistics between which the median lies; infinite where there are too few.

    The number of values below the true median varies by sqrt(count x inefficiency) / 2.
    """
    from scipy.stats import t as student

    count = len(ordered)
    freedom = max(count / inefficiency - 1, 1.0)
    away = float(student.ppf(0.5 + confidence / 2, freedom))
    ranks = away * math.sqrt(count * inefficiency) / 2
    below = math.floor(count / 2 - ranks + 0.5)
    above = math.ceil(count / 2 + ranks - 0.5)
    low = -math.inf
    if below >= 1:
        low = float(ordered[below - 1])
    high = math.inf
    if above < count:
        high = float(ordered[above])
    return low, high


def centre_of_logs(values: Sequence[float] | Floats, confidence: float = CONFIDENCE) -> Centre:
    """The centre of logarithms in order of time: the middle of the means of all pairs, or the
    median (see above). Values that hardly differ need not tell how they depend.
    """
    series = np.asarray(values, dtype=np.float64)
    median = centre_of(series, confidence)
    if len(series) < FEWEST_VALUES:
        return median
    centre = _middle_of_pairs(series, confidence)
    parted = abs(median.value - centre.value) > LARGEST_PARTING * centre.distance
    if parted or centre.distance > MUCH_WIDER * median.distance:
        centre = median
    return _known_where_quiet(centre, series)


def median_of_logs(values: Sequence[float] | Floats) -> Centre:
    """The median of logarithms in order of time, likewise."""
    series = np.asarray(values, dtype=np.float64)
    return _known_where_quiet(centre_of(series), series)


def _known_where_quiet(centre: Centre, series: Floats) -> Centre:
    """Values that hardly differ need not tell how they depend.

    Values that all lie within ``QUIET`` of their median are known to twice that, whatever they know
    of each other: only what never showed in any of them could move the median further.
    """
    if centre.known or centre.count < FEWEST_VALUES:
        return centre
    if float(np.abs(series - centre.value).max()) > QUIET:
        return centre
    return replace(
        centre,
        low=centre.value - 2 * QUIET,
        high=centre.value + 2 * QUIET,
        surely=max(centre.surely, FEWEST_INDEPENDENT),
    )


def _middle_of_pairs(series: Floats, confidence: float) -> Centre:
    """The centre of Hodges and Lehmann, of enough values."""
    from scipy.stats import t as student

    count = len(series)
    inefficiency, largest = inefficiency_of(series)
    independent = count / inefficiency

    # The number of means of pairs below the centre has the variance n (n + 1) (2n + 1) / 24 when
    # the values know nothing of each other (Wilcoxon 1945).
    values, means = _means_of_pairs(series)
    variance = values * (values + 1) * (2 * values + 1) / 24 * max(inefficiency * values / count, 1)
    away = float(student.ppf(0.5 + confidence / 2, max(independent - 1, 1.0)))
    ranks = away * math.sqrt(variance)
    below = math.floor(len(means) / 2 - ranks)
    if below < 1:
        low, high = -math.inf, math.inf
    else:
        low, high = float(means[below - 1]), float(means[-below])
    first, second = np.array_split(series, 2)
    halves = middle_of_pairs(first), middle_of_pairs(second)
    value = float(np.median(means))
    return Centre(value, low, high, count, independent, count / largest, halves)


def middle_of_pairs(series: Floats) -> float:
    """The median of the means of all pairs of values, each with itself, too."""
    _, means = _means_of_pairs(series)
    return float(np.median(means))


def _means_of_pairs(series: Floats) -> tuple[int, Floats]:
    """In ascending order, and of how many values. Of very many values neighbours are put together
    first: there are as many means of pairs as half of their square."""
    while len(series) > MOST_PAIRED:
        series = series[len(series) % 2 :].reshape(-1, 2).mean(axis=1)
    first, second = np.triu_indices(len(series))
    means = (series[first] + series[second]) / 2
    means.sort()
    return len(series), means


def inefficiency_of(series: Floats) -> tuple[float, float]:
    """How many values are worth one independent one: as estimated, and at most.

    Both are at least 1. A series of equal values has nothing to tell: 1.
    """
    count = len(series)
    above = (series > np.median(series)).astype(np.float64)
    if above.std() == 0:
        return 1.0, 1.0
    summed = _summed(above)
    scores = _normal_scores(series)
    correlation, error = _correlation(scores)
    estimate = max(summed, _of_median(correlation))
    largest = max(estimate, _of_mean(correlation + UPPER_DEVIATIONS * error))

    for together in TOGETHER:
        means = count // together
        if means < FEWEST_MEANS:
            break
        averaged = scores[count - means * together :].reshape(means, together).mean(axis=1)
        # How much more the means vary than if the values knew nothing of each other.
        more = together * float(averaged.var()) / float(scores.var())
        if more == 0:
            continue
        correlation, error = _correlation(averaged)
        estimate = max(estimate, more * _of_mean(correlation))
        largest = max(largest, more * _of_mean(correlation + MEANS_DEVIATIONS * error))
    return estimate, max(estimate, largest)


def _correlation(series: Floats) -> tuple[float, float]:
    """The correlation of neighbours, at least 0, without the bias of a short series; its error."""
    count = len(series)
    neighbours = _neighbours(series)
    corrected = neighbours + (1 + 3 * neighbours) / count
    corrected = min(max(corrected, 0.0), LARGEST_CORRELATION)
    return corrected, math.sqrt((1 - corrected**2) / count)


def _of_mean(correlation: float) -> float:
    """The inefficiency of the mean of an AR(1) process."""
    correlation = min(correlation, LARGEST_CORRELATION)
    return (1 + correlation) / (1 - correlation)


def _of_median(correlation: float) -> float:
    """The inefficiency of the median of a normal AR(1) process."""
    correlations = correlation ** np.arange(1, LONGEST_LAG)
    return 1 + 2 * float((2 / math.pi * np.arcsin(correlations)).sum())


def _summed(series: Floats) -> float:
    """1 + 2 x the autocorrelations, as far as pairs of them are positive and decreasing."""
    count = len(series)
    deviations = series - series.mean()

    # The autocorrelation of all lags at once: the spectrum's square, transformed back. Padded to
    # twice the length, so that the end does not meet the beginning.
    spectrum = np.fft.rfft(deviations, 2 * count)
    products = np.fft.irfft(spectrum * np.conj(spectrum))[:count]
    correlations = products / products[0]

    # Lag 0 is in the first pair, so it is taken off once: (1 + r1) + (r2 + r3) + ...
    total = -1.0
    smallest = math.inf
    for lag in range(0, count - 1, 2):
        pair = float(correlations[lag] + correlations[lag + 1])
        if pair <= 0:
            break
        smallest = min(pair, smallest)
        total += 2 * smallest
    inefficiency = max(total, 1.0)

    # The mean was taken off, and with it a part of the correlations: about inefficiency / count of
    # each lag that was summed up.
    lost = min(2 * inefficiency / count, 0.8)
    if inefficiency > 1:
        inefficiency /= 1 - lost
    return inefficiency


def _normal_scores(series: Floats) -> Floats:
    """The values by their ranks, as a normal distribution has them: outliers count as ranks."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    scores: Floats = ndtri((rankdata(series) - 0.5) / len(series))
    return scores


def _neighbours(series: Floats) -> float:
    """The correlation of each value with the next."""
    deviations = series - series.mean()
    return float((deviations[1:] * deviations[:-1]).sum() / (deviations**2).sum())
