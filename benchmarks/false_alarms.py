"""A/A: how often is the same thing called faster or slower than itself, and does the 95 % interval
hold?

Simulated machines (stable, drifting, two states between launches that the hop probe sees or does
not, bursts) run the whole engine: random order, the stopping rule, the pairing by round, the
states, the answer. Printed for each: the answers, the share of false alarms (FASTER or SLOWER;
wanted: 5 % at most), the share of intervals that hold the truth (wanted: 93 to 97 %), and the
rounds. ``--factor 1.03`` does the same for a candidate that is 3 % slower.

    python -m benchmarks.false_alarms [--trials 10000] [--factor 1.0]
"""

from __future__ import annotations

import argparse
from collections import Counter
from dataclasses import dataclass

import numpy as np

from benchmarks.simulated import KINDS, Machine, compare
from deploybench.analysis.speedups import paired_speedups
from deploybench.measure.stopping import ExperimentRule
from deploybench.statistics.ratios import answer
from deploybench.statistics.samples import CONFIDENCE, FEWEST_FOR_INTERVAL

RULE = ExperimentRule(half_width=0.01, budget_s=60.0, min_rounds=FEWEST_FOR_INTERVAL)


@dataclass(frozen=True)
class Tally:
    """What many comparisons on machines of one kind came to."""

    answers: Counter[str]
    covered: int
    with_interval: int
    rounds: int

    @property
    def trials(self) -> int:
        return sum(self.answers.values())

    @property
    def coverage(self) -> float:
        return self.covered / self.with_interval


def tally(kind: str, trials: int, factor: float = 1.0, seed: int = 0) -> Tally:
    """``trials`` comparisons of a candidate that takes ``factor`` times as long as the baseline."""
    answers: Counter[str] = Counter()
    covered = with_interval = rounds = 0
    for trial in range(trials):
        generator = np.random.default_rng([seed, trial, KINDS.index(kind)])
        baseline, candidate = compare(Machine(generator, kind), factor, RULE, trial)
        rounds += len(candidate)
        found = paired_speedups(baseline, candidate)
        ratio = found[0].ratio if found else None
        answers[answer(ratio).value] += 1
        if ratio is not None and ratio.coverage >= CONFIDENCE:
            with_interval += 1
            covered += ratio.low <= 1 / factor <= ratio.high
    return Tally(answers, covered, with_interval, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--trials", type=int, default=10_000, help="in all, divided among the kinds of machine"
    )
    parser.add_argument("--factor", type=float, default=1.0)
    options = parser.parse_args()
    names = ["FASTER", "SLOWER", "SAME", "AMBIGUOUS"]
    print(
        f"{'machine':28} {'trials':>7} "
        + " ".join(f"{name:>9}" for name in names)
        + "  covers  rounds"
    )
    total: Counter[str] = Counter()
    covered = with_interval = 0
    for kind in KINDS:
        found = tally(kind, options.trials // len(KINDS), options.factor)
        total += found.answers
        covered, with_interval = covered + found.covered, with_interval + found.with_interval
        shares = " ".join(f"{found.answers[name] / found.trials:9.2%}" for name in names)
        rounds = found.rounds / found.trials
        print(
            f"{kind:28} {found.trials:7d} {shares}  {found.coverage:.1%}  {rounds:.1f}", flush=True
        )
    shares = " ".join(f"{total[name] / sum(total.values()):9.2%}" for name in names)
    print(f"{'all':28} {sum(total.values()):7d} {shares}  {covered / with_interval:.1%}")


if __name__ == "__main__":
    main()
