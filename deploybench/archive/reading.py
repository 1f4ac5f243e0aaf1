"""Reads the sides of a comparison from plain JSON records: thousands in about a second.

Each record is read once, and of it only what a comparison needs (``lean.py``). From two thousand
files on the work is shared among the cores of this machine.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field

from deploybench.archive.lean import LeanRecord, read_lean
from deploybench.archive.places import LocalPlace, Place
from deploybench.archive.sides import COLUMNS, side_columns
from deploybench.errors import DeployBenchError
from deploybench.hardware.quotas import affinity

FEWEST_FOR_MORE = 2000
"""To start a process takes as long as to read some hundred records."""
MOST_PROCESSES = 8


@dataclass
class SidesRead:
    """The sides by column, and of each file that did not read, why."""

    columns: dict[str, list[object]] = field(default_factory=lambda: {name: [] for name in COLUMNS})
    problems: list[DeployBenchError] = field(default_factory=list)

    def add(self, other: SidesRead) -> None:
        for name, values in self.columns.items():
            values += other.columns[name]
        self.problems += other.problems


def read_sides(place: Place) -> SidesRead:
    """The sides of all records of a place. Raises DeployBenchError where there is nothing."""
    paths = place.json_files()
    processes = min(len(affinity()), MOST_PROCESSES)
    # A fork is quick, but only Linux's is safe, and only while no other thread may hold a lock.
    can_fork = sys.platform == "linux" and threading.active_count() == 1
    whole = SidesRead()
    shared_out = len(paths) >= FEWEST_FOR_MORE and processes > 1 and can_fork
    if not shared_out or not isinstance(place, LocalPlace):
        whole.add(_read_some(place, paths))
        return whole
    share = -(-len(paths) // processes)
    shares = [paths[start : start + share] for start in range(0, len(paths), share)]
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(processes, context) as pool:
        for read in pool.map(_read_some, [place] * len(shares), shares):
            whole.add(read)
    return whole


def _read_some(place: Place, paths: Sequence[str]) -> SidesRead:
    read = SidesRead()
    read.columns = side_columns(_records(place, paths, read.problems))
    return read


def _records(
    place: Place, paths: Sequence[str], problems: list[DeployBenchError]
) -> Iterator[tuple[str, LeanRecord]]:
    for path in paths:
        try:
            yield path, read_lean(place.read(path), place.address(path))
        except DeployBenchError as error:
            problems.append(error)
