"""How often ``results history`` cries wolf, and which steps it finds: made-up series of p50.

    python -m benchmarks.history_changes [--series 1000] [--seed 1]

A series is what one cell shows over as many runs: log p50 = level + shift of the run, where every
run shifts by itself (deviation 1, 2 and 3 %), as a mixture with a few wild runs (2 in 100 are 15 %
slower), or with shifts that stay (an autoregression: not what the method assumes). Reported are

- false alarms: the share of series without a change in which one is found, when one looks once, at
  the end, and when one looks after every run;
- power: the share of series with a step half way in which a change is found within three records of
  it, the mean distance, and how many further changes are found;
- the interval of the step's size, and the window of its place: how often they hold the true one.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from deploybench.archive.history import step_of
from deploybench.statistics.changes import FEWEST, changes_of

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Floats]
NEAR = 3


def independent(deviation: float) -> Draw:
    return lambda draw, count: draw.normal(0, deviation, count)


def with_wild_runs(deviation: float) -> Draw:
    def made(draw: np.random.Generator, count: int) -> Floats:
        wild = draw.random(count) < 0.02
        return draw.normal(0, deviation, count) + np.where(wild, math.log(1.15), 0.0)

    return made


def staying(deviation: float, stays: float) -> Draw:
    """An autoregression of that deviation: ``stays`` is the correlation of one run to the next."""

    def made(draw: np.random.Generator, count: int) -> Floats:
        shifts = np.empty(count)
        shifts[0] = draw.normal(0, deviation)
        fresh = deviation * math.sqrt(1 - stays**2)
        for number in range(1, count):
            shifts[number] = stays * shifts[number - 1] + draw.normal(0, fresh)
        return shifts

    return made


STATIONARY: tuple[tuple[str, Draw], ...] = (
    ("run shift 1 %", independent(0.01)),
    ("run shift 2 %", independent(0.02)),
    ("run shift 3 %", independent(0.03)),
    ("2 %, wild runs", with_wild_runs(0.02)),
    ("2 %, staying (0.3)", staying(0.02, 0.3)),
    ("2 %, staying (0.6)", staying(0.02, 0.6)),
)


def false_alarms(shift: Draw, count: int, series: int, seed: int) -> float:
    """The share of series of that many runs in which a change is found at the end."""
    draw = np.random.default_rng(seed)
    return sum(bool(changes_of(shift(draw, count).tolist())) for _ in range(series)) / series


def looked_at_always(shift: Draw, count: int, series: int, seed: int) -> float:
    """The share of series in which a change is ever found, looking after each run from the tenth
    to the last."""
    draw = np.random.default_rng(seed)
    alarms = 0
    for _ in range(series):
        values = shift(draw, count).tolist()
        alarms += any(changes_of(values[:upto]) for upto in range(FEWEST, count + 1))
    return alarms / series


def power(
    shift: Draw, count: int, step: float, series: int, seed: int, after: int | None = None
) -> tuple[float, float, float, float, float]:
    """Found within three records, mean distance, further changes, intervals that hold the step,
    windows that hold the place."""
    draw = np.random.default_rng(seed)
    begin = count // 2 if after is None else count - after
    found, distances, further, held, placed = 0, [], 0, 0, 0
    for _ in range(series):
        values = shift(draw, count)
        values[begin:] += math.log1p(step)
        changes = changes_of(values.tolist())
        near = [change for change in changes if abs(change.index - begin) <= NEAR]
        further += len(changes) - bool(near)
        if near:
            found += 1
            distances.append(abs(near[0].index - begin))
            placed += near[0].earliest <= begin <= near[0].latest
            size = step_of(np.exp(values).tolist(), near[0].index, 0, count)
            held += size is not None and size.low <= 1 + step <= size.high
    mean = sum(distances) / len(distances) if distances else math.nan
    most = max(found, 1)
    return found / series, mean, further / series, held / most, placed / most


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args(arguments)
    started = time.perf_counter()
    series, seed = asked.series, asked.seed
    print(f"{series} series each, seed {seed}")
    print(f"\n{'without a change':20} {'12 runs':>8} {'30 runs':>8} {'100 runs':>8}")
    for name, shift in STATIONARY:
        shares = [false_alarms(shift, count, series, seed) for count in (12, 30, 100)]
        print(f"{name:20} " + " ".join(f"{share:8.1%}" for share in shares))
    fewer = max(series // 4, 20)
    print(f"\nlooked at after every run, {FEWEST}th to 40th ({fewer} series)")
    for name, shift in STATIONARY[:3]:
        print(f"{name:20} {looked_at_always(shift, 40, fewer, seed):8.1%}")
    titles = (
        f"{'found':>7} {'off by':>7} {'further':>8} {'interval holds':>15} {'window holds':>13}"
    )
    print(f"\n{'with a step half way':34} {titles}")
    for step in (0.05, 0.10):
        for name, shift in STATIONARY[:4]:
            for count in (20, 40):
                row = power(shift, count, step, series, seed)
                title = f"{step:.0%}, {name}, {count} runs"
                start = f"{title:34} {row[0]:7.1%} {row[1]:7.2f}"
                print(f"{start} {row[2]:8.3f} {row[3]:15.1%} {row[4]:13.1%}")
    print(f"\n{'a step 3 or 5 runs ago, of 40':34} {'found':>7}")
    for step in (0.05, 0.10):
        for name, shift in STATIONARY[:3]:
            shares = [power(shift, 40, step, series, seed, after)[0] for after in (3, 5)]
            print(f"{step:.0%}, {name:28} " + " ".join(f"{share:7.1%}" for share in shares))
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
