"""By how much do processes of one cell differ? An interval has to span that, too.

Copies of each cell take turns in one run, each with processes of its own; a visit is held against
the other copies of its round, so that what the machine did is in both. Printed is the level of each
process and, for each cell, the standard deviation between processes: that of the levels, less what
their own noise makes of it. It is where ``USUAL_SPREAD`` of ``analysis/visit_estimates.py`` comes
from.

    python -m benchmarks.processes WORKSPACE [--cells timm:test_vit/onnxruntime,...] [--copies 4]
        [--budget 40]
"""

from __future__ import annotations

import argparse
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.trials import print_host
from benchmarks.visits import cell_for, measured
from deploybench.results.record import Record
from deploybench.statistics.dependence import Centre, centre_of_logs

CELLS = "timm:test_vit/onnxruntime,efficientnet-b0/onnxruntime,resnet50/openvino,vit/openvino"
FEWEST_VISITS = 15
STANDARD_ERRORS = 1.96
"""To either side of an interval of 95 %."""
Process = tuple[int, int]
"""The copy, and the number of the process in it."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--cells", default=CELLS, help="as MODEL/RUNNER, with commas")
    parser.add_argument("--copies", type=int, default=4)
    parser.add_argument("--budget", type=float, default=40.0, help="seconds a copy")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print_host()
    names = options.cells.split(",")
    planned = []
    for name in names:
        cell = cell_for(options.workspace, *name.rsplit("/", 1))
        planned += [cell] * options.copies
    # So narrow an interval that the budget ends the run, and processes are started as it allows.
    records = measured(planned, budget_s=options.budget, half_width=0.001, seed=options.seed)
    for position, name in enumerate(names):
        copies = records[position * options.copies : (position + 1) * options.copies]
        _report(name, levels_of(copies))


def levels_of(copies: Sequence[Record]) -> dict[Process, Centre]:
    """By how much each process differs from the other copies, as a logarithm."""
    by_round: dict[int, dict[Process, float]] = defaultdict(dict)
    for number, record in enumerate(copies):
        for visit in record.visits:
            if visit.count:
                by_round[visit.round][number, visit.process] = math.log(visit.median_ns)
    differences: dict[Process, list[float]] = defaultdict(list)
    for times in by_round.values():
        for process, time in times.items():
            others = [other for key, other in times.items() if key[0] != process[0]]
            if others:
                differences[process].append(time - float(np.mean(others)))
    # Of the others the mean was taken off, which the process's own copy is no part of: of n copies
    # that differ by chance the difference is sqrt(n / (n - 1)) times as wide.
    shrink = math.sqrt((len(copies) - 1) / len(copies))
    levels = {}
    for process, values in sorted(differences.items()):
        if len(values) >= FEWEST_VISITS:
            levels[process] = centre_of_logs(shrink * np.array(values))
    return levels


def _report(name: str, levels: dict[Process, Centre]) -> None:
    print(f"\n{name}")
    for (copy, process), centre in levels.items():
        print(
            f"  copy {copy}, process {process}: {centre.value:+.2%} ±{centre.distance:.2%} "
            f"({centre.count} visits)"
        )
    values = np.array([centre.value for centre in levels.values()])
    errors = np.array([centre.distance for centre in levels.values()]) / STANDARD_ERRORS
    spread, noise = float(values.std(ddof=1)), float(np.sqrt(np.mean(errors**2)))
    between = math.sqrt(max(spread**2 - noise**2, 0.0))
    print(f"  {len(levels)} processes: {spread:.2%} apart, {noise:.2%} of it noise: {between:.2%}")


if __name__ == "__main__":
    main()
