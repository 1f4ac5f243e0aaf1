"""The measured peaks of this host: square matrix products, a large copy and a large sum, on a
thread budget.

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
from typing import Any

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
    environment = {
        name: str(threads)
        for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    }
    precisions = ["fp32", *(["bf16"] if BF16_FLAGS & set(host.isa) else [])]
    request = PeakRequest(threads=threads, precisions=tuple(precisions)).model_dump_json()
    outcome = run_child(
        "deploybench.telemetry.peaks", request, time_limit_s=TIME_LIMIT_S, environment=environment
    )
    if outcome.reply is None:
        return None
    peaks = MeasuredPeaks.model_validate_json(outcome.reply)
    if peaks.disturbed is None:
        with contextlib.suppress(
            DeployBenchError
        ):  # without a cache they are measured again next time
            write_whole(path, peaks.model_dump_json(indent=1))
    return peaks


def main() -> None:
    """Read a request from standard input, write the peaks to the path in the first argument."""
    die_with_parent()
    request = PeakRequest.model_validate_json(sys.stdin.read())
    threads, cpus = request.threads, usable_cpus()
    before = read_activity(cpus)
    gflops = {"fp32": _best_gflops(_numpy_product())}
    method = "numpy"
    if importlib.util.find_spec("torch") is not None:
        for precision in request.precisions:
            gflops[precision] = max(
                gflops.get(precision, 0.0), _best_gflops(_torch_product(precision, threads))
            )
        method = "the better of numpy and torch"
    memory = f"copy and sum of {COPY_BYTES >> 20} MiB by {threads} threads"
    method = f"{MATRIX_SIZE} x {MATRIX_SIZE} products by {method}; {memory}"
    peaks = MeasuredPeaks(
        threads=threads,
        gflops={name: round(value, 1) for name, value in gflops.items()},
        copy_gb_per_s=round(_copy_gb_per_s(threads), 1),
        read_gb_per_s=round(_read_gb_per_s(threads), 1),
        method=method,
    )
    seen = between(before, read_activity(cpus))
    finish(peaks.model_copy(update={"disturbed": _disturbed(seen, len(cpus))}).model_dump_json())


def _disturbed(seen: Activity, cpus: int) -> str | None:
    """What others took meanwhile, in words, when it is more than an idle system's own work."""
    foreign = seen.foreign_cpu_share or 0.0
    too_much = foreign > allowed_foreign_share(cpus, seen.share_resolution)
    return f"other processes took {foreign:.0%} of the CPUs" if too_much else None


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
    return 2 * MATRIX_SIZE**3 / _best_seconds(product) / 1e9


def _copy_gb_per_s(threads: int) -> float:
    """Bytes read plus bytes written a second, every thread copying its own part."""
    source = np.ones(COPY_BYTES // 8)
    target = np.empty_like(source)
    parts = list(zip(np.array_split(target, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:

        def copy() -> Any:
            return list(pool.map(lambda part: np.copyto(*part), parts))

        return 2 * COPY_BYTES / _best_seconds(copy) / 1e9


def _read_gb_per_s(threads: int) -> float:
    """Bytes read a second, every thread adding up its own part."""
    parts = np.array_split(np.ones(COPY_BYTES // 8), threads)
    with ThreadPoolExecutor(threads) as pool:
        return COPY_BYTES / _best_seconds(lambda: list(pool.map(np.sum, parts))) / 1e9


def _best_seconds(work: Callable[[], object]) -> float:
    """The fastest of the repetitions within the time: a peak is what the machine can do."""
    work()
    best = float("inf")
    end = perf_counter() + SECONDS_EACH
    while perf_counter() < end:
        start = perf_counter()
        work()
        best = min(best, perf_counter() - start)
    return best


if __name__ == "__main__":
    main()
