"""Folders of records, and packs, for tests of what is read in bulk."""

from __future__ import annotations

import random
from pathlib import Path

from deploybench.archive.packing import pack_results
from deploybench.archive.places import place_of
from deploybench.results.record import Record
from deploybench.results.store import write_record
from tests import comparisons

LAUNCHES = 8


def steady(ms: float, run: str, seed: int = 0, **changes: object) -> Record:
    """A record of launches around ``ms``, VALID."""
    draw = random.Random(f"{seed}{run}{sorted(changes.items(), key=str)}")
    medians = [ms * draw.lognormvariate(0, 0.004) for _ in range(LAUNCHES)]
    return comparisons.record(medians, run, **changes)  # type: ignore[arg-type]


def written(folder: Path, *records: Record) -> Path:
    """The records in the folders of their runs."""
    for record in records:
        write_record(record, folder / record.run)
    return folder


def packed(folder: Path, pack: Path) -> Path:
    pack_results(place_of(str(folder)), place_of(str(pack)))
    return pack
