"""Memory figures are in bytes, a phase can have its own peak, and what the kernel does not tell is
None."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deploybench.telemetry.memory import (
    peak_resident_bytes,
    proportional_bytes,
    reset_peak,
    resident_bytes,
)

MIB = 2**20
ROLLUP = """\
560f97ba5000-7fffcd653000 ---p 00000000 00:00 0                          [rollup]
Rss:                1696 kB
Pss:                 415 kB
Pss_Dirty:           116 kB
"""


def test_proportional_bytes_are_the_pss_in_bytes(tmp_path: Path) -> None:
    rollup = tmp_path / "smaps_rollup"
    rollup.write_text(ROLLUP)
    assert proportional_bytes(rollup) == 415 * 1024


def test_proportional_bytes_are_unknown_when_the_kernel_has_no_rollup(tmp_path: Path) -> None:
    assert proportional_bytes(tmp_path / "smaps_rollup") is None


def test_peak_is_the_high_water_mark_in_bytes(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tpython\nVmHWM:\t  2048 kB\nVmRSS:\t  1024 kB\n")
    assert peak_resident_bytes(status) == 2 * MIB


def test_peak_is_the_present_size_when_there_is_no_status(tmp_path: Path) -> None:
    assert peak_resident_bytes(tmp_path / "status") == pytest.approx(resident_bytes(), rel=0.1)


def test_reset_fails_without_raising_when_there_is_no_such_file(tmp_path: Path) -> None:
    assert not reset_peak(tmp_path / "missing" / "clear_refs")


PEAK = """
from deploybench.telemetry.memory import peak_resident_bytes, reset_peak, resident_bytes
MIB = 1 << 20
start = resident_bytes()
block = b"x" * (64 * MIB)
assert peak_resident_bytes() > start + 60 * MIB
del block
assert peak_resident_bytes() > start + 60 * MIB
assert reset_peak()
assert peak_resident_bytes() < start + 30 * MIB
"""


def test_peak_is_that_of_what_follows_when_it_was_reset() -> None:
    """In a process of its own: memory that other tests have freed moves the resident size here."""
    if not reset_peak():
        pytest.skip("this kernel does not reset the peak")
    done = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
