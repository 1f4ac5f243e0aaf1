"""Do processes that rest change the time of a neighbour?

Visits of one cell, in phases: with no other process beside it, and with ``--resting`` processes of
other cells that were loaded, proved and rest, as those of a run do. The phases alternate within one
run, two of them make a pair, and every other pair begins with the other one, so that the machine's
own moods meet both alike. Printed are p50 without and with, their ratio with its interval from the
pairs, and the CPU time that the resting processes took meanwhile. Wanted: none of it, and a ratio
within 0.5 % of 1.

    python -m benchmarks.resting WORKSPACE [--cell timm:test_vit/onnxruntime]
        [--others efficientnet-b0/onnxruntime,...] [--resting 3] [--pairs 24] [--visits 12]
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.trials import print_host
from benchmarks.visits import cell_for
from deploybench.measure.job import Job
from deploybench.measure.residence import Residence, VisitTimes
from deploybench.measure.steady import FEWEST_SAMPLES
from deploybench.measure.stopping import ExperimentRule
from deploybench.plan.cells import Planned
from deploybench.plurals import counted
from deploybench.runs.run import job_of
from deploybench.runs.settings import RESIDENT, VISIT_S, RunSettings
from deploybench.statistics.ratios import Ratio, paired_ratio
from deploybench.statistics.samples import CONFIDENCE, median

TOLERANCE = 0.005
"""A resting process may change the p50 of a neighbour by so much."""
MOST_CPU_SHARE = 0.001
"""Of one CPU: the clock of a process's CPU time ticks in steps of 10 ms."""
UNTIMED_VISITS = 2
"""After others were started or ended: the caches are the cell's own again."""
QUIET_S = 0.5
"""After others were started or ended: the system has tidied up."""
SETTLING_S = 0.3
LIMIT_S = 60.0
MEASURED = 0
"""The cell that is visited; the others bear the numbers from 1 on."""


@dataclass(frozen=True)
class Phase:
    """The medians of the visits in ms, and what the processes that rested meanwhile took."""

    medians_ms: tuple[float, ...]
    resting: int = 0
    cpu_s: float = 0.0
    wall_s: float = 0.0

    @property
    def p50_ms(self) -> float:
        """The median of the visits' medians."""
        return median(self.medians_ms)


@dataclass(frozen=True)
class Pair:
    """Two phases, one after the other: without others, and with others that rest."""

    without: Phase
    beside: Phase

    @property
    def ratio(self) -> float:
        """How many times as long a call takes beside others that rest."""
        return self.beside.p50_ms / self.without.p50_ms


def ratio_of(pairs: Sequence[Pair]) -> Ratio:
    """Of p50 beside others to p50 without, from at least one pair."""
    ratio = paired_ratio([pair.ratio for pair in pairs])
    assert ratio is not None  # there is a pair
    return ratio


def cpu_share_of(pairs: Sequence[Pair]) -> float:
    """Of one CPU: what all processes that rested took together."""
    wall_s = sum(pair.beside.wall_s for pair in pairs)
    return sum(pair.beside.cpu_s for pair in pairs) / wall_s


def conclusion_of(ratio: Ratio) -> str:
    """Whether the ratio is within the tolerance, as far as its interval tells."""
    lowest, highest = 1 / (1 + TOLERANCE), 1 + TOLERANCE
    if ratio.coverage < CONFIDENCE:
        return "not known: too few pairs for an interval, more --pairs"
    if lowest <= ratio.low and ratio.high <= highest:
        return "yes"
    if ratio.high < lowest or highest < ratio.low:
        return "no"
    return "not known: the interval is too wide, more --pairs"


def report(title: str, pairs: Sequence[Pair]) -> str:
    """All that the pairs showed."""
    ratio = ratio_of(pairs)
    without_ms = median([pair.without.p50_ms for pair in pairs])
    beside_ms = median([pair.beside.p50_ms for pair in pairs])
    resting = counted(pairs[0].beside.resting, "resting process", "resting processes")
    cpu_s = sum(pair.beside.cpu_s for pair in pairs)
    wall_s = sum(pair.beside.wall_s for pair in pairs)
    visits = counted(len(pairs[0].without.medians_ms), "visit")
    return "\n".join(
        [
            f"{title}: {counted(len(pairs), 'pair')} of phases of {visits} each",
            f"p50 without others {without_ms:.4g} ms, beside {resting} {beside_ms:.4g} ms",
            f"beside them / without: {ratio.value:.4f} ({ratio.low:.4f} to {ratio.high:.4f}, "
            f"{ratio.coverage:.0%})",
            f"within {TOLERANCE:.1%}: {conclusion_of(ratio)}",
            f"CPU time of all that rested: {cpu_s:.2f} s in {wall_s:.0f} s "
            f"({cpu_share_of(pairs):.2%} of one CPU)",
        ]
    )


