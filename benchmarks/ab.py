"""A/B: a runner that is slower by a known 3 % has to be called SLOWER, within the budget of a cell.

Each trial is what ``deploybench run --runner onnxruntime,slowed-onnxruntime --baseline onnxruntime
--budget 60s`` does. Wanted: SLOWER in at least 90 % of the trials on a quiet machine, FASTER never.

    python -m benchmarks.ab WORKSPACE [--model timm:test_vit] [--trials 20] [--slowdown 0.03]
        [--budget 60]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from benchmarks.slowed_runner import installed
from benchmarks.trials import artifact_for, experiment, job_for, print_host
from deploybench.analysis.speedups import paired_speedups
from deploybench.measure.stopping import ExperimentRule
from deploybench.statistics.ratios import answer
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL

FEWEST_FOUND = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--model", default="timm:test_vit")
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--slowdown", type=float, default=0.03)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a cell")
    parser.add_argument("--duration", type=float, default=0.3, help="seconds of samples a launch")
    options = parser.parse_args()
    print_host()
    artifact = artifact_for(options.workspace, options.model, "onnxruntime")
    rule = ExperimentRule(half_width=0.01, budget_s=options.budget, min_rounds=FEWEST_FOR_INTERVAL)
    answers: Counter[str] = Counter()
    with installed(options.slowdown) as slowed:
        names = ["onnxruntime", slowed]
        jobs = [job_for(artifact, name, options.duration) for name in names]
        for trial in range(options.trials):
            fast, slow = experiment(jobs, names, rule, trial, baseline="onnxruntime").launches
            speedups = paired_speedups(fast, slow)
            found = answer(speedups[0].ratio if speedups else None).value
            answers[found] += 1
            seconds = sum(launch.seconds for launch in slow)
            ratios = ", ".join(
                f"{1 / ratio.value:.3f} ({1 / ratio.high:.3f}-{1 / ratio.low:.3f}, {ratio.count} "
                f"rounds)"
                for ratio in (speedup.ratio for speedup in speedups)
            )
            print(
                f"trial {trial + 1:2d} {found:9} {seconds:4.0f} s a cell; slower by {ratios}",
                flush=True,
            )
    print(
        f"\n{options.model}, {options.slowdown:.0%} slower, {options.budget:g} s a cell: "
        f"{dict(answers)}"
    )
    sys.exit(answers["SLOWER"] < FEWEST_FOUND * options.trials or answers["FASTER"] > 0)


if __name__ == "__main__":
    main()
