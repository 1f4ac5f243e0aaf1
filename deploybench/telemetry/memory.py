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


def huge_page_bytes(smaps_rollup: Path = SMAPS_ROLLUP) -> int | None:
    """Anonymous memory that lies in transparent huge pages; None where the kernel does not tell."""
    return _kib_field(smaps_rollup, "AnonHugePages:")


def anonymous_bytes(smaps_rollup: Path = SMAPS_ROLLUP) -> int | None:
    """All anonymous memory; None where the kernel does not tell."""
    return _kib_field(smaps_rollup, "Anonymous:")


def reset_peak(clear_refs: Path = CLEAR_REFS) -> bool:
    """Set the peak back to the present resident size; whether that worked.

    The peak that follows is of what follows.
    """
    try:
        clear_refs.write_text(RESET_PEAK)
    except OSError:
        return False
    return True


class WindowMemory:
    """The peak of the calls in one or several windows, without what the harness keeps for itself.

    The harness's share is what its recorder says that it holds, and what the process has grown by
    between the windows and after them, where nothing but the harness works.
    """

    def __init__(self) -> None:
        self.peak_bytes: int | None = None
        self.harness_bytes = 0
        self._grown_between = 0
        self._resident_at_end: int | None = None

    def begins(self) -> None:
        """Before a window, and before anything is kept for it."""
        if self._resident_at_end is not None:
            self._grown_between += resident_bytes() - self._resident_at_end
        reset_peak()

    def ends(self, recorded_bytes: int) -> None:
        """Right after the last call, while the recorder holds so many bytes."""
        harness = self._grown_between + recorded_bytes
        peak = peak_resident_bytes() - harness
        self.peak_bytes = max(peak, self.peak_bytes or 0)
        self.harness_bytes = max(harness, self.harness_bytes)
        self._resident_at_end = resident_bytes() - recorded_bytes

    def without_harness(self, now_bytes: int | None) -> int | None:
        """A figure of this moment without what the process has grown by since the calls ended."""
        if now_bytes is None or self._resident_at_end is None:
            return now_bytes
        grown = self._grown_between + resident_bytes() - self._resident_at_end
        return now_bytes - max(grown, 0)


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
