"""The table of runners on a CUDA device: which work here, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, runners, unfit_for
from deploybench.hardware.devices import CUDA
from deploybench.hardware.host import Host
from deploybench.report.tables import Cellular, print_table, state

NOTHING_ELSE_MISSING = "this host has no CUDA device; nothing else is missing"


def gpu_rows(host: Host) -> list[dict[str, object]]:
    """A row a runner: whether it can use the first GPU of this host, and why not: its own cause
    before the host's."""
    return [_row(entry, host) for entry in runners().values()]


def print_gpu_table(rows: Sequence[dict[str, object]], host: Host, console: Console) -> None:
    gpus = ", ".join(
        f"{gpu.name} (compute capability {gpu.compute_capability})" for gpu in host.gpus
    )
    console.print(f"\nCUDA devices: {gpus or f'none: {host.gpu_note}'}", markup=False)
    texts: list[list[Cellular]] = [
        [str(row["name"]), state(bool(row["usable"])), str(row["problem"] or "")] for row in rows
    ]
    print_table(["runner", "on cuda", "why not"], texts, console)


def _row(entry: Entry[Runner], host: Host) -> dict[str, object]:
    own = entry.problem or (unfit_for(entry.plugin, CUDA) if entry.plugin else None)
    problem = own or (None if host.gpus else NOTHING_ELSE_MISSING)
    return {"name": entry.name, "usable": problem is None, "problem": problem}
