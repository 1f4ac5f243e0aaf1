"""Does the same measurement give the same number again? Runs of the same cells, over hours.

Beside some of the runs (``--beside 3``: every third) a process of ours is busy half of the time on
one core; what else works on the machine is as it comes. Wanted over ten runs in at least two hours:
the undisturbed times of a cell lie within 3 % of each other, and nine in ten of their intervals
hold the median of all runs. The times as experienced are whatever they are.

Two tables: the runs as each knew the machine when it ended, and the same visits with what all runs
together know of its own speed. Where the second agrees better, the first runs had not seen the
machine at its best. The last column is of the interval over runs, which knows that whole runs
shift: assumed in the first table, from all runs in the second.

    python -m benchmarks.reproducibility WORKSPACE [--cells resnet50/onnxruntime,vit/openvino]
        [--runs 10] [--minutes 120] [--budget 20] [--keep FOLDER]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.neighbours import neighbour
from benchmarks.trials import print_host
from benchmarks.visits import cell_for, measured
from deploybench.analysis.over_runs import OverRuns, over_runs
from deploybench.analysis.visits_between_runs import estimated_with, lesser_best
from deploybench.results.record import Record, StateSummary
from deploybench.results.store import write_record
from deploybench.results.verdict import Verdict
from deploybench.statistics.samples import median

CELLS = "resnet50/onnxruntime,resnet50/openvino,efficientnet-b0/onnxruntime,vit/openvino"
WIDEST_SPREAD = 0.03


@dataclass(frozen=True)
class Seen:
    """What one run showed of a cell."""

    record: Record
    state: StateSummary
    verdict: Verdict
    beside: bool
    over: OverRuns | None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--cells", default=CELLS, help="as MODEL/RUNNER, with commas")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=120.0, help="from first to last run")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds a cell")
    parser.add_argument("--precision", type=float, default=0.01)
    parser.add_argument("--beside", type=int, default=3, help="0: nothing of ours beside any run")
    parser.add_argument("--keep", type=Path, help="write the records of each run in here")
    options = parser.parse_args()
    print_host()
    names = options.cells.split(",")
    planned = [cell_for(options.workspace, *name.rsplit("/", 1)) for name in names]
    seen: dict[str, list[Seen]] = {name: [] for name in names}
    began = time.monotonic()
    for number in range(options.runs):
        if number:
            due = began + 60 * options.minutes * number / (options.runs - 1)
            time.sleep(max(due - time.monotonic(), 0.0))
        beside = options.beside > 0 and number % options.beside == options.beside - 1
        with neighbour("half") if beside else nullcontext():
            records = measured(
                planned, budget_s=options.budget, half_width=options.precision, seed=number
            )
        for name, trial in zip(names, records, strict=True):
            # A run's name of its own: by it runs of the same cell are told apart.
            record = trial.replaced(run=f"{number + 1:02}")
            if options.keep is not None:
                folder = options.keep / record.run
                folder.mkdir(parents=True, exist_ok=True)
                write_record(record, folder)
            seen[name].append(_seen(record, beside))
        words = "  ".join(_words(seen[name][-1]) for name in names)
        minutes = (time.monotonic() - began) / 60
        mark = " (busy neighbour)" if beside else ""
        print(f"run {number + 1}, minute {minutes:.0f}{mark}: {words}", flush=True)
    _print_table("as each run knew the machine", seen)
    _print_table(
        "with what all runs know of it", {name: again(runs) for name, runs in seen.items()}
    )


def _seen(record: Record, beside: bool) -> Seen:
    assert record.summary is not None
    over = over_runs(record, ())
    return Seen(record, record.summary.states[0], record.judgement.verdict, beside, over)


def again(runs: list[Seen]) -> list[Seen]:
    """The same visits, estimated with the best that the canary took in any of these runs."""
    best = None
    for found in runs:
        own = found.record.canary
        best = own if best is None or own is None else lesser_best(best, own)
    told = []
    for found in runs:
        state = estimated_with(found.record, best)
        over = over_runs(found.record, [run.record for run in runs])
        told.append(replace(found, state=state, verdict=state.judgement.verdict, over=over))
    return told


def _print_table(title: str, seen: Mapping[str, list[Seen]]) -> None:
    print(f"\n{title}")
    print(
        f"{'cell':32} {'undisturbed max/min':>20} {'VALID':>7} {'met max/min':>12} {'covered':>9} "
        f"{'over runs':>10}"
    )
    for name, runs in seen.items():
        _report(name, runs)


def _words(found: Seen) -> str:
    assert found.state.visited is not None
    met = found.state.visited.experienced_p50_ms
    return f"{found.state.p50_ms:.2f} ({met:.2f} met) {found.verdict.value}"


def _report(name: str, runs: list[Seen]) -> None:
    """The spreads of a cell over its runs, and how many intervals hold the median of all."""
    valid = [found.state for found in runs if found.verdict is Verdict.VALID]
    met = [found.state.visited.experienced_p50_ms for found in runs if found.state.visited]
    spread = "–"
    covered = over = "–"
    if len(valid) > 1:
        times = [state.p50_ms for state in valid]
        apart = max(times) / min(times) - 1
        spread = f"{apart:.1%}" + (" !" if apart > WIDEST_SPREAD else "")
        middle = median(times)
        inside = sum(
            (state.p50_low_ms or 0) <= middle <= (state.p50_high_ms or 0) for state in valid
        )
        covered = f"{inside}/{len(valid)}"
        known = [found.over for found in runs if found.over is not None]
        inside = sum(found.low_ms <= middle <= found.high_ms for found in known)
        over = f"{inside}/{len(known)}"
    count = f"{len(valid)}/{len(runs)}"
    print(
        f"{name:32} {spread:>20} {count:>7} {max(met) / min(met) - 1:>12.1%} {covered:>9} "
        f"{over:>10}"
    )


if __name__ == "__main__":
    main()
