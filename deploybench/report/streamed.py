"""Answers that may have millions of lines, written line by line as JSON or CSV."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import IO

from deploybench.inert import csv_cell, inert


def stream_json(columns: Sequence[str], rows: Iterable[Sequence[object]], out: IO[str]) -> None:
    """A list of objects, one a line."""
    names = distinct(columns)
    out.write("[")
    separator = "\n"
    for row in rows:
        entry = dict(zip(names, map(_plain, row), strict=True))
        # The one control code that JSON leaves as it is.
        out.write(separator + json.dumps(entry, default=str).replace("\x7f", "\\u007f"))
        separator = ",\n"
    out.write("\n]\n")


def stream_csv(columns: Sequence[str], rows: Iterable[Sequence[object]], out: IO[str]) -> None:
    """A header and a line for each row; words are only seen, and nothing is a formula."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([csv_cell(name) for name in columns])
    for row in rows:
        writer.writerow([csv_cell(_plain(value)) for value in row])


def distinct(columns: Sequence[str]) -> list[str]:
    """The names, a second one of the same with its number: SQL allows two columns of one name."""
    names: list[str] = []
    for name in columns:
        shown, number = inert(name), 1
        while shown in names:
            number += 1
            shown = f"{inert(name)}_{number}"
        names.append(shown)
    return names


def _plain(value: object) -> object:
    """A value as JSON has one: no NaN, times as ISO 8601."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, dict):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    return value
