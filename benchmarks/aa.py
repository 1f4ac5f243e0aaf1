"""A/A with real cells: one artifact against itself. FASTER or SLOWER is a false alarm.

Each block is one run with ``--cells`` copies of one cell, each with processes of its own, visited
in turn as ``deploybench run`` does; then every pair of copies is compared. Pairs of one block share
visits, so they are not independent of each other; blocks are. Wanted over at least 200 comparisons:
at most 5 % false alarms, 1 inside 93 to 97 % of the intervals, and half of the intervals narrower
than ±1 % after 20 s a cell.

    python -m benchmarks.aa WORKSPACE [--model timm:test_vit] [--comparisons 200] [--budget 20]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

from benchmarks.trials import print_host
from benchmarks.visits import cell_for, measured, valid_by_state
from deploybench.analysis.speedups import speedups_of
from deploybench.results.record import Record
from deploybench.statistics.ratios import Answer, answer
from deploybench.statistics.samples import CONFIDENCE, median

MOST_FALSE_ALARMS = 0.05


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--model", default="timm:test_vit")
    parser.add_argument("--runner", default="onnxruntime")
    parser.add_argument("--comparisons", type=int, default=200)
    parser.add_argument("--cells", type=int, default=6)
    parser.add_argument("--precision", type=float, default=0.005)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds a cell")
    options = parser.parse_args()
    print_host()
    planned = cell_for(options.workspace, options.model, options.runner)
    answers: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    widths: list[float] = []
    spreads: list[float] = []
    covered = blocks = 0
    while sum(answers.values()) < options.comparisons:
        records = measured(
            [planned] * options.cells,
            budget_s=options.budget,
            half_width=options.precision,
            seed=blocks,
        )
        verdicts.update(record.judgement.verdict.value for record in records)
        spreads += spreads_of(records)
        for first, second in combinations(records, 2):
            speedups = speedups_of(first, second)
            ratio = speedups[0].ratio if speedups else None
            found = answer(ratio)
            answers[found.value] += 1
            if ratio is not None and found in (Answer.FASTER, Answer.SLOWER):
                print(
                    f"block {blocks}: {found.value} {ratio.value:.3f} ({ratio.low:.3f}-"
                    f"{ratio.high:.3f})",
                    flush=True,
                )
            if ratio is not None and ratio.coverage >= CONFIDENCE:
                widths.append(ratio.half_width)
                covered += ratio.low <= 1 <= ratio.high
        blocks += 1
        print(f"{blocks} blocks: {dict(answers)}, times {dict(verdicts)}", flush=True)
    total = sum(answers.values())
    alarms = answers["FASTER"] + answers["SLOWER"]
    print(
        f"\n{options.model} on {options.runner}: {total} comparisons in {blocks} blocks of "
        f"{options.cells} cells, {options.budget:g} s a cell"
    )
    print(f"{dict(answers)}; false alarms {alarms / total:.1%}; times {dict(verdicts)}")
    if spreads:
        print(
            f"VALID undisturbed times of one block and state lie within {median(spreads):.2%} "
            "(median)"
        )
    if widths:
        print(
            f"{len(widths)} with an interval: 1 inside {covered / len(widths):.1%}, median "
            f"half-width {median(widths):.2%}"
        )
    else:
        print("none with a 95 % interval: give it a larger --budget, or a quieter machine")
    sys.exit(alarms / total > MOST_FALSE_ALARMS)


def spreads_of(records: Sequence[Record]) -> list[float]:
    """By how much the largest VALID time of the block is above the least, in each state of the
    machine that had two."""
    times_ms = [[state.p50_ms for state in states] for states in valid_by_state(records)]
    return [max(times) / min(times) - 1 for times in times_ms if len(times) > 1]


if __name__ == "__main__":
    main()
