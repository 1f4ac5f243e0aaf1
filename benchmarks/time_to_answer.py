"""What does an answer cost? Seconds a cell until its estimate is known to 1 %.

The cells are launched in rounds as in ``deploybench run --precision-target 1% --budget 120s``. The
seconds are the wall time of a cell's launches, start-up and probes included.

    python -m benchmarks.time_to_answer WORKSPACE [--models resnet50,vit]
        [--runners onnxruntime,openvino]
"""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks.trials import artifact_for, experiment, job_for, print_host
from deploybench.analysis.summary import summarise
from deploybench.measure.stopping import ExperimentRule
from deploybench.runs.experiment import state_widths
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--models", default="resnet50,vit")
    parser.add_argument("--runners", default="onnxruntime,openvino")
    parser.add_argument("--precision", type=float, default=0.01)
    parser.add_argument("--budget", type=float, default=120.0, help="seconds a cell")
    options = parser.parse_args()
    print_host()
    pairs = [
        (model, runner)
        for model in options.models.split(",")
        for runner in options.runners.split(",")
    ]
    jobs = [
        job_for(artifact_for(options.workspace, model, runner), runner, 1.0)
        for model, runner in pairs
    ]
    rule = ExperimentRule(
        half_width=options.precision, budget_s=options.budget, min_rounds=FEWEST_FOR_INTERVAL
    )
    trial = experiment(jobs, [f"{model} {runner}" for model, runner in pairs], rule, seed=0)
    print(f"{'cell':24} {'s':>5} {'rounds':>6}  ended by      estimates, ms (hop ns: half-width)")
    for index, (model, runner) in enumerate(pairs):
        launches, stopped = trial.launches[index], trial.stopped(index)
        summary = summarise(launches, 1)
        widths = ", ".join(
            "?" if width is None else f"{width:.1%}" for width in state_widths(launches)
        )
        seen = summary.states if summary else ()
        states = ", ".join(f"{state.p50_ms:.2f} ({state.hop_ns or 0:.0f})" for state in seen)
        seconds = sum(launch.seconds for launch in launches)
        ending = stopped.ending.value if stopped else "-"
        print(
            f"{model + ' ' + runner:24} {seconds:5.0f} {len(launches):6d}  {ending:13} {states}: "
            f"{widths}"
        )


if __name__ == "__main__":
    main()
