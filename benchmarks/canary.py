"""Does the canary feel what is taken from this machine?

Its readings, one after each pause as between two visits, first of the machine as it is and then
beside neighbours, a part of the time each and in turn: the speed that was delivered as a share of
the best of the run (and of what earlier runs on this host found), over time and in percentiles.

    python -m benchmarks.canary [--seconds 60] [--beside half,both,memory,vector] [--remember]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass

import numpy as np

from benchmarks.neighbours import NEIGHBOURS, neighbour
from benchmarks.trials import print_host
from deploybench.children.environment import without_cleared
from deploybench.hardware.host import describe_host, usable_cores
from deploybench.results.visit import CanaryBest, CanaryReading
from deploybench.telemetry.canary import environment_of
from deploybench.telemetry.canary_memory import best_of, in_words, remember, remembered

ALONE = "as it is"
TURN_S = 5.0
"""How long each neighbour is there at a time: the machine's own moods should meet all of them."""
WAKE_UP_S = 0.5
"""From a neighbour's start until it does what it is for."""
MARKS = " ▁▂▃▄▅▆▇█"
WIDTH = 60


@dataclass(frozen=True)
class Timed:
    """A reading, what was there beside it, and when: seconds since the first."""

    at_s: float
    beside: str
    reading: CanaryReading


READ_BY_LINES = """
import sys
from deploybench.telemetry.canary import Canary, serve, threads_told
serve(Canary(threads_told()), sys.stdin, lambda line: print(line, flush=True))
"""


@contextmanager
def canary_process(threads: int) -> Iterator[subprocess.Popen[str]]:
    """The canary in a process of its own, at rest on its pipe; a line for each line."""
    child = subprocess.Popen(
        [sys.executable, "-c", READ_BY_LINES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**without_cleared(os.environ), **environment_of(threads)},
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def read(child: subprocess.Popen[str]) -> CanaryReading:
    """One reading of the child."""
    assert child.stdin is not None
    assert child.stdout is not None
    child.stdin.write("{}\n")
    child.stdin.flush()
    return CanaryReading.model_validate_json(child.stdout.readline())


def readings_beside(
    kinds: Sequence[str], threads: int, seconds: float, pause_s: float, turn_s: float = TURN_S
) -> list[Timed]:
    """Readings over ``seconds`` beside each kind of neighbour, in turn."""
    found = []
    turns = max(round(seconds / turn_s), 1)
    with canary_process(threads) as child:
        read(child)
        began = time.perf_counter()
        for _ in range(turns):
            for kind in kinds:
                with nullcontext() if kind == ALONE else neighbour(kind):
                    if kind != ALONE:
                        time.sleep(WAKE_UP_S)
                    end = time.perf_counter() + min(turn_s, seconds)
                    while time.perf_counter() < end:
                        at_s = time.perf_counter() - began
                        found.append(Timed(at_s, kind, read(child)))
                        time.sleep(pause_s)
    return found


def percentiles_text(kind: str, found: Sequence[Timed], best: CanaryBest) -> str:
    """One line: what was delivered beside one kind of neighbour."""
    shares = [best.delivered(one.reading) for one in found]
    compute_us = [one.reading.compute_us for one in found]
    memory_us = [one.reading.memory_us for one in found]
    title = ALONE
    if kind != ALONE:
        title = NEIGHBOURS[kind].title
    delivered = " / ".join(f"{100 * np.quantile(shares, at):3.0f}" for at in (0.1, 0.5, 0.9))
    return (
        f"{title:32s}{len(found):6d}   {delivered} %   "
        f"{best.compute_us / np.median(compute_us):5.0%}   "
        f"{best.memory_us / np.median(memory_us):5.0%}"
    )


def trace_text(found: Sequence[Timed], best: CanaryBest) -> str:
    """Delivered speed over time, from none to all of it, a mark for each part of the run."""
    marks = []
    last_s = found[-1].at_s
    for number in range(WIDTH):
        start_s = last_s * number / WIDTH
        end_s = last_s * (number + 1) / WIDTH
        shares = [best.delivered(one.reading) for one in found if start_s <= one.at_s < end_s]
        if not shares:
            marks.append(" ")
            continue
        share = min(float(np.median(shares)), 1.0)
        marks.append(MARKS[round(share * (len(MARKS) - 1))])
    return "".join(marks)


def report(found: Sequence[Timed], kinds: Sequence[str], best: CanaryBest) -> str:
    """All that the readings showed."""
    runs = "this run alone"
    if best.runs > 1:
        runs = f"{best.runs} runs"
    lines = [
        f"best: {best.compute_us / 1e3:.2f} ms of products and {best.memory_us / 1e3:.2f} ms of "
        f"copies, of {runs}",
        "",
        f"{'beside':32s}{'count':>6s}   p10 / p50 / p90     products and copies at p50",
    ]
    for kind in kinds:
        of_kind = [one for one in found if one.beside == kind]
        lines.append(percentiles_text(kind, of_kind, best))
    lines.append("")
    for kind in kinds:
        of_kind = [one for one in found if one.beside == kind]
        lines.append(f"{kind:10s}|{trace_text(of_kind, best)}|")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="beside each neighbour")
    parser.add_argument("--pause", type=float, default=0.15, help="seconds between two readings")
    parser.add_argument("--threads", type=int, default=usable_cores())
    parser.add_argument("--beside", default="", help=f"any of {','.join(NEIGHBOURS)}")
    parser.add_argument("--remember", action="store_true", help="leave the best for later runs")
    options = parser.parse_args()
    kinds = [ALONE, *(name for name in options.beside.split(",") if name)]
    for name in kinds[1:]:
        if name not in NEIGHBOURS:
            sys.exit(f"there is no neighbour {name}: any of {','.join(NEIGHBOURS)}")

    print_host()
    host = describe_host()
    before = remembered(host, options.threads)
    found = readings_beside(kinds, options.threads, options.seconds, options.pause)
    # Beside a neighbour the machine is not at its best, so those readings do not make one.
    alone = [one.reading for one in found if one.beside == ALONE]
    best = best_of(before, alone, options.threads)
    if options.remember:
        best = remember(host, options.threads, alone)
    print(report(found, kinds, best))
    words = in_words(best, before)
    if words is not None:
        print(f"\n{words}")


if __name__ == "__main__":
    main()
