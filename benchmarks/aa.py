"""A/A with real launches: the same artifact against itself. FASTER or SLOWER is a false alarm.

Each block is one run with ``--cells`` copies of one cell, the first of them the baseline, under the
rule of ``deploybench run --baseline``; then every pair of copies is compared. Pairs of one block
share launches, so they are not independent of each other; blocks are. Wanted: at most 5 % false
alarms, and 1 inside 93 to 97 % of the intervals.

    python -m benchmarks.aa WORKSPACE [--model timm:test_vit] [--comparisons 200] [--budget 15]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from itertools import combinations
from pathlib import Path

from benchmarks.trials import artifact_for, experiment, job_for, print_host
from deploybench.analysis.speedups import paired_speedups
from deploybench.measure.stopping import ExperimentRule
from deploybench.statistics.ratios import Answer, answer
from deploybench.statistics.samples import CONFIDENCE, FEWEST_FOR_INTERVAL, median

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
    parser.add_argument("--precision", type=float, default=0.015)
    parser.add_argument("--budget", type=float, default=15.0, help="seconds a cell")
    parser.add_argument("--duration", type=float, default=0.15, help="seconds of samples a launch")
    options = parser.parse_args()
    print_host()
    job = job_for(
        artifact_for(options.workspace, options.model, options.runner),
        options.runner,
        options.duration,
    )
    names = [f"copy {number}" for number in range(options.cells)]
    rule = ExperimentRule(
        half_width=options.precision, budget_s=options.budget, min_rounds=FEWEST_FOR_INTERVAL
    )
    answers: Counter[str] = Counter()
    widths: list[float] = []
    covered = blocks = rounds = 0
    while sum(answers.values()) < options.comparisons:
        launches = experiment(
            [job] * options.cells, names, rule, seed=blocks, baseline=names[0]
        ).launches
        rounds += max(len(copies) for copies in launches)
        for first, second in combinations(launches, 2):
            speedups = paired_speedups(first, second)
            ratio = speedups[0].ratio if speedups else None
            found = answer(ratio)
            answers[found.value] += 1
            if ratio is not None and found in (Answer.FASTER, Answer.SLOWER):
                print(
                    f"block {blocks}: {found.value} {ratio.value:.3f} "
                    f"({ratio.low:.3f}-{ratio.high:.3f})",
                    flush=True,
                )
            if ratio is not None and ratio.coverage >= CONFIDENCE:
                widths.append(ratio.half_width)
                covered += ratio.low <= 1 <= ratio.high
        blocks += 1
        if blocks % 5 == 0:
            print(f"{blocks} blocks: {dict(answers)}", flush=True)
    total = sum(answers.values())
    alarms = answers["FASTER"] + answers["SLOWER"]
    print(
        f"\n{options.model} on {options.runner}: {total} comparisons in {blocks} blocks of "
        f"{rounds / blocks:.1f} rounds"
    )
    print(f"{dict(answers)}; false alarms {alarms / total:.1%}")
    print(
        f"{len(widths)} with an interval: 1 inside {covered / len(widths):.1%}, median half-width "
        f"{median(widths):.2%}"
        if widths
        else "none with a 95 % interval: give it a larger --budget, or a quieter machine"
    )
    sys.exit(alarms / total > MOST_FALSE_ALARMS)


if __name__ == "__main__":
    main()
