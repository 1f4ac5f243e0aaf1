"""Memory of this process, read from /proc where there is one.

Resident bytes count every page that is mapped and in memory, shared libraries included, once for
each process that maps it; proportional bytes divide a shared page among the processes that map it,
so that several workers add up. From Linux 6.2 on the resident figures come from per-CPU counters
that lag by some pages a core; the proportional figure walks the page tables, which is exact and
takes milliseconds a GiB: read it outside what is timed.
"""

from __future__ import annotations

from pathlib import Path

import psutil

STATUS = Path("/proc/self/status")
SMAPS_ROLLUP = Path("/proc/self/smaps_rollup")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"  # proc_pid_clear_refs(5), since Linux 4.0
BYTES_PER_KIB = 1024


def resident_bytes() -> int:
    """Resident set size now."""
    return int(psutil.Process().memory_info().rss)


def peak_resident_bytes(status: Path = STATUS) -> int:
    """The largest resident set size since the process began, or since :func:`reset_peak` worked.

    VmHWM in /proc; the present size where that is unknown.
    """
    peak = _kib_field(status, "VmHWM:")
    if peak is None:
        return resident_bytes()
    return peak


def proportional_bytes(smaps_rollup: Path = SMAPS_ROLLUP) -> int | None:
    """Proportional set size now (Pss, since Linux 4.14); None where the kernel does not tell."""
    return _kib_field(smaps_rollup, "Pss:")


def reset_peak(clear_refs: Path = CLEAR_REFS) -> bool:
    """Set the peak back to the present resident size; whether that worked.

    The peak that follows is of what follows.
    """
    try:
        clear_refs.write_text(RESET_PEAK)
    except OSError:
        return False
    return True


def _kib_field(path: Path, name: str) -> int | None:
    """A field of a /proc file that is given in KiB, in bytes.

    None where there is no such file, field or permission.
    """
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith(name):
            kib = line.split()[1]  # "VmHWM:     1234 kB"
            return int(kib) * BYTES_PER_KIB
    return None
