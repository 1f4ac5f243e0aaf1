"""A database that reads results and nothing else.

What SQL may do is bounded three times: one statement that only selects; DuckDB's access to files
ended but for the folders of the packs (``allowed_directories``), with its settings locked; and
limits of memory and time.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploybench.archive.extra import needed
from deploybench.archive.places import Place, RemotePlace
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted

if TYPE_CHECKING:
    import duckdb

MEMORY_GIB = 2.0
TIME_S = 60.0
EXAMPLE = 'deploybench results query "SELECT model, runner, p50_ms FROM rows"'


@dataclass(frozen=True)
class Limits:
    """What a query may take: of memory (more goes to a temporary file), cores and time."""

    memory_gib: float = MEMORY_GIB
    threads: int | None = None
    time_s: float = TIME_S


def database_of(limits: Limits, spill: str) -> duckdb.DuckDBPyConnection:
    """A database in memory; what has no room there goes to the folder ``spill``."""
    connection: duckdb.DuckDBPyConnection = needed("duckdb").connect(
        ":memory:",
        config={
            "memory_limit": f"{limits.memory_gib:.3f}GiB",
            "temp_directory": spill,
            # A name in SQL that is none of a view would else be looked up among Python's.
            "python_enable_replacements": False,
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    if limits.threads is not None:
        connection.execute(f"SET threads = {int(limits.threads)}")
    return connection


def closed_to_files(connection: duckdb.DuckDBPyConnection) -> None:
    """End the access to all files but those of ``allowed_directories``; for good."""
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def check_statement(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Raise DeployBenchError for anything but one statement that selects."""
    database = needed("duckdb")
    try:
        statements = connection.extract_statements(sql)
    except database.Error as error:
        raise refused(error) from None
    if len(statements) != 1:
        raise DeployBenchError(
            counted(len(statements), "statement"), expected="one SELECT", action=EXAMPLE
        )
    kind = statements[0].type
    pivots = kind == database.StatementType.MULTI and sql.lstrip().lower().startswith("pivot")
    if kind != database.StatementType.SELECT and not pivots:
        raise DeployBenchError(
            f"{kind.name} is refused: results are only read",
            expected="one SELECT (also WITH, FROM, DESCRIBE, SUMMARIZE, PIVOT)",
            action=EXAMPLE,
        )


@contextmanager
def within(connection: duckdb.DuckDBPyConnection, time_s: float) -> Iterator[None]:
    """Ends what runs on the connection after that time; DuckDB's errors become words."""
    database = needed("duckdb")
    timer = threading.Timer(time_s, connection.interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    except database.InterruptException:
        raise DeployBenchError(
            f"the query took longer than {time_s:g} s",
            action="a larger --time-limit, or results pack: packs are read many times faster",
        ) from None
    except database.OutOfMemoryException as error:
        raise DeployBenchError(
            f"the query takes more memory than it may: {first_line(error)}",
            action="a larger --memory-limit",
        ) from None
    except database.Error as error:
        raise refused(error) from None
    except RecursionError:
        raise DeployBenchError("the query is nested too deeply") from None
    finally:
        timer.cancel()


def refused(error: Exception) -> DeployBenchError:
    """DuckDB's own words, and what is allowed."""
    words = " ".join(str(error).split())
    if "file system operations are disabled" in words or "is disabled through config" in words:
        return DeployBenchError(
            f"refused: {words}",
            expected="a query of the views rows, quality and imported: no other file is read or "
            "written, and nothing is installed",
            action=EXAMPLE,
        )
    return DeployBenchError(
        f"the query does not work: {words}",
        expected='DuckDB\'s SQL over the views rows, quality and imported ("DESCRIBE rows" lists '
        "the columns)",
    )


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def directory_of(pack: Place, folder: str) -> str:
    """The folder of a pack as ``allowed_directories`` takes it."""
    return pack.address(folder).rstrip("/") + "/"


def listed(texts: Sequence[str]) -> str:
    """A list of SQL's; a view takes no parameters."""
    quoted = ["'" + text.replace("'", "''") + "'" for text in texts]
    return f"[{', '.join(quoted)}]"


def reach(connection: duckdb.DuckDBPyConnection, place: Place) -> None:
    """Let the database read an object store as fsspec does: it needs no extension of its own."""
    if not isinstance(place, RemotePlace):
        return
    names = place.filesystem.protocol
    known = [names] if isinstance(names, str) else list(names)
    if not any(connection.filesystem_is_registered(name) for name in known):
        connection.register_filesystem(place.filesystem)
