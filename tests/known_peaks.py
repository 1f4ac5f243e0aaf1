"""Peaks of this host that a run finds in its cache, and so does not look for.

A run looks for them for seconds, and again in the next one where others disturbed it: beside other
tests they would be looked for in every run of every test. The figures are made up. They are higher
than those of any CPU, so that nothing that is measured is faster than it can be.
"""

from __future__ import annotations

from pathlib import Path
from time import monotonic

from deploybench.contracts.registry import recorded_distributions
from deploybench.files import cache_folder
from deploybench.hardware.host import describe_host
from deploybench.telemetry.peak_work import ALWAYS, PeakRun, torch_pieces
from deploybench.telemetry.peaks import BY_PRODUCTS, FRESH, METHOD
from deploybench.telemetry.remembered import cache_path, write_runs

GFLOPS_OR_GB_PER_S = 5000.0
FEWEST_THREADS = 2
"""More than this machine's cores are asked for by tests, too."""
_written_s: float | None = None


def know_peaks(folder: Path) -> None:
    """Write them into the folder of a cache, for each number of threads."""
    host = describe_host(recorded_distributions())
    pieces = (*ALWAYS, *torch_pieces(BY_PRODUCTS))
    found = PeakRun(figures=dict.fromkeys(pieces, GFLOPS_OR_GB_PER_S))
    for threads in range(1, max(host.usable_cores, FEWEST_THREADS) + 1):
        path = cache_path("peaks", METHOD, host, threads, ["numpy", "torch"])
        write_runs(folder / path.name, [found, found], [])


def keep_knowing_peaks() -> None:
    """Write them into this session's cache, and again before they are too old."""
    global _written_s
    now_s = monotonic()
    if _written_s is None or now_s - _written_s > FRESH.total_seconds() / 2:
        _written_s = now_s
        know_peaks(cache_folder())
