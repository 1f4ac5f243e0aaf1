"""What the live view of ``deploybench run`` costs: the time that a picture takes from a run.

It is drawn into a pseudo-terminal that somebody reads, once a look (every two seconds of a run),
between two visits and in the only thread that there is. Nothing of it runs while a process is
visited; what it takes is time that a visit could have had. The other half of the cost is nobody's:
no thread redraws, which is said as well, by counting what is written while nothing is told.

python -m benchmarks.live_view [CELLS ...]
"""

from __future__ import annotations

import os
import pty
import statistics
import sys
import threading
from pathlib import Path
from time import perf_counter, process_time, sleep, thread_time
from types import SimpleNamespace
from typing import cast

from rich.console import Console

from deploybench.analysis.visit_progress import VisitWidths
from deploybench.artifacts.artifact import Artifact
from deploybench.cli.live import LiveView
from deploybench.plan.cells import Planned
from deploybench.results.cell import Cell
from deploybench.runs.events import CellLook, RunPlanned, VisitsMade
from deploybench.runs.visiting import LOOK_EVERY_S

PICTURES = 200
STILL_S = 1.0
"""So long nothing is told, and what is written meanwhile is counted."""


def main() -> None:
    counts = [int(text) for text in sys.argv[1:]] or [4, 20, 100]
    print("ms a picture: CPU time and wall time (medians), share of a run, while nothing is told")
    for cells in counts:
        cpu_ms, wall_ms, written = measure(cells)
        middle = statistics.median(cpu_ms)
        share = middle / 1e3 / LOOK_EVERY_S
        print(
            f"{cells:>4} cells: {middle:.2f} and {statistics.median(wall_ms):.2f} ms, {share:.3%}, "
            f"{written} bytes written"
        )


def measure(count: int) -> tuple[list[float], list[float], int]:
    """The CPU and the wall times of the pictures (ms), and the bytes that were written while
    nothing was told."""
    reader, terminal = pty.openpty()
    seen = [0]
    threading.Thread(target=read, args=(reader, seen), daemon=True).start()
    with os.fdopen(terminal, "w") as file:
        console = Console(file=file, force_terminal=True, width=110, height=40, highlight=False)
        view = LiveView(console)
        planned = [Planned(cell(number), NO_ARTIFACT, None) for number in range(count)]
        view.begin(RunPlanned(tuple(planned), Path("records")))
        cpu_ms, wall_ms = [], []
        for number in range(PICTURES):
            event = looked(planned, number)
            began, began_cpu = perf_counter(), thread_time()
            view.tell(event)
            wall_ms.append(1e3 * (perf_counter() - began))
            cpu_ms.append(1e3 * (thread_time() - began_cpu))
        sleep(0.1)
        before, cpu_s = seen[0], process_time()
        sleep(STILL_S)
        written = seen[0] - before
        if process_time() - cpu_s > STILL_S / 100:
            print("it works while nothing is told")
        view.end()
    return cpu_ms, wall_ms, written


def read(reader: int, seen: list[int]) -> None:
    """The terminal's side."""
    while True:
        try:
            seen[0] += len(os.read(reader, 1 << 16))
        except OSError:
            return


NO_ARTIFACT = cast(Artifact, SimpleNamespace(path=Path("artifact")))


def cell(number: int) -> Cell:
    """A cell as a run has them."""
    return Cell(
        model=f"model_{number}",
        weights="random weights",
        weights_identity="0",
        image_size=(224, 224),
        patch_size=None,
        backend="onnx",
        form="none",
        runner="onnxruntime",
        device="cpu",
        precision="fp32",
        batch=1,
        threads=2,
        artifact=None,
        artifact_key=None,
    )


def looked(planned: list[Planned], number: int) -> VisitsMade:
    """A look in which every figure is another one than before."""
    looks = tuple(
        CellLook(
            one,
            VisitWidths(0.3 / (number + 1), None, known=True, grow=1.0, time_ms=3.0 + number),
            number,
            2,
        )
        for one in planned
    )
    return VisitsMade(number, 0, len(looks), 60.0, 0.01, 600.0, 0.5 + number % 50 / 100, looks)


if __name__ == "__main__":
    main()
