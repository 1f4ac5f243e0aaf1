"""A neighbour on the same machine: is any estimate silently wrong?

Trials of some cells by visits, each with another kind of neighbour beside it, and quiet trials
among them, which give the truth, in each state of the machine. The kinds are those of
``neighbours.py``. A trial is silently wrong when a VALID undisturbed time is more than 3 % from the
quiet one of its state. Wanted: none of 50 of each kind. How many are answered at all is told, too.

    python -m benchmarks.neighbour WORKSPACE [--cells timm:test_vit/onnxruntime,...] [--trials 50]
        [--budget 10] [--kinds half,both,memory,vector]
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path

from benchmarks.neighbours import NEIGHBOURS, neighbour
from benchmarks.trials import print_host
from benchmarks.visits import cell_for, measured, valid_by_state, valid_states
from deploybench.plan.cells import Planned
from deploybench.results.record import Record, StateSummary
from deploybench.statistics.levels import same_state
from deploybench.statistics.samples import median

CELLS = "timm:test_vit/onnxruntime,efficientnet-b0/onnxruntime"
TOLERANCE = 0.03
QUIET_EVERY = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--cells", default=CELLS, help="as MODEL/RUNNER, with commas")
    parser.add_argument("--trials", type=int, default=50, help="of each kind")
    parser.add_argument("--kinds", default=",".join(NEIGHBOURS))
    parser.add_argument("--budget", type=float, default=10.0, help="seconds a cell")
    options = parser.parse_args()
    print_host()
    names = options.cells.split(",")
    planned = [cell_for(options.workspace, *name.rsplit("/", 1)) for name in names]
    quiet: list[list[Record]] = []
    found: dict[str, list[list[Record]]] = {kind: [] for kind in options.kinds.split(",")}
    for number in range(options.trials):
        if number % QUIET_EVERY == 0:
            quiet.append(_trial(planned, options.budget, number))
        for kind, trials in found.items():
            with neighbour(kind):
                trials.append(_trial(planned, options.budget, number))
        print(f"{number + 1} trials", flush=True)
    truths = [_truth(name, [trial[index] for trial in quiet]) for index, name in enumerate(names)]
    wrong = 0
    for kind, trials in found.items():
        for index, name in enumerate(names):
            wrong += _report(f"{kind}, {name}", [trial[index] for trial in trials], truths[index])
    sys.exit(wrong > 0)


def _trial(planned: list[Planned], budget_s: float, seed: int) -> list[Record]:
    return measured(planned, budget_s=budget_s, half_width=0.01, seed=seed)


def _truth(name: str, records: list[Record]) -> list[StateSummary]:
    """What the quiet trials found: of each state the VALID estimate in the middle."""
    truths = []
    for same in valid_by_state(records):
        times = sorted(state.p50_ms for state in same)
        truths.append(min(same, key=lambda state: abs(state.p50_ms - median(times))))
        print(
            f"quiet, {name}, hop {truths[-1].hop_ns or 0:.0f} ns: {median(times):.3f} ms, "
            f"{len(times)} VALID in {len(records)} trials, {times[-1] / times[0] - 1:.1%} apart"
        )
    if not truths:
        print(f"quiet, {name}: no VALID time in {len(records)} trials")
    return truths


def _report(name: str, records: list[Record], truths: list[StateSummary]) -> int:
    """Print what the trials came to; how many were silently wrong."""
    verdicts = Counter(record.judgement.verdict.value for record in records)
    off = []
    met = []
    for record in records:
        assert record.summary is not None
        visited = record.summary.states[0].visited
        if truths and visited is not None:
            met.append(visited.experienced_p50_ms / truths[0].p50_ms - 1)
        for state in valid_states(record):
            for truth in truths:
                if same_state(truth.hop_ns, state.hop_ns):
                    off.append(abs(state.p50_ms / truth.p50_ms - 1))
    wrong = sum(distance > TOLERANCE for distance in off)
    words = f"{name}: {dict(verdicts)}, silently wrong {wrong}"
    if off:
        words += f"; VALID times off by {median(off):.1%} (median), {max(off):.1%} at most"
    if met:
        words += f"; as met {median(met):+.0%}"
    print(words)
    return wrong


if __name__ == "__main__":
    main()
