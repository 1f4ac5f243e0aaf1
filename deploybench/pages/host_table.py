"""The machines of a page: what they are, and the software that ran there."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.pages.machines import Machine
from deploybench.report.table import Column, Table, table_of

GIB = 1 << 30


def host_table(machines: Sequence[Machine]) -> Table:
    """A line a machine, as its newest run found it; versions that changed between runs are all
    named."""
    columns = (
        Column[Machine]("machine", "machine", lambda machine: machine.name),
        Column[Machine]("processor", "processor", lambda machine: machine.example.host.cpu_model),
        Column[Machine]("cores", "cores", _cores, number=True),
        Column[Machine]("memory", "memory", _memory, number=True),
        Column[Machine]("gpus", "GPUs", _gpus, folds=True),
        Column[Machine]("system", "system", _system, folds=True),
        Column[Machine]("versions", "software", _versions, folds=True),
    )
    return table_of(columns, machines)


def _cores(machine: Machine) -> str:
    return str(machine.example.host.usable_cores)


def _memory(machine: Machine) -> str:
    return f"{machine.example.host.memory_bytes / GIB:.0f} GiB"


def _gpus(machine: Machine) -> str:
    host = machine.example.host
    if not host.gpus:
        return host.gpu_note or "none"
    return ", ".join(f"{gpu.name} (driver {gpu.driver})" for gpu in host.gpus)


def _system(machine: Machine) -> str:
    host = machine.example.host
    parts = [host.os, f"kernel {host.kernel}", f"Python {host.python}"]
    if host.virtual_machine:
        parts.append("a virtual machine")
    return ", ".join(parts)


def _versions(machine: Machine) -> str:
    versions: dict[str, dict[str, None]] = {}
    for record in machine.records:
        for name, version in (*record.host.versions.items(), *record.versions.items()):
            versions.setdefault(name, {})[version] = None
    return ", ".join(f"{name} {' and '.join(found)}" for name, found in versions.items())
