"""The table of runners on a CUDA device: which work here, and why the others do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, runners, unfit_for
from deploybench.hardware.devices import CUDA
from deploybench.hardware.host import Host
from deploybench.report.figures import good_or_bad, yes_or_no
from deploybench.report.table import Column, Table, table_of

NOTHING_ELSE_MISSING = "this host has no CUDA device; nothing else is missing"


@dataclass(frozen=True)
class GpuRow:
    """Whether a runner can use the first GPU of this host, and why not."""

    name: str
    usable: bool
    problem: str | None


COLUMNS = (
    Column[GpuRow]("name", "runner", lambda row: row.name),
    Column[GpuRow](
        "usable",
        "on cuda",
        lambda row: yes_or_no(row.usable),
        style=lambda row: good_or_bad(row.usable),
    ),
    Column[GpuRow]("problem", "why not", lambda row: row.problem or "", folds=True),
)


def gpu_rows(host: Host) -> list[GpuRow]:
    """A row a runner; its own cause stands before the host's."""
    return [_row(entry, host) for entry in runners().values()]


def gpu_table(rows: Sequence[GpuRow], host: Host) -> Table:
    gpus = ", ".join(
        f"{gpu.name} (compute capability {gpu.compute_capability})" for gpu in host.gpus
    )
    title = f"CUDA devices: {gpus or f'none: {host.gpu_note}'}"
    return table_of(COLUMNS, rows, title=title, data=asdict)


def _row(entry: Entry[Runner], host: Host) -> GpuRow:
    problem = entry.problem
    if problem is None and entry.plugin is not None:
        problem = unfit_for(entry.plugin, CUDA)
    if problem is None and not host.gpus:
        problem = NOTHING_ELSE_MISSING
    return GpuRow(name=entry.name, usable=problem is None, problem=problem)
