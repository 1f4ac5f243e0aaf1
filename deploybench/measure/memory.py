"""Resident memory of this process, read from /proc where there is one."""

from __future__ import annotations

from pathlib import Path

import psutil

STATUS = Path("/proc/self/status")
BYTES_PER_KIB = 1024


def resident_bytes() -> int:
    """Resident set size now."""
    return int(psutil.Process().memory_info().rss)


def peak_resident_bytes() -> int:
    """The largest resident set size of this process so far (VmHWM); the present one where that is unknown."""
    if STATUS.is_file():
        for line in STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * BYTES_PER_KIB
    return resident_bytes()
