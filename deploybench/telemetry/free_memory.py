"""How much memory new processes may take: what the machine and this process's cgroup have left."""

from __future__ import annotations

from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
LIMITS = (
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)
"""Of version 2 and of version 1 (cgroup-v2.rst, memory.rst): the limit and what is used."""
STATISTICS = ("memory.stat", "memory/memory.stat")
RECLAIMABLE = "inactive_file"
"""Pages of files that nobody looked at lately count as used and are given up for others."""


def available_bytes(cgroup: Path = CGROUP) -> int:
    """The least that any limit leaves."""
    left = int(psutil.virtual_memory().available)
    for (limit_name, used_name), statistics in zip(LIMITS, STATISTICS, strict=True):
        limit = _number(cgroup / limit_name)
        used = _number(cgroup / used_name)
        if limit is not None and used is not None:
            left = min(left, limit - used + _reclaimable(cgroup / statistics))
    return max(left, 0)


def _number(path: Path) -> int | None:
    """The number in the file; None for a limit that is none (``max``) and where there is none."""
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def _reclaimable(path: Path) -> int:
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return 0
    for line in lines:
        name, _, value = line.partition(" ")
        if name == RECLAIMABLE and value.isdigit():
            return int(value)
    return 0
