"""A neighbour at half of one core: is any estimate silently wrong?

Trials of one cell with a foreign process that is busy half of the time on one core, through the
whole trial or from half of its rounds on; between them quiet trials, which give the truth for each
state of the machine. A trial is silently wrong when a VALID estimate is more than 3 % from the
quiet one of the same state. Wanted: none of 50.

    python -m benchmarks.neighbour WORKSPACE [--model timm:test_vit] [--trials 50] [--rounds 12]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.trials import artifact_for, experiment, job_for, print_host
from deploybench.analysis.states import SAME_STATE, states_of
from deploybench.analysis.summary import summarise
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_job
from deploybench.measure.stopping import ExperimentRule
from deploybench.results.launch import Launch
from deploybench.results.record import StateSummary
from deploybench.statistics.samples import median

TOLERANCE = 0.03
KINDS: dict[str, Callable[[int], int]] = {
    "throughout": lambda rounds: 0,
    "half-way": lambda rounds: rounds // 2,
}
"""How many of a trial's rounds are without the neighbour."""
QUIET_EVERY = 5
NEIGHBOUR = """
import os, sys, time
os.sched_setaffinity(0, {int(sys.argv[1])})
while True:
    end = time.perf_counter() + 0.01
    while time.perf_counter() < end:
        pass
    time.sleep(0.01)
"""


@contextmanager
def neighbour() -> Iterator[None]:
    """A process that uses half of one core of ours while this lasts."""
    core = min(os.sched_getaffinity(0))
    child = subprocess.Popen([sys.executable, "-c", NEIGHBOUR, str(core)])
    try:
        yield
    finally:
        child.kill()
        child.wait()


def trial(job: Job, rounds: int, seed: int, quiet_rounds: int) -> list[Launch]:
    """``rounds`` launches; the neighbour is there from the one after ``quiet_rounds`` on."""
    done: list[Job] = []

    def launch(asked: Job) -> Launch:
        done.append(asked)
        if len(done) <= quiet_rounds:
            return run_job(asked)
        with neighbour():
            return run_job(asked)

    rule = ExperimentRule(half_width=None, budget_s=float("inf"), min_rounds=1, max_rounds=rounds)
    return experiment([job], ["cell"], rule, seed, launch=launch).launches[0]


def wrongness(state: StateSummary, quiet: list[Launch]) -> float | None:
    """How far the estimate is from the quiet one of the same state; None when no quiet trial met
    that state."""
    for truth in states_of(quiet):
        same = state.hop_ns is None or truth.hop_ns is None
        if same or max(state.hop_ns, truth.hop_ns) <= SAME_STATE * min(state.hop_ns, truth.hop_ns):
            return abs(state.p50_ms / median([launch.median_ms for launch in truth.counted]) - 1)
    return None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--model", default="timm:test_vit")
    parser.add_argument("--runner", default="onnxruntime")
    parser.add_argument("--trials", type=int, default=50, help="of each kind")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--kinds", default="throughout,half-way")
    parser.add_argument("--duration", type=float, default=0.5, help="seconds of samples a launch")
    options = parser.parse_args()
    print_host()
    job = job_for(
        artifact_for(options.workspace, options.model, options.runner),
        options.runner,
        options.duration,
    )
    quiet: list[Launch] = []
    quiet_rounds = {kind: KINDS[kind](options.rounds) for kind in options.kinds.split(",")}
    found: dict[str, list[list[Launch]]] = {kind: [] for kind in quiet_rounds}
    for number in range(options.trials):
        if number % QUIET_EVERY == 0:
            quiet += trial(job, options.rounds, number, options.rounds)
        for kind, first in quiet_rounds.items():
            found[kind].append(trial(job, options.rounds, number, first))
        if number % QUIET_EVERY == 0:
            print(f"{number + 1} trials", flush=True)
    for state in states_of(quiet):
        medians = [launch.median_ms for launch in state.counted]
        print(
            f"quiet, hop {state.hop_ns or 0:.0f} ns: {median(medians):.3f} ms, {len(medians)} "
            f"launches"
        )
    wrong = 0
    for kind, trials in found.items():
        print(f"\nneighbour, {kind}: {len(trials)} trials")
        wrong += report(trials, quiet)
    sys.exit(wrong > 0)


def report(trials: list[list[Launch]], quiet: list[Launch]) -> int:
    """Print what the trials came to; how many were silently wrong."""
    verdicts: Counter[str] = Counter()
    silently_wrong, unknown, off = 0, 0, []
    for launches in trials:
        summary = summarise(launches, 1)
        for state in summary.states if summary else ():
            verdicts[state.judgement.verdict.value] += 1
            if state.judgement.verdict.value == "VALID":
                distance = wrongness(state, quiet)
                unknown += distance is None
                off += [] if distance is None else [distance]
                if distance is not None and distance > TOLERANCE:
                    silently_wrong += 1
                    print_trial(launches, distance)
    naive = [
        abs(median([launch.median_ms for launch in one]) / _middle(quiet) - 1) for one in trials
    ]
    print(f"verdicts of the states seen: {dict(verdicts)}")
    print(f"silently wrong: {silently_wrong}; VALID in a state that no quiet trial met: {unknown}")
    if off:
        print(f"VALID estimates are off by {median(off):.1%} (median), {max(off):.1%} at most")
    print(
        f"a plain median over the same launches is off by {median(naive):.1%} (median), "
        f"{max(naive):.1%} at most"
    )
    return silently_wrong


def print_trial(launches: list[Launch], distance: float) -> None:
    """Every launch of a trial that was silently wrong, with what was seen around it."""
    print(f"silently wrong by {distance:.1%}:")
    for number, launch in enumerate(launches):
        around = launch.surroundings
        seen = (
            f"foreign {around.foreign_cpu_share}, steal {around.steal_share}, hops {around.hops}"
            if around
            else ""
        )
        print(f"  {number}: {launch.median_ms:.3f} ms, {seen}; {launch.unsettled or 'settled'}")


def _middle(launches: list[Launch]) -> float:
    return median([launch.median_ms for launch in launches])


if __name__ == "__main__":
    main()
