"""Tables that describe images, in CSV or Parquet: their columns, and their rows as text."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import TextIOWrapper
from pathlib import Path

from deploybench.errors import DeployBenchError, unknown_name
from deploybench.plurals import counted
from deploybench.untrusted import open_regular

TABLE_SUFFIXES = (".csv", ".tsv", ".parquet")
DELIMITERS = (",", ";", "\t")
SEVERAL = "|"
"""Between the labels of a cell that holds several."""
ROWS_AT_ONCE = 4096


@dataclass(frozen=True)
class Row:
    """A row: the line on which it begins (the number of the row, in Parquet), and its cells."""

    line: int
    cells: tuple[str, ...]


@dataclass(frozen=True)
class TableFile:
    """A table on disk, read row by row each time that its rows are asked for."""

    path: Path

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns. Raises DeployBenchError for a file without any."""
        if self.path.suffix.lower() == ".parquet":
            return _parquet_columns(self.path)
        for row in _csv_rows(self.path):
            names = tuple(name.strip() for name in row.cells)
            if any(names):
                return names
            break
        raise DeployBenchError(
            f"{self.path} is empty", expected="a line with the names of columns, then the images"
        )

    @cached_property
    def nested(self) -> frozenset[int]:
        """The columns of a Parquet file whose cells are no text: structures and bytes, as images
        within the table are. Their cells are read as empty."""
        if self.path.suffix.lower() != ".parquet":
            return frozenset()
        return _nested_columns(self.path)

    def rows(self) -> Iterator[Row]:
        """The rows behind the names. Raises DeployBenchError, with the line, for a row of another
        length, and for what is no text."""
        if self.path.suffix.lower() == ".parquet":
            yield from _parquet_rows(self.path)
            return
        width = len(self.columns)
        first = True
        for row in _csv_rows(self.path):
            if first:
                first = False
                continue
            if not any(cell.strip() for cell in row.cells):
                continue
            if len(row.cells) != width:
                raise DeployBenchError(
                    f"{self.place(row)} has {counted(len(row.cells), 'cell')}",
                    expected=f"{width}, as the first line has: {', '.join(self.columns[:8])}",
                    action="put a cell that holds a comma between quotation marks",
                )
            yield row

    def place(self, row: Row, column: int | None = None) -> str:
        """The file, the line and the column, as an error says them."""
        unit = "row" if self.path.suffix.lower() == ".parquet" else "line"
        where = f"{self.path}, {unit} {row.line}"
        if column is not None:
            where += f", column '{self.columns[column]}'"
        return where

    def column(self, name: str) -> int:
        """Which column has that name. Raises DeployBenchError for none, and for more than one."""
        if name not in self.columns:
            error = unknown_name("column", name, self.columns)
            error.found = f"{self.path} has no column '{name}'"
            raise error
        if Counter(self.columns)[name] > 1:
            raise DeployBenchError(f"{self.path} has the column '{name}' more than once")
        return self.columns.index(name)


def is_table(path: Path) -> bool:
    """By its name."""
    return path.suffix.lower() in TABLE_SUFFIXES and not path.name.startswith(".")


def _csv_rows(path: Path) -> Iterator[Row]:
    """All lines of a CSV file, the first among them."""
    line = 1
    try:
        with TextIOWrapper(open_regular(path), "utf-8-sig", newline="") as stream:
            reader = csv.reader(stream, delimiter=_delimiter(path), strict=True)
            for cells in reader:
                yield Row(line, tuple(cells))
                line = reader.line_num + 1
    except UnicodeDecodeError as error:
        raise DeployBenchError(
            f"{path} is no text in UTF-8 after line {line}: {error.reason}",
            action="save it as CSV in UTF-8",
        ) from None
    except csv.Error as error:
        raise DeployBenchError(f"{path}, line {line} does not read as CSV: {error}") from None
    except OSError as error:
        raise DeployBenchError(
            f"{path} cannot be read: {error.strerror}", action="check the permissions"
        ) from None


def _delimiter(path: Path) -> str:
    """What stands most often in the first line."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    with TextIOWrapper(open_regular(path), "utf-8-sig", errors="replace") as stream:
        first = stream.readline(1 << 16)
    return max(DELIMITERS, key=first.count)


def _parquet_columns(path: Path) -> tuple[str, ...]:
    return tuple(_parquet(path).schema_arrow.names)


def _nested_columns(path: Path) -> frozenset[int]:
    from pyarrow import types

    tests = (types.is_struct, types.is_map, types.is_binary, types.is_large_binary, types.is_union)
    return frozenset(
        index
        for index, field in enumerate(_parquet(path).schema_arrow)
        if any(test(field.type) for test in tests)
    )


def _parquet_rows(path: Path) -> Iterator[Row]:
    file = _parquet(path)
    line = 0
    try:
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
            columns = [column.to_pylist() for column in batch.columns]
            for values in zip(*columns, strict=True):
                line += 1
                yield Row(line, tuple(_cell(value) for value in values))
    except (OSError, ValueError, TypeError) as error:  # pyarrow's own errors are of these kinds
        raise _damaged(path, error) from None


def _parquet(path: Path):  # type: ignore[no-untyped-def]
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise DeployBenchError(
            f"{path} is a Parquet file, and reading it needs pyarrow",
            action='pip install "deploybench[data]"',
        ) from error
    try:
        return parquet.ParquetFile(path)
    except (OSError, ValueError, TypeError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DeployBenchError:
    return DeployBenchError(
        f"{path} does not read as Parquet: {error}", action="copy or download it again"
    )


def _cell(value: object) -> str:
    """A value of Parquet as a cell of CSV has it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, float) and value != value:  # NaN: pandas' word for nothing
        return ""
    if isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        return SEVERAL.join(_cell(part) for part in value)
    if isinstance(value, (bytes, dict)):
        return ""
    return str(value)
