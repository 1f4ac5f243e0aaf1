"""How often the interval of a median covers the truth when the values depend on each other.

Series are looked at again and again, as a run does, until the interval is narrow and can be trusted
(``Centre.known``); what counts is the coverage given that it stopped there. Simulated only: nothing
is measured.

    python -m benchmarks.dependence [--trials 1000]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.statistics.dependence import centre_of

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]

LONGEST = 400
"""Visits of a cell in a long run."""
FIRST_LOOK, LOOKS_GROW = 20, 1.25
WANTED = 0.015
"""Half-width of the logarithm at which a series is called known."""


@dataclass(frozen=True)
class Result:
    stopped: float
    covered: float | None
    visits: float | None


def autoregressive(correlation: float, deviation: float) -> Draw:
    """An AR(1) process around 0."""

    def draw(generator: np.random.Generator, count: int) -> Floats:
        from scipy.signal import lfilter

        settled = 300
        noise = generator.normal(size=count + settled) * math.sqrt(1 - correlation**2)
        series: Floats = deviation * lfilter([1], [1, -correlation], noise)[settled:]
        return series

    return draw


def bursts(generator: np.random.Generator, count: int) -> Floats:
    """One visit in ten is up to 50 % slower, in bursts of five."""
    slow = np.repeat(generator.random(count // 5 + 1) < 0.1, 5)[:count]
    return generator.normal(0, 0.01, count) + slow * generator.uniform(0.1, 0.4, count)


def two_states(generator: np.random.Generator, count: int) -> Floats:
    """Three visits in four at 0, the others 20 % slower; a state lasts about eight visits."""
    state = 0
    series = np.empty(count)
    for index in range(count):
        leaves = 1 / 24 if state == 0 else 1 / 8
        if generator.random() < leaves:
            state = 1 - state
        series[index] = 0.2 * state
    # The median of the mixture lies in the lower state, a little above its own middle.
    median_of_mixture = 0.01 * 0.43
    return series + generator.normal(0, 0.01, count) - median_of_mixture


KINDS: dict[str, Draw] = {
    **{
        f"AR(1) {correlation:g}, sd {deviation:.0%}": autoregressive(correlation, deviation)
        for deviation in (0.01, 0.03)
        for correlation in (0.0, 0.3, 0.6, 0.9, 0.97)
    },
    "bursts": bursts,
    "two states": two_states,
}


def look(draw: Draw, generator: np.random.Generator, trials: int, wanted: float) -> Result:
    """How often such series become known, and how often the interval then covers the truth, 0."""
    visits: list[int] = []
    covered = 0
    for _ in range(trials):
        series = draw(generator, LONGEST)
        count = float(FIRST_LOOK)
        while count <= LONGEST:
            centre = centre_of(series[: int(count)])
            if centre.known and centre.distance <= wanted:
                visits.append(int(count))
                covered += centre.low <= 0 <= centre.high
                break
            count = count * LOOKS_GROW + 1
    if not visits:
        return Result(0.0, None, None)
    return Result(len(visits) / trials, covered / len(visits), float(np.median(visits)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    generator = np.random.default_rng(options.seed)
    print(f"{'kind':24} {'known':>6} {'covered':>8} {'visits':>7}")
    for name, draw in KINDS.items():
        result = look(draw, generator, options.trials, WANTED)
        covered = "–" if result.covered is None else f"{result.covered:.1%}"
        visits = "–" if result.visits is None else f"{result.visits:.0f}"
        print(f"{name:24} {result.stopped:6.0%} {covered:>8} {visits:>7}", flush=True)


if __name__ == "__main__":
    main()
