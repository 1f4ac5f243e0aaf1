"""Visits of simulated cells, under the rule that stops a run: is what is then called VALID true?

Two cells with the same undisturbed time (A/A) are visited in rounds until both their undisturbed
times and their ratio are known and narrow, or until the budget of rounds ends. What counts is given
that it stopped there: how often the interval of a VALID time covers the truth (wanted: 93 to 97 %),
and how often the ratio is called FASTER or SLOWER (wanted: at most 5 %). Nothing is measured.

What a machine does is *seen* where the canary slows with the cells, *unseen* where it does not; an
*own* trouble is one of the baseline alone. The truth of an unseen drift is its middle over the time
that was measured; of unseen states anything from the fastest of them to the median of their
mixture. Cells have three processes that differ as is usual, unless the kind says otherwise, and the
truth is the middle of all that might be started.

    python -m benchmarks.visits_simulated [--trials 200] [--kind NAME] [--fast]
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import median_filter

from benchmarks.dependence import autoregressive
from deploybench.analysis.process_effects import USUAL_SPREAD
from deploybench.analysis.visit_estimates import Estimate, Series, estimate_of
from deploybench.analysis.visit_ratios import (
    ratio_of_medians,
    ratio_of_pairs,
    settled,
)
from deploybench.analysis.visit_verdicts import WIDEST_INTERVAL, judge_visits
from deploybench.analysis.visited import visited_of
from deploybench.results.verdict import Verdict
from deploybench.statistics.adjust import SLOPES_VARY, SpeedNoise
from deploybench.statistics.dependence import centre_of, centre_of_logs
from deploybench.statistics.ratios import Answer, answer

Floats = npt.NDArray[np.float64]
Generator = np.random.Generator

ROUNDS = 400
"""At most: two minutes of a cell."""
FIRST_LOOK, LOOKS_GROW = 20, 1.25
WANTED = WIDEST_INTERVAL
OWN_NOISE = 0.01
CANARY_NOISE = 0.03
"""Of one reading, as on a shared machine; the speed beside a visit is the median of those near."""
ROUNDS_AROUND = 3
READINGS_A_ROUND = 2
"""To either side of a round: two cells are visited, and two readings made, in half a second."""
BETWEEN_TWO_VISITS = 0.02
"""Of one round: how much of what the machine does is not the same for both cells."""


@dataclass(frozen=True)
class Trouble:
    """Logarithms, one entry a round: what is added to the times beside the cells' own noise.

    ``seen`` is the speed that was delivered, at most 0; ``unseen`` slows both cells, ``own`` the
    baseline alone. ``truth`` is the undisturbed time of either, ``slopes`` how the two follow the
    delivered speed.
    """

    seen: Floats
    unseen: Floats
    own: Floats
    truth: tuple[float, float] = (0.0, 0.0)
    processes: int = 3
    process_levels: float = USUAL_SPREAD
    slopes: tuple[float, float] = (-1.0, -1.0)


Draw = Callable[[Generator], Trouble]


def quiet() -> Trouble:
    zeros = np.zeros(ROUNDS)
    return Trouble(zeros, zeros, zeros)


def steps(generator: Generator, levels: tuple[float, ...], stays: tuple[float, ...]) -> Floats:
    """A state for each round; in state i it stays ``stays[i]`` rounds on average."""
    series = np.empty(ROUNDS)
    shares = np.array(stays) / sum(stays)
    state = int(generator.choice(len(levels), p=shares))
    for index in range(ROUNDS):
        if generator.random() < 1 / stays[state]:
            others = [other for other in range(len(levels)) if other != state]
            state = int(generator.choice(others))
        series[index] = levels[state]
    return series


def median_of_mixture(levels: tuple[float, ...], stays: tuple[float, ...]) -> float:
    """Of states with the cells' own noise, by very many of them."""
    generator = np.random.default_rng(0)
    shares = np.array(stays) / sum(stays)
    chosen = generator.choice(levels, size=400_000, p=shares)
    return float(np.median(chosen + generator.normal(0, OWN_NOISE, len(chosen))))


