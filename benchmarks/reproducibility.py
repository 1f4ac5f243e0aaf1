"""Does the same measurement give the same number again? Runs of the same cells, over hours.

Beside some of the runs (``--beside 3``: every third) a process of ours is busy half of the time on
one core; what else works on the machine is as it comes. Wanted over ten runs in at least two hours:
the undisturbed times of a cell lie within 3 % of each other, and nine in ten of their intervals
hold the median of all runs. The times as experienced are whatever they are.

Two tables: the runs as each knew the machine when it ended, and the same visits with what all runs
together know of its own speed. Where the second agrees better, the first runs did not know it. A
row is of a cell in one state of the machine, of the runs that met it often enough. The last column
is of the interval in which another run should land
(``deploybench show RECORD``): how many of all pairs of runs lie so. In the first table the shift of
whole runs is assumed; in the second it comes from all runs but the one that has to be met.

    python -m benchmarks.reproducibility WORKSPACE [--cells resnet50/onnxruntime,vit/openvino]
        [--runs 10] [--minutes 120] [--budget 20] [--keep FOLDER]
    python -m benchmarks.reproducibility --kept FOLDER
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.neighbours import neighbour
from benchmarks.trials import print_host
from benchmarks.visits import cell_for, measured
from deploybench.analysis.another_run import another_run
from deploybench.analysis.visits_between_runs import estimated_with, least_best
from deploybench.results.record import Record, StateSummary
from deploybench.results.store import read_records, write_record
from deploybench.results.verdict import Verdict
from deploybench.statistics.levels import level_of, levels_of, same_state
from deploybench.statistics.samples import median

CELLS = "resnet50/onnxruntime,resnet50/openvino,efficientnet-b0/onnxruntime,vit/openvino"
WIDEST_SPREAD = 0.03


@dataclass(frozen=True)
class Seen:
    """What one run showed of a cell in one state of the machine."""

    record: Record
    state: StateSummary

    @property
    def verdict(self) -> Verdict:
        return self.state.judgement.verdict

    @property
    def stands_for_the_cell(self) -> bool:
        assert self.record.summary is not None
        return same_state(self.state.hop_ns, self.record.summary.states[0].hop_ns)

    def level(self, levels: Sequence[float]) -> float | None:
        return level_of(levels, self.state.hop_ns)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path, nargs="?")
    parser.add_argument("--cells", default=CELLS, help="as MODEL/RUNNER, with commas")
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=120.0, help="from first to last run")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds a cell")
    parser.add_argument("--precision", type=float, default=0.01)
    parser.add_argument("--beside", type=int, default=3, help="0: nothing of ours beside any run")
    parser.add_argument("--keep", type=Path, help="a new folder for the records of each run")
    parser.add_argument("--kept", type=Path, help="measure nothing: the tables of kept records")
    options = parser.parse_args()
    if options.kept is not None:
        _print_tables(_kept(options.kept))
        return
    if options.workspace is None:
        parser.error("a WORKSPACE with the artifacts, or --kept FOLDER")
    if options.keep is not None:
        options.keep.mkdir(parents=True)  # of two calls the runs would have the same names
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
                folder.mkdir(exist_ok=True)
                write_record(record, folder)
            seen[name] += _seen(record)
        words = "  ".join(_words(record) for record in records)
        minutes = (time.monotonic() - began) / 60
        mark = " (busy neighbour)" if beside else ""
        print(f"run {number + 1}, minute {minutes:.0f}{mark}: {words}", flush=True)
    _print_tables(seen)


def _kept(folder: Path) -> dict[str, list[Seen]]:
    """What an earlier call saw, by cell."""
    seen: dict[str, list[Seen]] = {}
    for run in sorted(folder.iterdir()):
        for record in read_records(run):
            name = f"{record.cell.model}/{record.cell.runner}"
            seen[name] = [*seen.get(name, ()), *_seen(record)]
    return seen


def _print_tables(seen: Mapping[str, list[Seen]]) -> None:
    _print_table("as each run knew the machine", seen, together=False)
    known = {name: again(runs) for name, runs in seen.items()}
    _print_table("with what all runs know of it", known, together=True)


def _seen(record: Record) -> list[Seen]:
    """In each state that it met."""
    assert record.summary is not None
    return [Seen(record, state) for state in record.summary.states]


def again(runs: list[Seen]) -> list[Seen]:
    """The same visits, estimated with what the canary took in the fastest of these runs."""
    best = least_best([found.record for found in runs])
    told = []
    for found in runs:
        state = estimated_with(found.record, best, found.state.hop_ns)
        if state is not None:
            told.append(replace(found, state=state))
    return told


def _print_table(title: str, seen: Mapping[str, list[Seen]], *, together: bool) -> None:
    print(f"\n{title}")
    print(
        f"{'cell':40} {'undisturbed max/min':>20} {'VALID':>7} {'met max/min':>12} {'covered':>9} "
        f"{'next run':>9}"
    )
    for name, runs in seen.items():
        levels = levels_of([run.state.hop_ns for run in runs if run.state.hop_ns is not None])
        for level in levels or [None]:
            met = [run for run in runs if level is None or run.level(levels) == level]
            words = name if level is None else f"{name} {level:.0f} ns"
            _report(words, met, together=together)


def _words(record: Record) -> str:
    words = []
    for found in _seen(record):
        assert found.state.visited is not None
        words.append(f"{found.state.p50_ms:.2f} {found.verdict.value}")
        met = found.state.visited.experienced_p50_ms
    return f"{', '.join(words)} ({met:.2f} met)"


def _report(name: str, runs: list[Seen], *, together: bool) -> None:
    """The spreads of a cell over its runs, how many intervals hold the median of all, and how often
    another run lies where a run says."""
    valid = [found for found in runs if found.verdict is Verdict.VALID]
    met = [found.state.visited.experienced_p50_ms for found in runs if found.state.visited]
    spread = "–"
    covered = landed = "–"
    if len(valid) > 1:
        states = [found.state for found in valid]
        times = [state.p50_ms for state in states]
        apart = max(times) / min(times) - 1
        spread = f"{apart:.1%}" + (" !" if apart > WIDEST_SPREAD else "")
        middle = median(times)
        inside = sum(
            (state.p50_low_ms or 0) <= middle <= (state.p50_high_ms or 0) for state in states
        )
        covered = f"{inside}/{len(valid)}"
        landed = _landed(valid, together)
    count = f"{len(valid)}/{len(runs)}"
    print(
        f"{name:40} {spread:>20} {count:>7} {max(met) / min(met) - 1:>12.1%} {covered:>9} "
        f"{landed:>9}"
    )


def _landed(valid: list[Seen], together: bool) -> str:
    """How many pairs of VALID runs there are whose second lies where the first says, of all."""
    held = pairs = 0
    for one in valid:
        for other in valid:
            if other is one:
                continue
            rest = [run.record for run in valid if run is not other] if together else []
            found = another_run(one.record, rest)
            if (
                not one.stands_for_the_cell
                or found is None
                or found.low_ms is None
                or found.high_ms is None
            ):
                continue
            pairs += 1
            held += found.low_ms <= other.state.p50_ms <= found.high_ms
    return f"{held}/{pairs}"


if __name__ == "__main__":
    main()
