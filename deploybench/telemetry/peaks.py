"""The measured peaks of this host, on a thread budget.

Square matrix products give its arithmetic, a large copy and a large sum its memory.

These are the roofs that "% of peak" refers to: what this machine reached, not what a data sheet
says. Measured once per CPU model, thread budget and library versions in a process of its own, and
cached; peaks that other processes disturbed are too low, say so, and are measured again the next
time.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter

import numpy as np
from pydantic import ValidationError

from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.files import cache_folder, write_whole
from deploybench.hardware.foreign_work import allowed_foreign_share
from deploybench.hardware.host import Host
from deploybench.hardware.precisions import BF16_FLAGS
from deploybench.hardware.roof import MeasuredPeaks
from deploybench.processes import die_with_parent, finish, run_child
from deploybench.telemetry.activity import Activity, between, read_activity, usable_cpus

MATRIX_SIZE = 2048
COPY_BYTES = 256 << 20
BYTES_PER_DOUBLE = 8
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What numpy's and torch's libraries read their number of threads from, when they load."""
SECONDS_EACH = 1.0
TIME_LIMIT_S = 120.0
METHOD = 3
"""Counts what was changed in the method: peaks measured otherwise are measured again."""


class PeakRequest(Document):
    """What the child measures."""

    threads: int
    precisions: tuple[str, ...]


def measured_peaks(host: Host, threads: int) -> MeasuredPeaks | None:
    """The peaks from the cache, or measured now; None when the measurement fails."""
    path = _cache_path(host, threads)
    try:
        return MeasuredPeaks.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        pass
    precisions: tuple[str, ...] = ("fp32",)
    if BF16_FLAGS & set(host.isa):  # without them bf16 is emulated: no peak of this host
        precisions = ("fp32", "bf16")
    request = PeakRequest(threads=threads, precisions=precisions).model_dump_json()
    outcome = run_child(
        "deploybench.telemetry.peaks",
        request,
        time_limit_s=TIME_LIMIT_S,
        environment=dict.fromkeys(THREAD_VARIABLES, str(threads)),
    )
    if outcome.reply is None:
        return None
    peaks = MeasuredPeaks.model_validate_json(outcome.reply)
    if peaks.disturbed is None:
        # without a cache they are measured again the next time
        with contextlib.suppress(DeployBenchError):
            write_whole(path, peaks.model_dump_json(indent=1))
    return peaks


def main() -> None:
    """Read a request from standard input, write the peaks to the path in the first argument."""
    die_with_parent()
    request = PeakRequest.model_validate_json(sys.stdin.read())
    threads = request.threads
    cpus = usable_cpus()
    before = read_activity(cpus)

    gflops = {"fp32": _best_gflops(_numpy_product())}
    libraries = "numpy"
    if importlib.util.find_spec("torch") is not None:
        for precision in request.precisions:
            by_torch = _best_gflops(_torch_product(precision, threads))
            gflops[precision] = max(gflops.get(precision, 0.0), by_torch)
        libraries = "the better of numpy and torch"
    copy_gb_per_s = _copy_gb_per_s(threads)
    read_gb_per_s = _read_gb_per_s(threads)
    activity = between(before, read_activity(cpus))

    products = f"{MATRIX_SIZE} x {MATRIX_SIZE} products by {libraries}"
    memory = f"copy and sum of {COPY_BYTES >> 20} MiB by {threads} threads"
    peaks = MeasuredPeaks(
        threads=threads,
        gflops={name: round(value, 1) for name, value in gflops.items()},
        copy_gb_per_s=round(copy_gb_per_s, 1),
        read_gb_per_s=round(read_gb_per_s, 1),
        method=f"{products}; {memory}",
        disturbed=_disturbed(activity, len(cpus)),
    )
    finish(peaks.model_dump_json())


def _disturbed(activity: Activity, cpus: int) -> str | None:
    """What others took meanwhile, in words, when it is more than an idle system's own work."""
    foreign = activity.foreign_cpu_share or 0.0
    if foreign <= allowed_foreign_share(cpus, activity.share_resolution):
        return None
    return f"other processes took {foreign:.0%} of the CPUs"


def _cache_path(host: Host, threads: int) -> Path:
    versions = {name: host.versions.get(name) for name in ("numpy", "torch")}
    identity = [
        METHOD,
        host.cpu_model,
        host.isa,
        host.logical_cores,
        host.usable_cores,
        threads,
        versions,
    ]
    key = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    return cache_folder() / f"peaks-{key}.json"


def _numpy_product() -> Callable[[], object]:
    matrix = np.random.default_rng(0).standard_normal((MATRIX_SIZE, MATRIX_SIZE)).astype(np.float32)
    return lambda: matrix @ matrix


def _torch_product(precision: str, threads: int) -> Callable[[], object]:
    import torch

    torch.set_num_threads(threads)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    matrix = torch.randn(MATRIX_SIZE, MATRIX_SIZE).to(dtype)
    return lambda: matrix @ matrix


def _best_gflops(product: Callable[[], object]) -> float:
    """A product of two n x n matrices is n^3 multiply-adds, which are two FLOPs each."""
    return 2 * MATRIX_SIZE**3 / _best_seconds(product) / 1e9


def _copy_gb_per_s(threads: int) -> float:
    """Bytes read plus bytes written a second, every thread copying its own part."""
    source = np.ones(COPY_BYTES // BYTES_PER_DOUBLE)
    target = np.empty_like(source)
    sources = np.array_split(source, threads)
    targets = np.array_split(target, threads)
    with ThreadPoolExecutor(threads) as pool:

        def copy() -> object:
            return list(pool.map(np.copyto, targets, sources))  # the list waits for all of them

        return 2 * COPY_BYTES / _best_seconds(copy) / 1e9


def _read_gb_per_s(threads: int) -> float:
    """Bytes read a second, every thread adding up its own part."""
    parts = np.array_split(np.ones(COPY_BYTES // BYTES_PER_DOUBLE), threads)
    with ThreadPoolExecutor(threads) as pool:

        def add_up() -> object:
            return list(pool.map(np.sum, parts))

        return COPY_BYTES / _best_seconds(add_up) / 1e9


def _best_seconds(work: Callable[[], object]) -> float:
    """The fastest of the repetitions within the time: a peak is what the machine can do."""
    work()  # the first touches memory and starts the threads
    best = float("inf")
    end = perf_counter() + SECONDS_EACH
    while perf_counter() < end:
        start = perf_counter()
        work()
        best = min(best, perf_counter() - start)
    return best


if __name__ == "__main__":
    main()
