"""Two runs of the same thing: how often does ``compare`` call it faster or slower than itself?

Simulated runs whose times shift as a whole by 1, 2 and 3 % (standard deviation), of fresh launches
and of visits; of visits the canary sees all of the shift, two thirds of it, or nothing. With *0
runs* the shift is assumed, with 6 it is estimated from earlier runs of the baseline, and *not
reckoned with* shows what happens without. Printed are the false alarms (FASTER or SLOWER for the
same thing; wanted: 5 % at most), what a gate of 5 % says of it, and how often a candidate that
really takes 5 or 10 % less is called FASTER. Nothing is measured.

    python -m benchmarks.between_runs [--trials 400] [--fast]
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from benchmarks.dependence import autoregressive
from benchmarks.simulated import MEMORY
from benchmarks.trials import cell_of
from deploybench.analysis.between_runs import NO_OTHERS, OtherRuns
from deploybench.analysis.comparison import Comparison, answer_of, compare_records
from deploybench.analysis.gate import check_rows
from deploybench.analysis.summary import summarise
from deploybench.analysis.verdicts import judge
from deploybench.hardware.host import Host
from deploybench.results.launch import Launch, Probes, Surroundings
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.results.visit import CanaryBest, CanaryReading, Visit

Floats = npt.NDArray[np.float64]
Generator = np.random.Generator

TRUE_NS = 10e6
LAUNCHES = 8
LAUNCH_NOISE = 0.007
SAMPLES = 8
"""Of a launch or a visit: only their median counts here."""
VISITS = 160
VISIT_NOISE = 0.01
MOVING = 0.02
"""How much of its speed a calm machine takes back and gives within a run, beside the shift."""
EARLIER = 6
LIMIT = 0.05
SHIFTS = (0.01, 0.02, 0.03)
SMALLER, LARGER = 1.05, 1.10
"""Speed-ups that a comparison should find."""
BEST = CanaryBest(threads=2, compute_us=4000.0, memory_us=1000.0, runs=8)
HOST = Host(
    hostname="simulated",
    cpu_model="none",
    cpu_vendor="none",
    isa=(),
    physical_cores=2,
    logical_cores=2,
    usable_cores=2,
    memory_bytes=1 << 30,
    virtual_machine=True,
    governor=None,
    os="none",
    kernel="none",
    python="3",
    gpus=(),
    gpu_note=None,
    versions={},
    load_1m=0.0,
)
Simulate = Callable[[Generator, float, str], Record]
"""A run of the cell that shifts by that standard deviation, and its name."""


def launched(generator: Generator, shift: float, run: str) -> Record:
    """Fresh launches, each with its own level around that of the run."""
    level = generator.normal(0, shift)
    launches = []
    for number in range(LAUNCHES):
        time_ns = int(TRUE_NS * math.exp(level + generator.normal(0, LAUNCH_NOISE)))
        launches.append(launch_of(number, time_ns))
    return record_of(launches, run=run)


def visited(unseen_share: float) -> Simulate:
    """Visits while the machine delivers a part of its speed that changes, and less of it in all of
    a run that shifts. Of the shift the canary does not see ``unseen_share``."""

    def simulate(generator: Generator, shift: float, run: str) -> Record:
        whole_run = generator.normal(0, shift)
        unseen = unseen_share * whole_run
        seen = abs(whole_run - unseen)  # a machine never delivers more than its own speed
        moving = np.abs(autoregressive(0.5, MOVING)(generator, VISITS))
        speeds = -moving - seen
        times = unseen - speeds + generator.normal(0, VISIT_NOISE, VISITS)
        return visits_record(times, speeds, run=run)

    return simulate


def visits_record(times: Floats, speeds: Floats, *, run: str, best: CanaryBest = BEST) -> Record:
    """A record of visits to two processes in turn.

    ``times`` are logarithms of the share of 10 ms, ``speeds`` those of the speed that was delivered
    of what ``BEST`` is; the run itself knows ``best``.
    """
    visits = []
    for number, (time, speed) in enumerate(zip(times, speeds, strict=True)):
        time_ns = int(TRUE_NS * math.exp(time))
        reading = CanaryReading(
            compute_us=BEST.compute_us / math.exp(speed),
            memory_us=BEST.memory_us / math.exp(speed),
        )
        visits.append(
            Visit(
                round=number,
                order=0,
                process=number % 2,
                at_s=float(number),
                samples_ns=(time_ns,) * SAMPLES,
                window_ns=time_ns * SAMPLES,
                before=reading,
                after=reading,
            )
        )
    launches = [launch_of(number, int(TRUE_NS)) for number in range(2)]
    return record_of(launches, visits=visits, canary=best, run=run)


def launch_of(number: int, time_ns: int) -> Launch:
    """A calm launch whose samples all take as long."""
    calm = Probes(compute_us=40.0, memory_ms=5.0)
    return Launch(
        round=number,
        seconds=2.0,
        samples_ns=(time_ns,) * SAMPLES,
        memory=MEMORY,
        window_ns=time_ns * SAMPLES,
        surroundings=Surroundings(before=calm, after=calm, foreign_cpu_share=0.0),
    )


def record_of(
    launches: Sequence[Launch],
    *,
    run: str,
    visits: Sequence[Visit] = (),
    canary: CanaryBest | None = None,
) -> Record:
    """The record that a run would write of them."""
    summary = summarise(launches, 1, visits, canary)
    return Record(
        run=run,
        created=run,
        complete=True,
        profile="host",
        cell=cell_of("simulated"),
        parameters=None,
        macs=None,
        artifact_bytes=None,
        peak_gflops=None,
        launches=tuple(launches),
        visits=tuple(visits),
        canary=canary,
        summary=summary,
        judgement=judge(launches, summary, ""),
        host=HOST,
        versions={},
        command="",
    )


@dataclass
class Tally:
    """What many comparisons of two runs came to: of the same thing, of a candidate that takes 5 or
    10 % less, and in a gate. ``judged`` is in how many both runs were VALID: no other has an
    answer."""

    trials: int = 0
    judged: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    found_smaller: int = 0
    found_larger: int = 0
    gates: Counter[str] = field(default_factory=Counter)

    @property
    def false_alarms(self) -> float:
        """Of those that were judged."""
        return (self.answers["FASTER"] + self.answers["SLOWER"]) / max(self.judged, 1)


def tally(
    simulate: Simulate, shift: float, earlier: int, trials: int, *, others: OtherRuns = NO_OTHERS
) -> Tally:
    """Two runs of the same thing, ``trials`` times; ``earlier`` further runs tell the shift."""
    found = Tally()
    for trial in range(trials):
        generator = np.random.default_rng([trial, int(shift * 1e4), earlier])
        runs = [simulate(generator, shift, f"{number}") for number in range(earlier + 2)]
        (row,) = compare_records(runs[:-1], runs[-1:], others=others)
        found.trials += 1
        found.judged += all(
            side is not None and side.verdict is Verdict.VALID
            for side in (row.baseline, row.candidate)
        )
        found.answers[_answer(row, 1.0)] += 1
        found.found_smaller += _answer(row, SMALLER) == "FASTER"
        found.found_larger += _answer(row, LARGER) == "FASTER"
        (check,) = check_rows([row], LIMIT)
        found.gates[check.outcome.value] += 1
    return found


def _answer(row: Comparison, factor: float) -> str:
    """The answer for a candidate that is so many times faster: all of it follows the factor."""
    ratio = row.ratio
    assert ratio is not None  # every simulated run has a number
    faster = replace(
        ratio, value=ratio.value * factor, low=ratio.low * factor, high=ratio.high * factor
    )
    answer = answer_of(replace(row, ratio=faster))
    assert answer is not None
    return answer.value


KINDS: dict[str, Simulate] = {
    "launches": launched,
    "visits, all of it seen": visited(0.0),
    "visits, two thirds seen": visited(1 / 3),
    "visits, nothing seen": visited(1.0),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--fast", action="store_true", help="40 trials")
    options = parser.parse_args()
    trials = 40 if options.fast else options.trials
    print(
        f"{'runs of':24} {'shift':>5} {'from':>18} {'judged':>6} {'alarms':>7} {'SAME':>6} "
        f"{'5 % found':>9} {'10 % found':>10} {'gate: PASS':>10} {'REGRESSION':>10}"
    )
    ways = (
        ("not reckoned with", 0, OtherRuns(given=0.0)),
        ("0 runs: assumed", 0, NO_OTHERS),
        (f"{EARLIER} runs", EARLIER, NO_OTHERS),
    )
    for kind, simulate in KINDS.items():
        for shift in SHIFTS:
            for way, earlier, others in ways:
                found = tally(simulate, shift, earlier, trials, others=others)
                print(
                    f"{kind:24} {shift:5.0%} {way:>18} {found.judged / trials:6.0%} "
                    f"{found.false_alarms:7.1%} {found.answers['SAME'] / trials:6.0%} "
                    f"{found.found_smaller / trials:9.0%} {found.found_larger / trials:10.0%} "
                    f"{found.gates['PASS'] / trials:10.0%} "
                    f"{found.gates['REGRESSION'] / trials:10.1%}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
