"""The columns of the views that are queried: the fields of the neutral rows, the unit in each name.

They follow from the rows (``rows/row.py``, ``rows/quality_row.py``): a field that is added there is
a column here.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import fields
from datetime import datetime, timezone
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from deploybench.archive.extra import needed
from deploybench.archive.layout import IMPORTED, QUALITY
from deploybench.errors import DeployBenchError
from deploybench.results.cell import CellOptions
from deploybench.rows.quality_row import QualityRow
from deploybench.rows.row import Row

if TYPE_CHECKING:
    import pyarrow

OF_THE_RECORD = ("created_utc", "month", "record")
"""Columns of every view beside those of its rows: when the record was made (UTC), the same as
``2026-11``, and the sha256 of the record's file."""
OF_A_PEER = ("tool", "tool_version", "file", "file_sha256", "not_told")
"""Of ``imported`` alone: who measured, where it was read, and what that does not tell."""


@cache
def schema_of(view: str) -> Any:
    """The Arrow schema of a view."""
    arrow = needed("pyarrow")
    of_rows = QualityRow if view == QUALITY else Row
    hints = get_type_hints(of_rows)
    columns = [
        ("created_utc", arrow.timestamp("ms")),
        ("month", arrow.string()),
        ("record", arrow.string()),
    ]
    for field in fields(of_rows):
        if hints[field.name] is CellOptions:
            option_hints = get_type_hints(CellOptions)
            columns += [(name, _arrow_type(option_hints[name])) for name in CellOptions.declared()]
        else:
            columns.append((field.name, _arrow_type(hints[field.name])))
    if view == IMPORTED:
        columns += [(name, arrow.string()) for name in OF_A_PEER]
    return arrow.schema(columns)


def table_of_rows(view: str, rows: Sequence[Mapping[str, Any]]) -> pyarrow.Table:
    """The rows as an Arrow table of the view's schema.

    Raises DeployBenchError for a number that no column holds.
    """
    schema = schema_of(view)
    columns = {}
    for name in schema.names:
        columns[name] = [_plain(row.get(name)) for row in rows]
    try:
        return needed("pyarrow").table(columns, schema=schema)
    except (ValueError, OverflowError) as error:  # Arrow's own errors are ValueErrors
        raise DeployBenchError(
            f"a record holds a number that no column does: {error}",
            expected="whole numbers of up to 64 bits",
            action="take the record out of the folder",
        ) from None


def of_the_record(created: str, origin: str) -> dict[str, object]:
    """The columns that every row of a record has; a time that is none is unknown."""
    moment = moment_of(created)
    return {
        "created_utc": None if moment is None else moment.replace(tzinfo=None),
        "month": month_of(moment),
        "record": origin,
    }


def moment_of(text: str) -> datetime | None:
    """A time as records write it (ISO 8601; UTC where it does not say); None for other texts."""
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        return None
    if moment.tzinfo is None:
        return moment.replace(tzinfo=timezone.utc)
    try:
        return moment.astimezone(timezone.utc)
    except OverflowError:  # the first day of year 1, to the east
        return None


def month_of(moment: datetime | None) -> str:
    if moment is None:
        return "unknown"
    return f"{moment:%Y-%m}"


def _plain(value: object) -> object:
    return value.value if isinstance(value, enum.Enum) else value


def _arrow_type(hint: object) -> Any:
    """The Arrow type of a field's annotation."""
    arrow = needed("pyarrow")
    kinds = [kind for kind in get_args(hint) if kind is not type(None)] or [hint]
    if kinds == [bool]:
        return arrow.bool_()
    if kinds == [int]:
        return arrow.int64()
    if kinds == [float]:
        return arrow.float64()
    # Words, the members of an enumeration, and Literal's values.
    return arrow.string()
