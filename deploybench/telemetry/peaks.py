"""The measured peaks of this host, on a thread budget: the most that any run on it reached.

These are the roofs that "% of peak" refers to: what this machine reached, not what a data sheet
says. A run looks for them again, for a second, unless another one just did, and what it finds is
remembered (per CPU model, thread budget and library versions): one run alone may have met a machine
that others slowed all the time. ``peak_work.py`` says what they are measured with.

The products by torch, whose import takes longer than all the rest, are measured again only where
they may be too low: where one run alone looked at them, or numpy's own product, which every run
measures, has been faster since than it was in the runs that had torch.

Peaks can only be too low, never too high. Those of which no run was free of other processes say so.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone

from deploybench.children.processes import run_child
from deploybench.hardware.host import Host
from deploybench.hardware.precisions import cpu_lacking
from deploybench.hardware.roof import MeasuredPeaks
from deploybench.plurals import counted
from deploybench.telemetry.canary import environment_of, gflops_of
from deploybench.telemetry.canary_memory import remembered as remembered_canary
from deploybench.telemetry.peak_work import (
    ALWAYS,
    BY_TORCH,
    COPY,
    COPY_BYTES,
    MATRIX_SIZES,
    NUMPY_FP32,
    READ,
    PeakRequest,
    PeakRun,
    torch_pieces,
)
from deploybench.telemetry.remembered import cache_path, read_runs, write_runs

FIRST_SECONDS_A_PIECE = 1.0
REFRESH_SECONDS = 1.0
REFRESH_SECONDS_WITH_TORCH = 1.5
TIME_LIMIT_S = 120.0
FRESH = timedelta(minutes=10)
"""What was looked for so lately is not looked for again: a machine's moods last for minutes."""
FEWEST_RUNS_WITH_TORCH = 2
ABOUT_AS_FAST = 0.97
"""Products by numpy that reach this share of the best are as fast as it."""
BY_PRODUCTS = ("fp32", "bf16", "int8")
"""What the peaks of arithmetic are looked for in; the others have none."""
METHOD = 5
"""Counts what was changed in the method: peaks measured otherwise are measured again."""


def measured_peaks(host: Host, threads: int) -> MeasuredPeaks | None:
    """The peaks as of all runs, with a short look at them where the last one is some time ago.

    None where nothing is known of them and the measurement fails.
    """
    path = cache_path("peaks", METHOD, host, threads, ["numpy", "torch"])
    before = read_runs(path, PeakRun)
    runs = before
    if not _fresh(before):
        this_run = _measured_now(threads, *_look(before, host))
        if this_run is not None:
            runs = (*before, this_run)
            write_runs(path, runs, _those_to_protect(runs))
    if not runs:
        return None
    peaks = peaks_of(runs, threads)
    canary = remembered_canary(host, threads)
    if canary is None:
        return peaks
    return peaks.at_least({"fp32": gflops_of(canary.compute_us, threads)})


def needs_torch(runs: Sequence[PeakRun]) -> bool:
    """Whether the products by torch may be too low.

    Few runs had them; or in all that had them the machine was slower than it can be, as numpy's own
    product tells.
    """
    with_torch = [run for run in runs if BY_TORCH.format("fp32") in run.figures]
    if len(with_torch) < FEWEST_RUNS_WITH_TORCH:
        return True
    fastest = _most(runs)[NUMPY_FP32]
    fastest_beside_torch = _most(with_torch)[NUMPY_FP32]
    return fastest_beside_torch < ABOUT_AS_FAST * fastest


def peaks_of(runs: Sequence[PeakRun], threads: int) -> MeasuredPeaks:
    """The most of all runs, in whatever order."""
    most = _most(runs)
    gflops: dict[str, float] = {}
    libraries = "numpy"
    slower = []
    for precision in BY_PRODUCTS:
        by_torch = most.get(BY_TORCH.format(precision))
        figures = [by_torch]
        if precision == "fp32":
            figures.append(most.get(NUMPY_FP32))
        found = [figure for figure in figures if figure is not None]
        if found and max(found) < gflops.get("fp32", 0.0):
            # A library that computes it in a roundabout way shows nothing of the hardware.
            slower.append(f"{precision} at {max(found):g} GFLOP/s is slower than fp32: no peak")
        elif found:
            gflops[precision] = max(found)
        if by_torch is not None:
            libraries = "the better of numpy and torch"
    disturbed = None
    if all(run.disturbed for run in runs):
        disturbed = runs[-1].disturbed
    sizes = " or ".join(f"{size} x {size}" for size in MATRIX_SIZES)
    products = f"{sizes} products by {libraries}"
    memory = f"copy and sum of {COPY_BYTES >> 20} MiB by {counted(threads, 'thread')}"
    return MeasuredPeaks(
        threads=threads,
        gflops=gflops,
        copy_gb_per_s=most.get(COPY, 0.0),
        read_gb_per_s=most.get(READ),
        method=f"the most of {counted(len(runs), 'run')}: {'; '.join([products, *slower, memory])}",
        disturbed=disturbed,
    )


def _fresh(runs: Sequence[PeakRun]) -> bool:
    """Whether the last run was just now, and nobody disturbed it."""
    if not runs or runs[-1].disturbed:
        return False
    # A date that lies ahead was written by a clock that was wrong.
    return timedelta(0) <= datetime.now(timezone.utc) - runs[-1].at < FRESH


def _look(before: Sequence[PeakRun], host: Host) -> tuple[tuple[str, ...], float]:
    """What is measured in this run, and for how many seconds in all."""
    if not needs_torch(before):
        return ALWAYS, REFRESH_SECONDS
    pieces = (*ALWAYS, *_torch_pieces_of(host))
    if not before:
        return pieces, FIRST_SECONDS_A_PIECE * len(pieces)
    return pieces, REFRESH_SECONDS_WITH_TORCH


def _measured_now(threads: int, pieces: tuple[str, ...], seconds: float) -> PeakRun | None:
    """What a child of its own reaches; None where it fails."""
    request = PeakRequest(threads=threads, pieces=pieces, seconds=seconds)
    outcome = run_child(
        "deploybench.telemetry.peak_work",
        request.model_dump_json(),
        time_limit_s=TIME_LIMIT_S,
        environment=environment_of(threads),
    )
    if outcome.reply is None:
        return None
    return PeakRun.model_validate_json(outcome.reply)


def _torch_pieces_of(host: Host) -> tuple[str, ...]:
    """What is measured by torch where it is installed."""
    if importlib.util.find_spec("torch") is None:
        return ()
    # Without the instructions for it a precision is emulated: no peak of this host.
    lacking = cpu_lacking(host.isa)
    return torch_pieces([precision for precision in BY_PRODUCTS if precision not in lacking])


def _most(runs: Sequence[PeakRun]) -> Mapping[str, float]:
    most: dict[str, float] = {}
    for run in runs:
        for piece, figure in run.figures.items():
            most[piece] = max(figure, most.get(piece, 0.0))
    return most


def _those_to_protect(runs: Sequence[PeakRun]) -> list[PeakRun]:
    """The runs that the peaks rest on, and the last one that nobody disturbed."""
    most = _most(runs)
    chosen = []
    for run in runs:
        if any(figure == most[piece] for piece, figure in run.figures.items()):
            chosen.append(run)
    chosen += [run for run in runs if run.disturbed is None][-1:]
    return chosen