def bursts(generator: Generator) -> Floats:
    """One visit in ten, in fives, is 10 to 40 % slower."""
    slow = np.repeat(generator.random(ROUNDS // 5) < 0.1, 5)
    return slow * generator.uniform(0.1, 0.4, ROUNDS)


TWO, TWO_STAY = (0.0, 0.2), (24.0, 8.0)
THREE, THREE_STAY = (0.0, 0.1, 0.25), (24.0, 8.0, 8.0)


def _ar(correlation: float, deviation: float = 0.02) -> Draw:
    def draw(generator: Generator) -> Trouble:
        series = autoregressive(correlation, deviation)
        return replace(quiet(), unseen=series(generator, ROUNDS), own=series(generator, ROUNDS) / 2)

    return draw


def _drift(seen: bool, rise: float) -> Draw:
    def draw(generator: Generator) -> Trouble:
        line = np.linspace(0, rise, ROUNDS)
        if seen:
            return replace(quiet(), seen=-line)
        return replace(quiet(), unseen=line)

    return draw


def _states(where: str, levels: tuple[float, ...], stays: tuple[float, ...]) -> Draw:
    middle = median_of_mixture(levels, stays)

    def draw(generator: Generator) -> Trouble:
        series = steps(generator, levels, stays)
        if where == "seen":
            return replace(quiet(), seen=-series)
        if where == "unseen":
            return replace(quiet(), unseen=series, truth=(middle, middle))
        return replace(quiet(), own=series, truth=(middle, 0.0))

    return draw


def _bursts(where: str) -> Draw:
    def draw(generator: Generator) -> Trouble:
        series = bursts(generator)
        # One visit in ten is slow: the median of all lies a little above that of the others.
        above = OWN_NOISE * 0.14
        if where == "seen":
            return replace(quiet(), seen=-series)
        if where == "unseen":
            return replace(quiet(), unseen=series, truth=(above, above))
        return replace(quiet(), own=series, truth=(above, 0.0))

    return draw


def contended(generator: Generator) -> Trouble:
    """A shared machine: a third of the time calm, else down to half its speed, for seconds."""
    wave = autoregressive(0.9, 1.0)(generator, ROUNDS)
    return replace(quiet(), seen=-0.25 * np.maximum(wave + 0.4, 0))


def contended_unlike(generator: Generator) -> Trouble:
    """Beside others the baseline is slowed twice as much; undisturbed both take as long."""
    return replace(contended(generator), slopes=(-1.2, -0.6))


def contended_variously(generator: Generator) -> Trouble:
    """Beside each neighbour the cells follow the delivered speed by a slope of its own."""
    trouble = contended(generator)
    stretch = ROUNDS // 8
    slopes = np.repeat(generator.normal(0.0, SLOPES_VARY, 8), stretch)
    return replace(trouble, unseen=slopes * trouble.seen)


def never_calm(generator: Generator) -> Trouble:
    wave = autoregressive(0.9, 0.08)(generator, ROUNDS)
    return replace(quiet(), seen=-np.maximum(0.25 + wave, 0.07))


def _processes(count: int, deviation: float) -> Draw:
    def draw(generator: Generator) -> Trouble:
        return replace(quiet(), processes=count, process_levels=deviation)

    return draw


KINDS: dict[str, Draw] = {
    "independent": lambda generator: quiet(),
    "independent, sd 5 %": _ar(0.0, 0.05),
    "AR(1) 0.3": _ar(0.3),
    "AR(1) 0.6": _ar(0.6),
    "AR(1) 0.9": _ar(0.9),
    "AR(1) 0.97": _ar(0.97),
    "drift 10 %, seen": _drift(seen=True, rise=0.1),
    "drift 10 %, unseen": _drift(seen=False, rise=0.1),
    "two states, seen": _states("seen", TWO, TWO_STAY),
    "two states, unseen": _states("unseen", TWO, TWO_STAY),
    "two states, own": _states("own", TWO, TWO_STAY),
    "three states, seen": _states("seen", THREE, THREE_STAY),
    "three states, unseen": _states("unseen", THREE, THREE_STAY),
    "three states, own": _states("own", THREE, THREE_STAY),
    "bursts, seen": _bursts("seen"),
    "bursts, unseen": _bursts("unseen"),
    "bursts, own": _bursts("own"),
    "contended": contended,
    "contended, unlike": contended_unlike,
    "contended, variously": contended_variously,
    "never calm": never_calm,
    "1 process": _processes(1, USUAL_SPREAD),
    "2 processes": _processes(2, USUAL_SPREAD),
    "4 processes, sd 0": _processes(4, 0.0),
    "4 processes, sd 1 %": _processes(4, 0.01),
    "8 processes, sd 1 %": _processes(8, 0.01),
}


@dataclass
class Result:
    """``valid`` and ``covered`` count cells, of which each trial has two."""

    trials: int = 0
    stopped: int = 0
    valid: int = 0
    covered: int = 0
    alarms: int = 0
    answered: int = 0
    ratios_covered: int = 0
    ratios: int = 0
    rounds: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Pair:
    """Both cells after some rounds; ``truth`` is from where to where the truth of each may lie."""

    cells: tuple[Series, Series]
    truth: tuple[tuple[float, float], tuple[float, float]]

    def upto(self, rounds: int) -> Pair:
        first, second = self.cells
        return Pair((_upto(first, rounds), _upto(second, rounds)), self.truth)


def _upto(series: Series, rounds: int) -> Series:
    assert series.speeds is not None
    return Series(
        series.times[:rounds],
        series.speeds[:rounds],
        series.processes[:rounds],
        series.noise,
    )


def cells_of(trouble: Trouble, generator: Generator) -> Pair:
    """The visits of both cells."""
    made = []
    truths = []
    for index, slope in enumerate(trouble.slopes):
        apart = generator.normal(0, BETWEEN_TWO_VISITS, ROUNDS) * (trouble.seen < -0.02)
        speed = np.minimum(trouble.seen + apart, 0.0)
        readings = speed + generator.normal(0, CANARY_NOISE, (2, ROUNDS))
        at_a_time = 4 * ROUNDS_AROUND + 1
        of_median = CANARY_NOISE * math.sqrt(math.pi / 2)
        noise = SpeedNoise(
            of_median / math.sqrt(at_a_time), of_median / math.sqrt(READINGS_A_ROUND)
        )
        # In order of time: both readings of a round, then those of the next.
        in_order = readings.T.ravel()
        speeds = median_filter(in_order, size=at_a_time, mode="nearest")[::2]
        processes = np.arange(ROUNDS) % trouble.processes
        levels = generator.normal(0, trouble.process_levels, trouble.processes)
        times = slope * speed + trouble.unseen + levels[processes]
        if index == 0:
            times = times + trouble.own
        times = times + generator.normal(0, OWN_NOISE, ROUNDS)
        made.append(Series(times, speeds, processes, noise))
        truths.append((0.0, trouble.truth[index]))
    return Pair((made[0], made[1]), (truths[0], truths[1]))


def trial(kind: str, generator: Generator, result: Result) -> None:
    trouble = KINDS[kind](generator)
    whole = cells_of(trouble, generator)
    rounds = float(FIRST_LOOK)
    while True:
        count = min(int(rounds), ROUNDS)
        pair = whole.upto(count)
        estimates = [estimate_of(series) for series in pair.cells]
        logs = pair.cells[0].times - pair.cells[1].times
        error = math.hypot(*(estimate.process_error for estimate in estimates))
        pairs = centre_of_logs(logs).with_error(error)
        undisturbed = ratio_of_medians(
            estimates[0].centre,
            estimates[1].centre,
            known=estimates[0].known and estimates[1].known,
        )
        paired = ratio_of_pairs(pairs, logs)
        ratio = settled(paired, undisturbed).ratio
        narrow = all(
            estimate.known and math.expm1(estimate.centre.distance) <= WANTED
            for estimate in estimates
        )
        stops = narrow and ratio.coverage > 0 and ratio.half_width <= WANTED
        if stops or count == ROUNDS:
            break
        rounds = rounds * LOOKS_GROW + 1
    result.trials += 1
    result.stopped += stops
    result.rounds.append(count)

    drift = float(np.median(trouble.unseen[:count])) if "drift" in kind else 0.0
    for series, estimate, (least, most) in zip(pair.cells, estimates, pair.truth, strict=True):
        if is_valid(series, estimate):
            result.valid += 1
            centre = estimate.centre
            result.covered += centre.low <= most + drift and least + drift <= centre.high

    of_medians = ratio_of_medians(centre_of(pair.cells[0].times), centre_of(pair.cells[1].times))
    ratio = settled(paired, undisturbed, of_medians).ratio
    answers = answer(ratio)
    result.alarms += answers in (Answer.FASTER, Answer.SLOWER)
    result.answered += answers is not Answer.AMBIGUOUS
    if ratio.coverage:
        result.ratios += 1
        (slow_least, slow_most), (fast_least, fast_most) = pair.truth
        least, most = math.exp(slow_least - fast_most), math.exp(slow_most - fast_least)
        result.ratios_covered += ratio.low <= most and least <= ratio.high


def is_valid(series: Series, estimate: Estimate) -> bool:
    visited = visited_of(len(series.times), series, estimate, centre_of(np.exp(series.times)))
    return judge_visits(visited, estimate.centre).verdict is Verdict.VALID


def simulate(kind: str, trials: int, seed: int) -> Result:
    generator = np.random.default_rng([seed, list(KINDS).index(kind)])
    result = Result()
    for _ in range(trials):
        trial(kind, generator, result)
    return result


def share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "–"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=list(KINDS))
    parser.add_argument("--fast", action="store_true", help="20 trials of each kind")
    options = parser.parse_args()
    trials = 20 if options.fast else options.trials
    head = ("kind", "stopped", "rounds", "VALID", "covered", "answered", "alarms", "ratio covered")
    print(f"{head[0]:22}" + "".join(f"{name:>14}" for name in head[1:]))
    for kind in options.kind or KINDS:
        found = simulate(kind, trials, options.seed)
        columns = (
            share(found.stopped, found.trials),
            f"{np.median(found.rounds):.0f}",
            share(found.valid, 2 * found.trials),
            share(found.covered, found.valid),
            share(found.answered, found.trials),
            share(found.alarms, found.trials),
            share(found.ratios_covered, found.ratios),
        )
        print(f"{kind:22}" + "".join(f"{text:>14}" for text in columns), flush=True)


if __name__ == "__main__":
    main()