def settled_job(planned: Planned) -> Job:
    """What a process of a run by visits is asked when it starts."""
    rule = ExperimentRule(half_width=0.01, budget_s=LIMIT_S, min_rounds=6)
    job = job_of(planned, RunSettings(rule, launches=RESIDENT))
    return job.replaced(duration_s=SETTLING_S, min_samples=FEWEST_SAMPLES, probes=False)


def start(residence: Residence, index: int, job: Job) -> None:
    """Start a process; ends the program with its cause where it cannot be visited."""
    launch = residence.start(index, job, 0)
    if residence.processes_of(index) == 0:
        sys.exit(f"{job.artifact} on {job.runner}: {launch.error or launch.refused}")


@contextmanager
def resting(residence: Residence, jobs: Sequence[Job]) -> Iterator[list[psutil.Process]]:
    """Processes of these cells that rest while this lasts."""
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    for index, job in enumerate(jobs, MEASURED + 1):
        start(residence, index, job)
    children = psutil.Process().children(recursive=True)
    try:
        yield [child for child in children if child.pid not in before]
    finally:
        for index in range(MEASURED + 1, MEASURED + 1 + len(jobs)):
            residence.end(index)


def phase(residence: Residence, jobs: Sequence[Job], visits: int) -> Phase:
    """So many visits of the cell while the others rest; none of them for no jobs."""
    with resting(residence, jobs) as others:
        time.sleep(QUIET_S)
        for number in range(UNTIMED_VISITS):
            residence.visit(MEASURED, number, 0)
        cpu_s = cpu_of(others)
        began = time.monotonic()
        medians_ms = []
        while len(medians_ms) < visits:
            visit = residence.visit(MEASURED, len(medians_ms), 0)
            if visit is not None:  # the machine did not sleep meanwhile
                medians_ms.append(visit.median_ns / 1e6)
        wall_s = time.monotonic() - began
        return Phase(tuple(medians_ms), len(jobs), cpu_of(others) - cpu_s, wall_s)


def cpu_of(processes: Sequence[psutil.Process]) -> float:
    """The CPU time that the processes have taken until now, in seconds."""
    total_s = 0.0
    for process in processes:
        times = process.cpu_times()
        total_s += times.user + times.system
    return total_s


def pairs_of(cell: Job, others: Sequence[Job], pairs: int, visits: int) -> list[Pair]:
    """The phases, in turn."""
    found = []
    with Residence(VisitTimes(VISIT_S, LIMIT_S), None) as residence:
        start(residence, MEASURED, cell)
        for number in range(pairs):
            if number % 2 == 0:
                without = phase(residence, (), visits)
                beside = phase(residence, others, visits)
            else:
                beside = phase(residence, others, visits)
                without = phase(residence, (), visits)
            found.append(Pair(without, beside))
            done = counted(number + 1, "pair")
            print(f"{done}: {found[-1].ratio:.4f}", file=sys.stderr, flush=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--cell", default="timm:test_vit/onnxruntime", help="as MODEL/RUNNER")
    parser.add_argument(
        "--others", default="efficientnet-b0/onnxruntime", help="those that rest, with commas"
    )
    parser.add_argument(
        "--resting", type=int, default=3, help="how many rest, of the others in turn"
    )
    parser.add_argument("--pairs", type=int, default=24)
    parser.add_argument("--visits", type=int, default=12, help="of a phase")
    options = parser.parse_args()
    if min(options.resting, options.pairs, options.visits) < 1:
        sys.exit("--resting, --pairs and --visits are whole numbers from 1 on")
    print_host()
    cell = settled_job(cell_for(options.workspace, *options.cell.rsplit("/", 1)))
    names = options.others.split(",")
    others = [settled_job(cell_for(options.workspace, *name.rsplit("/", 1))) for name in names]
    at_rest = [others[number % len(others)] for number in range(options.resting)]
    pairs = pairs_of(cell, at_rest, options.pairs, options.visits)
    print(report(options.cell, pairs))
    sys.exit(conclusion_of(ratio_of(pairs)) == "no" or cpu_share_of(pairs) > MOST_CPU_SHARE)


if __name__ == "__main__":
    main()
