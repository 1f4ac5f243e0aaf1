"""What the peaks of this host are measured with, and the child that measures them.

Square matrix products give its arithmetic, a large copy and a large sum its memory. Each is visited
for a few calls again and again, in turn, and its fastest call counts: a peak is what the machine
can do, and a short visit finds the moments in which others leave the machine alone.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Annotated

import numpy as np
from pydantic import Field

from deploybench.children.processes import die_with_parent, finish
from deploybench.documents import Document
from deploybench.hardware.foreign_work import allowed_foreign_share
from deploybench.telemetry.activity import Activity, between, read_activity, usable_cpus
from deploybench.telemetry.remembered import RememberedRun

MATRIX_SIZES = (1024, 2048)
"""The smaller one finds shorter gaps, the larger one keeps more threads busy."""
COPY_BYTES = 256 << 20
BYTES_PER_DOUBLE = 8
VISIT_S = 0.05
GIGA = 1e9

NUMPY_FP32 = "fp32 by numpy"
BY_TORCH = "{} by torch"
COPY, READ = "copy", "read"
ALWAYS = (NUMPY_FP32, COPY, READ)
"""What needs no library but numpy."""


class PeakRequest(Document):
    """What the child measures: pieces of work, for some seconds in all.

    Each is visited once, however long that takes.
    """

    threads: int
    pieces: tuple[str, ...]
    seconds: float


class PeakRun(RememberedRun):
    """The most that each piece of work reached: GFLOP/s or GB/s.

    ``disturbed`` says what others took of the CPUs meanwhile, where that was much.
    """

    figures: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]
    disturbed: str | None = None


@dataclass(frozen=True)
class Work:
    """One call of a piece of work, and how much it does: FLOPs or bytes."""

    piece: str
    amount: float
    call: Callable[[], object]


def main() -> None:
    """Read a request from standard input, write the run to the path in the first argument."""
    die_with_parent()
    request = PeakRequest.model_validate_json(sys.stdin.read())
    cpus = usable_cpus()
    works = _works(request)
    before = read_activity(cpus)
    figures = most_of(works, request.seconds)
    activity = between(before, read_activity(cpus))
    rounded = {piece: float(f"{figure:.4g}") for piece, figure in figures.items()}
    run = PeakRun(figures=rounded, disturbed=_disturbed(activity, len(cpus)))
    finish(run.model_dump_json())


def torch_pieces(precisions: Sequence[str]) -> tuple[str, ...]:
    """The pieces of work that need torch."""
    return tuple(BY_TORCH.format(precision) for precision in precisions)


def most_of(works: Sequence[Work], seconds: float) -> dict[str, float]:
    """The most that each piece reached, in thousand millions a second.

    All of them are visited once, then again in random order until the time is over.
    """
    least_s: dict[Work, float] = {}
    end = perf_counter() + seconds
    in_order = list(works)
    while not least_s or perf_counter() < end:
        random.shuffle(in_order)
        for work in in_order:
            took_s = _visit(work)
            least_s[work] = min(took_s, least_s.get(work, took_s))
    most: dict[str, float] = {}
    for work, took_s in least_s.items():
        figure = work.amount / took_s / GIGA
        most[work.piece] = max(figure, most.get(work.piece, 0.0))
    return most


def _visit(work: Work) -> float:
    """The fastest call of a short visit, in seconds."""
    work.call()  # the first wakes the threads and touches memory
    least_s = float("inf")
    end = perf_counter() + VISIT_S
    while True:
        start = perf_counter()
        work.call()
        now = perf_counter()
        least_s = min(least_s, now - start)
        if now >= end:
            return least_s


def _works(request: PeakRequest) -> list[Work]:
    """The pieces that were asked for, in all their sizes; of torch none where it is missing."""
    makers: Mapping[str, Callable[[], list[Work]]] = {
        NUMPY_FP32: _numpy_products,
        BY_TORCH.format("fp32"): lambda: _torch_products("fp32", request.threads),
        BY_TORCH.format("bf16"): lambda: _torch_products("bf16", request.threads),
        BY_TORCH.format("int8"): lambda: _int8_products(request.threads),
        COPY: lambda: [_copy(request.threads)],
        READ: lambda: [_read(request.threads)],
    }
    works = []
    for piece in request.pieces:
        works += makers[piece]()
    return works


def _flops(size: int) -> float:
    """A product of two n x n matrices is n^3 multiply-adds, which are two FLOPs each."""
    return 2.0 * size**3


def _numpy_products() -> list[Work]:
    works = []
    for size in MATRIX_SIZES:
        matrix = np.random.default_rng(0).standard_normal((size, size)).astype(np.float32)
        works.append(Work(NUMPY_FP32, _flops(size), partial(np.matmul, matrix, matrix)))
    return works


def _torch_products(precision: str, threads: int) -> list[Work]:
    import torch

    torch.set_num_threads(threads)
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[precision]
    piece = BY_TORCH.format(precision)
    works = []
    for size in MATRIX_SIZES:
        matrix = torch.randn(size, size).to(dtype)
        works.append(Work(piece, _flops(size), partial(torch.matmul, matrix, matrix)))
    return works


def _int8_products(threads: int) -> list[Work]:
    """Products of 8-bit integers summed in 32 bits; none where this torch has none on the CPU."""
    import torch

    torch.set_num_threads(threads)
    piece = BY_TORCH.format("int8")
    works = []
    for size in MATRIX_SIZES:
        matrix = torch.randint(-127, 128, (size, size), dtype=torch.int8)
        try:
            torch._int_mm(matrix, matrix)
        except (AttributeError, RuntimeError):  # before torch 2.4 on a CPU
            return []
        works.append(Work(piece, _flops(size), partial(torch._int_mm, matrix, matrix)))
    return works


def _copy(threads: int) -> Work:
    """Bytes read plus bytes written, every thread copying its own part."""
    source = np.ones(COPY_BYTES // BYTES_PER_DOUBLE)
    target = np.empty_like(source)
    sources = np.array_split(source, threads)
    targets = np.array_split(target, threads)
    pool = ThreadPoolExecutor(threads)

    def copy() -> object:
        return list(pool.map(np.copyto, targets, sources))  # the list waits for all of them

    return Work(COPY, 2.0 * COPY_BYTES, copy)


def _read(threads: int) -> Work:
    """Bytes read, every thread adding up its own part."""
    parts = np.array_split(np.ones(COPY_BYTES // BYTES_PER_DOUBLE), threads)
    pool = ThreadPoolExecutor(threads)

    def add_up() -> object:
        return list(pool.map(np.sum, parts))

    return Work(READ, float(COPY_BYTES), add_up)


def _disturbed(activity: Activity, cpus: int) -> str | None:
    """What others took meanwhile, in words, when it is more than an idle system's own work."""
    foreign = activity.foreign_cpu_share or 0.0
    if foreign <= allowed_foreign_share(cpus, activity.share_resolution):
        return None
    return f"other processes took {foreign:.0%} of the CPUs"


if __name__ == "__main__":
    main()
