"""All records of a place, whole: one side of a comparison of two runs, wherever it lies."""

from __future__ import annotations

from collections.abc import Iterator

from deploybench.archive.packing import documents_of
from deploybench.archive.places import Place
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.provenance import is_imported
from deploybench.results.record import Record
from deploybench.results.store import NoRecordsError, record_in

MOST_RECORDS = 5000
"""Each is held with all its samples; more of them are compared in bulk."""


def records_at(place: Place) -> list[Record]:
    """The records of a folder, a pack, an object store's prefix or a revision of a repository.

    What another tool measured is none of them. Raises NoRecordsError where there is nothing, and
    DeployBenchError for a record that does not read, and for too many of them.
    """
    records = []
    for origin, content in _documents(place):
        if is_imported(content):
            continue
        records.append(record_in(content, origin))
        if len(records) > MOST_RECORDS:
            raise DeployBenchError(
                f"{place.name} holds more than {counted(MOST_RECORDS, 'record')}",
                expected="the runs that one side consists of",
                action="deploybench results compare compares thousands",
            )
    if not records:
        raise NoRecordsError(
            f"{place.name} holds no records", action="deploybench results keep writes some"
        )
    return records


def _documents(place: Place) -> Iterator[tuple[str, bytes]]:
    """Each document with the words for where it lies."""
    if place.is_pack:
        yield from documents_of(place)
        return
    for path in place.json_files():
        yield place.address(path), place.read(path)
