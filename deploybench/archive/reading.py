"""Reads the sides of a comparison from plain JSON records: thousands in about a second.

Each record is read once, and of it only what a comparison needs (``lean.py``). From two thousand
files on the work is shared among the cores of this machine.
"""

from __future__ import annotations

import gc
import multiprocessing
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deploybench.archive.extra import leave_pandas_out, needed
from deploybench.archive.lean import LeanRecord, read_lean
from deploybench.archive.places import LocalPlace, Place
from deploybench.archive.sides import sides_table
from deploybench.children.inherited import SLEEPER
from deploybench.errors import DeployBenchError
from deploybench.hardware.quotas import affinity

if TYPE_CHECKING:
    import pyarrow

FEWEST_FOR_MORE = 2000
"""To start a process takes as long as to read some hundred records."""
MOST_PROCESSES = 8


@dataclass(frozen=True)
class SidesRead:
    """The sides, and of each file that did not read, why."""

    table: pyarrow.Table
    problems: list[DeployBenchError] = field(default_factory=list)


def read_sides(places: Sequence[Place]) -> list[SidesRead]:
    """The sides of all records of each place. Raises DeployBenchError where there is nothing."""
    needed("pyarrow")
    paths = [place.json_files() for place in places]
    processes = min(len(affinity()), MOST_PROCESSES)
    # A fork is quick, but only Linux's is safe, and only while no other thread may hold a lock.
    can_fork = sys.platform == "linux" and all(map(_holds_no_lock, threading.enumerate()))
    all_here = all(isinstance(place, LocalPlace) for place in places)
    if sum(map(len, paths)) < FEWEST_FOR_MORE or processes == 1 or not can_fork or not all_here:
        return [_read_some(place, some) for place, some in zip(places, paths, strict=True)]
    share = -(-sum(map(len, paths)) // processes)
    shares = []
    for number, some in enumerate(paths):
        shares += [(number, some[start : start + share]) for start in range(0, len(some), share)]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context, leave_pandas_out) as pool:
        asked = [places[number] for number, _ in shares]
        read = list(pool.map(_read_some, asked, [some for _, some in shares]))
    whole = []
    for number, place in enumerate(places):
        parts = [part for (of, _), part in zip(shares, read, strict=True) if of == number]
        whole.append(_together(parts or [_read_some(place, [])]))
    return whole


def _holds_no_lock(thread: threading.Thread) -> bool:
    """Whether a fork beside that thread is safe: this one, and the one that sleeps."""
    return thread is threading.current_thread() or thread.name == SLEEPER


def _together(parts: Sequence[SidesRead]) -> SidesRead:
    table = needed("pyarrow").concat_tables([part.table for part in parts])
    return SidesRead(table, [problem for part in parts for problem in part.problems])


def _read_some(place: Place, paths: Sequence[str]) -> SidesRead:
    problems: list[DeployBenchError] = []
    # Nothing here is a cycle: to look for some among thousands of records takes a third of the
    # time.
    collects = gc.isenabled()
    gc.disable()
    try:
        return SidesRead(sides_table(_records(place, paths, problems)), problems)
    finally:
        if collects:
            gc.enable()


def _records(
    place: Place, paths: Sequence[str], problems: list[DeployBenchError]
) -> Iterator[tuple[str, LeanRecord]]:
    for path in paths:
        try:
            yield path, read_lean(place.read(path), place.address(path))
        except DeployBenchError as error:
            problems.append(error)
