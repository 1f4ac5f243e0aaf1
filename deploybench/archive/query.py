"""SQL over results, by DuckDB: reading, and nothing else.

The views ``rows``, ``quality`` and ``imported`` (``columns.py``) stand over every place that was
named. ``database.py`` says what SQL may do.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from deploybench.archive.database import (
    Limits,
    check_statement,
    closed_to_files,
    database_of,
    directory_of,
    listed,
    reach,
    within,
)
from deploybench.archive.gathering import Stored, gather, read_stored
from deploybench.archive.layout import VIEWS, check_pack, finished_parts
from deploybench.archive.places import Place
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    import duckdb

AT_ONCE = 10_000
"""Rows of an answer that are held at a time."""


@dataclass(frozen=True)
class Opened:
    """A database over some places; ``problems`` says of each file that does not read, why."""

    connection: duckdb.DuckDBPyConnection
    problems: list[DeployBenchError] = field(default_factory=list)


@dataclass(frozen=True)
class Answer:
    """The columns of an answer and its rows, of which some are read at a time."""

    columns: tuple[str, ...]
    rows: Iterator[tuple[Any, ...]]
    problems: tuple[DeployBenchError, ...]


@contextmanager
def query(
    sql: str,
    places: Sequence[Place],
    limits: Limits = Limits(),  # noqa: B008 (it is frozen)
) -> Iterator[Answer]:
    """The answer to one SELECT over the results of all places.

    Raises DeployBenchError for SQL that does not read, that does more than read, or takes more than
    the limits, and where a place holds nothing.
    """
    with open_results(places, limits) as opened:
        check_statement(opened.connection, sql)
        with within(opened.connection, limits.time_s):
            cursor = opened.connection.execute(sql)
            columns = tuple(str(entry[0]) for entry in cursor.description or ())
            yield Answer(columns, _rows(cursor), tuple(opened.problems))


@contextmanager
def open_results(
    places: Sequence[Place],
    limits: Limits = Limits(),  # noqa: B008
    folders: Sequence[str] = VIEWS,
) -> Iterator[Opened]:
    """A database with a view for each of ``folders``, its access to all else ended."""
    with tempfile.TemporaryDirectory(prefix="deploybench-query-") as spill:
        connection = database_of(limits, spill)
        try:
            with within(connection, limits.time_s):
                problems = _make_views(connection, places, folders)
                closed_to_files(connection)
            yield Opened(connection, problems)
        finally:
            connection.close()


def _rows(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
    while True:
        some = cursor.fetchmany(AT_ONCE)
        if not some:
            return
        yield from some


def _make_views(
    connection: duckdb.DuckDBPyConnection, places: Sequence[Place], folders: Sequence[str]
) -> list[DeployBenchError]:
    """A view a folder over what all packs and all plain documents have of it."""
    packs = [place for place in places if place.is_pack]
    for pack in packs:
        check_pack(pack)
        reach(connection, pack)
    allowed = [directory_of(pack, folder) for pack in packs for folder in folders]
    connection.execute("SET allowed_directories = ?", [allowed])

    stored, problems = _plain_documents([place for place in places if place not in packs])
    gathered = gather(stored)
    for view in folders:
        connection.register(f"plain_{view}", gathered.table(view))
        sources = [f"SELECT * FROM plain_{view}"]
        files = [pack.address(path) for pack in packs for path in finished_parts(pack, view)]
        if files:
            sources.append(f"SELECT * FROM read_parquet({listed(files)}, union_by_name = true)")
        connection.execute(f"CREATE VIEW {view} AS {' UNION ALL BY NAME '.join(sources)}")
    return problems


def _plain_documents(places: Sequence[Place]) -> tuple[list[Stored], list[DeployBenchError]]:
    stored: list[Stored] = []
    problems: list[DeployBenchError] = []
    for place in places:
        for path in place.json_files():
            try:
                stored.append(read_stored(place, path, place.read(path)))
            except DeployBenchError as error:
                problems.append(error)
    return stored, problems
