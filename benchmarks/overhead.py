"""What does the harness add to a call? A runner that does nothing, timed by our loop and by a bare
perf_counter pair.

The two alternate for ``--rounds``; printed are the medians of the rounds' p50 and their difference
(wanted: at most 2 us), and what one turn of the loop costs in all, which is what bounds throughput.

    python -m benchmarks.overhead [--rounds 20] [--calls 20000]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from time import perf_counter_ns

import numpy as np

from benchmarks.trials import print_host
from deploybench.contracts import Arrays, Session, SessionFacts
from deploybench.measure.calls import host_to_host
from deploybench.measure.loop import run_window
from deploybench.measure.stopping import WindowRule
from deploybench.statistics.samples import median

INPUTS = {"input": np.zeros((1, 3, 8, 8), dtype=np.float32)}


class NullSession(Session):
    """Returns the same outputs at once."""

    def _infer(self, inputs: Arrays) -> Arrays:
        return inputs

    def facts(self) -> SessionFacts:
        return SessionFacts("fp32", 1, "nothing", "cpu")


def bare_p50_ns(call: Callable[[], object], calls: int) -> float:
    samples = []
    for _ in range(calls):
        before = perf_counter_ns()
        call()
        samples.append(perf_counter_ns() - before)
    return median(samples)


def overhead_ns(calls: int) -> tuple[float, float, float]:
    """p50 of a bare pair around nothing, p50 of our loop around the null runner, and one turn of
    our loop."""
    session = NullSession({"input": (1, 3, 8, 8)})
    rule = WindowRule(min_samples=calls, duration_ns=0, limit_ns=10**12)
    bare = bare_p50_ns(lambda: None, calls)
    window = run_window(host_to_host(session, INPUTS).run, rule)
    return bare, median(window.samples_ns), window.wall_ns() / len(window.samples_ns)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=20_000)
    options = parser.parse_args()
    print_host()
    found = [overhead_ns(options.calls) for _ in range(options.rounds)]
    bare, ours, turn = (median([one[index] for one in found]) for index in range(3))
    added = [one[1] - one[0] for one in found]
    print(f"p50 of a bare pair {bare:.0f} ns, of our loop around a null runner {ours:.0f} ns")
    print(
        f"added to a sample: {median(added):.0f} ns (rounds from {min(added):.0f} to "
        f"{max(added):.0f})"
    )
    print(f"one turn of the loop, outside the sample too: {turn:.0f} ns")


if __name__ == "__main__":
    main()
