"""How much of the CPUs others may take before what is measured beside them is disturbed."""

from __future__ import annotations

FOREIGN_CORES, FOREIGN_CORES_EACH = 0.05, 0.005
"""What other processes may take, in cores, and for each CPU more: an idle system's own work is 0.02
on two CPUs. A neighbour at half of one core is 0.5, however many cores wait for the slowest."""


def allowed_foreign_share(cpus: int, resolution: float | None) -> float:
    """The share of ``cpus`` that others may take.

    The clock of ``/proc/stat`` tells nothing below ``resolution``.
    """
    allowed_cores = FOREIGN_CORES + FOREIGN_CORES_EACH * cpus
    return (allowed_cores + (resolution or 0.0)) / cpus
