"""A/B: a runner that is slower by a known share has to be called SLOWER, within the budget.

Each trial is what ``deploybench run --runner onnxruntime,slowed-onnxruntime --baseline onnxruntime
--budget 20s`` does. Wanted: of 3 % SLOWER in at least 95 % of the trials within 20 s a cell, of 1 %
in 80 % within 60 s (with a --margin below it), FASTER never.

    python -m benchmarks.ab WORKSPACE [--model timm:test_vit] [--trials 20] [--slowdown 0.03]
        [--budget 20] [--margin 0.02]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from benchmarks.slowed_runner import installed
from benchmarks.trials import print_host
from benchmarks.visits import cell_for, measured
from deploybench.analysis.speedups import speedups_of
from deploybench.statistics.ratios import DEFAULT_MARGIN, answer

FEWEST_FOUND = 0.95


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--model", default="timm:test_vit")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--slowdown", type=float, default=0.03)
    parser.add_argument("--margin", type=float, default=DEFAULT_MARGIN)
    parser.add_argument("--precision", type=float, default=0.005)
    parser.add_argument("--budget", type=float, default=20.0, help="seconds a cell")
    parser.add_argument("--found", type=float, default=FEWEST_FOUND, help="share that is wanted")
    options = parser.parse_args()
    print_host()
    answers: Counter[str] = Counter()
    with installed(options.slowdown) as slowed:
        cells = [
            cell_for(options.workspace, options.model, name) for name in ("onnxruntime", slowed)
        ]
        for trial in range(options.trials):
            fast, slow = measured(
                cells,
                budget_s=options.budget,
                half_width=options.precision,
                seed=trial,
                baseline="onnxruntime",
            )
            speedups = speedups_of(fast, slow)
            ratio = speedups[0].ratio if speedups else None
            found = answer(ratio, options.margin).value
            answers[found] += 1
            words = "no pairs"
            if ratio is not None:
                words = f"{1 / ratio.value:.4f} ({1 / ratio.high:.4f}-{1 / ratio.low:.4f})"
            print(
                f"trial {trial + 1:2d} {found:9} slower by {words}, {len(slow.visits)} visits, "
                f"times {fast.judgement.verdict.value} {slow.judgement.verdict.value}",
                flush=True,
            )
    print(
        f"\n{options.model}, {options.slowdown:.0%} slower, {options.budget:g} s a cell: "
        f"{dict(answers)}"
    )
    sys.exit(answers["SLOWER"] < options.found * options.trials or answers["FASTER"] > 0)


if __name__ == "__main__":
    main()
