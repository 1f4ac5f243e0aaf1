"""What does an answer cost? Seconds a cell until its time and its speed-up are known to 1 %.

One run by visits of every model on every runner, as ``deploybench run --baseline pytorch`` does;
after every few rounds of its record the estimate is made again from the visits until then. The
seconds of a cell are the share of the run's wall time that went to it: its starts, its visits and
the canary beside them. Wanted: a median of 30 s at most.

    python -m benchmarks.time_to_answer WORKSPACE [--models resnet50,vit,efficientnet-b0]
        [--runners pytorch,onnxruntime,openvino,torchscript] [--budget 60]
    python -m benchmarks.time_to_answer --kept RUN     # of a run that is there: a demo's records
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from benchmarks.trials import print_host
from benchmarks.visits import cell_for, measured
from deploybench.analysis.visit_progress import widths
from deploybench.results.record import Record
from deploybench.results.store import read_records
from deploybench.statistics.samples import median

STEP = 5
"""Rounds between two looks."""
BETWEEN_VISITS_S = 0.03
"""The canary, and waking and stopping two processes."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--kept", type=Path, help="measure nothing: the records of a run")
    parser.add_argument("--models", default="resnet50,vit,efficientnet-b0")
    parser.add_argument("--runners", default="pytorch,onnxruntime,openvino,torchscript")
    parser.add_argument("--precision", type=float, default=0.01)
    parser.add_argument("--budget", type=float, default=60.0, help="seconds a cell")
    options = parser.parse_args()
    if options.kept is None and options.workspace is None:
        parser.error("a WORKSPACE with the artifacts, or --kept RUN")
    print_host()
    runners = options.runners.split(",")
    answered: list[float] = []
    cells = 0
    heads = f"{'time known':>11} {'speed-up known':>15}"
    print(f"{'cell':40} {'p50 ms':>8} {'±':>6} {'verdict':9} {heads}")
    for records in _kept(options.kept, runners[0]) if options.kept else _measured(options):
        for record in records:
            cells += 1
            time_s, ratio_s = seconds_to(record, records[0], options.precision)
            assert record.summary is not None
            state = record.summary.states[0]
            width = (state.p50_high_ms or float("inf")) / state.p50_ms - 1
            shown = [_seconds(time_s), "–" if record is records[0] else _seconds(ratio_s)]
            name = f"{record.cell.model} {record.cell.runner}"
            print(
                f"{name:40} {state.p50_ms:8.2f} {width:6.1%} "
                f"{record.judgement.verdict.value:9} {shown[0]:>11} {shown[1]:>15}",
                flush=True,
            )
            needed = time_s if record is records[0] else _both(time_s, ratio_s)
            if needed is not None:
                answered.append(needed)
    budget = "the run's time" if options.kept else f"{options.budget:g} s"
    print(f"\n{len(answered)} of {cells} cells known to {options.precision:.0%} within {budget}")
    if answered:
        print(f"median of those: {median(answered):.0f} s a cell")


def _measured(options: argparse.Namespace) -> Iterator[list[Record]]:
    """The records of each model, the baseline's first."""
    runners = options.runners.split(",")
    for model in options.models.split(","):
        yield measured(
            [cell_for(options.workspace, model, runner) for runner in runners],
            budget_s=options.budget,
            half_width=options.precision / 10,  # so that nothing ends before its time
            baseline=runners[0],
        )


def _kept(run: Path, baseline: str) -> Iterator[list[Record]]:
    by_model: dict[str, list[Record]] = {}
    for record in read_records(run):
        by_model.setdefault(record.cell.model, []).append(record)
    for records in by_model.values():
        yield sorted(records, key=lambda record: record.cell.runner != baseline)


def seconds_to(
    record: Record, baseline: Record, precision: float
) -> tuple[float | None, float | None]:
    """How long until the time, and until the speed-up, was first known as narrowly as that."""
    started_s = sum(launch.seconds for launch in record.launches)
    time_s = ratio_s = None
    for count in range(STEP, len(record.visits) + 1, STEP):
        seen = record.visits[:count]
        until_s = started_s + sum(visit.window_ns / 1e9 + BETWEEN_VISITS_S for visit in seen)
        if time_s is None and widths(seen, record.canary).narrow(precision):
            time_s = until_s
        if ratio_s is None and record is not baseline:
            beside = [visit for visit in baseline.visits if visit.round <= seen[-1].round]
            width = widths(seen, record.canary, beside).speedup_half_width
            if width is not None and width <= precision:
                ratio_s = until_s
    return time_s, ratio_s


def _both(*times: float | None) -> float | None:
    known = [time for time in times if time is not None]
    return max(known) if len(known) == len(times) else None


def _seconds(value: float | None) -> str:
    return "not" if value is None else f"{value:.0f} s"


if __name__ == "__main__":
    main()
