"""From documents to tables: the rows, the accuracy and the sides of many records.

A row's speed-ups are over the baseline of its own run, so the records of a run are taken together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploybench.archive.columns import of_the_record, table_of_rows
from deploybench.archive.imported import Imported, imported_row
from deploybench.archive.layout import IMPORTED, QUALITY, ROWS
from deploybench.archive.places import Place
from deploybench.provenance import is_imported
from deploybench.results.record import Record
from deploybench.results.store import record_in
from deploybench.rows.quality_row import quality_rows
from deploybench.rows.row import row_data
from deploybench.rows.rows import rows_by_record

if TYPE_CHECKING:
    import pyarrow


@dataclass(frozen=True)
class Stored:
    """A document as it lies there: where (relative to its place), its bytes, and what it says."""

    path: str
    content: bytes
    document: Record | Imported

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def run(self) -> str:
        return self.document.run if isinstance(self.document, Record) else ""


@dataclass
class Gathered:
    """Rows by view, as data."""

    rows: dict[str, list[dict[str, Any]]] = field(
        default_factory=lambda: {ROWS: [], QUALITY: [], IMPORTED: []}
    )

    def table(self, view: str) -> pyarrow.Table:
        return table_of_rows(view, self.rows[view])


def read_stored(place: Place, path: str, content: bytes) -> Stored:
    """The document in a file. Raises DeployBenchError for what is none of ours."""
    origin = place.address(path)
    if is_imported(content):
        return Stored(path, content, Imported.read(content, origin))
    return Stored(path, content, record_in(content, origin))


def gather(stored: Sequence[Stored], wanted: Mapping[str, str] | None = None) -> Gathered:
    """The rows of these documents, run by run.

    ``wanted`` names the documents (by path, with their sha256) whose rows are asked for; the others
    are there to be compared with. None asks for all, under their paths.
    """
    gathered = Gathered()
    by_run: dict[str, list[Stored]] = {}
    for one in stored:
        if isinstance(one.document, Imported):
            if wanted is None or one.path in wanted:
                origin = one.path if wanted is None else wanted[one.path]
                gathered.rows[IMPORTED].append(
                    {
                        **imported_row(one.document),
                        **of_the_record(one.document.created, origin),
                    }
                )
        else:
            by_run.setdefault(one.run, []).append(one)
    for members in by_run.values():
        _gather_run(members, wanted, gathered)
    return gathered


def _gather_run(
    members: Sequence[Stored], wanted: Mapping[str, str] | None, gathered: Gathered
) -> None:
    # Rows do not say which file they are of: records are told apart by what they are.
    origins: dict[int, str] = {}
    timed: list[Record] = []
    evaluated: list[Record] = []
    for one in members:
        record = one.document
        assert isinstance(record, Record)  # gather put the others aside
        if wanted is None or one.path in wanted:
            origins[id(record)] = one.path if wanted is None else wanted[one.path]
        (timed if record.measures == "time" else evaluated).append(record)
    for record, row in rows_by_record(timed):
        if id(record) in origins:
            gathered.rows[ROWS].append(
                {**of_the_record(record.created, origins[id(record)]), **row_data(row)}
            )
    for record, quality in zip(evaluated, quality_rows(evaluated, timed), strict=True):
        if id(record) in origins:
            gathered.rows[QUALITY].append(
                {**of_the_record(record.created, origins[id(record)]), **vars(quality)}
            )
