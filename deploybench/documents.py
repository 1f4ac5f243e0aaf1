"""What is written to disk: documents that are checked when they are read and never change."""

from __future__ import annotations

import json
import re
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.untrusted import MOST_BYTES, read_bytes

PERHAPS_TOO_LARGE = re.compile(rb"[0-9]{19}|[eE]\+?[0-9]{3}|NaN|Infinity")
"""What any number has that fits no double, or no 64-bit integer. Hashes and words may have it too:
where it occurs, the numbers themselves are looked at. All others are passed by in one glance."""
LARGEST_INTEGER = (1 << 64) - 1
"""Seeds have 64 bits and no sign."""
D = TypeVar("D", bound="Document")


class Document(BaseModel):
    """Base of everything that is written to disk.

    Unknown fields are refused, values never change.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    def replaced(self: D, **changes: object) -> D:
        """The same document with other values, checked like a new one.

        (``model_copy`` checks nothing.)
        """
        fields = {name: getattr(self, name) for name in type(self).model_fields}
        return type(self).model_validate({**fields, **changes})


def now() -> str:
    """The time in UTC as ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")


def read_document(
    kind: type[D], content: str | bytes, *, origin: str, what: str, expected: str, action: str
) -> D:
    """The document in a JSON text.

    ``origin`` is where the text lies and ``what`` it should be, as an error says them.

    Raises DeployBenchError that names the first field that is wrong, and for numbers that no
    computer counts with: infinity, NaN, integers of over 64 bits.
    """
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    number = _impossible_number(content)
    if number is not None:
        raise DeployBenchError(
            f"{origin} does not read as {what}: it holds the number {number}",
            expected=expected,
            action=action,
        )
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise DeployBenchError(
            f"{origin} does not read as {what}: {first_error(error)}",
            expected=expected,
            action=action,
        ) from None


def read_document_file(
    kind: type[D],
    path: Path,
    *,
    what: str,
    expected: str,
    action: str,
    most_bytes: int = MOST_BYTES,
) -> D:
    """The document in a file.

    Raises DeployBenchError as :func:`read_document`, and for what cannot be read, is no plain file
    (a pipe, a device) or larger than ``most_bytes``.
    """
    try:
        content = read_bytes(path, most_bytes)
    except OSError as error:
        raise DeployBenchError(
            f"{path} cannot be read: {error.strerror}", expected=expected, action=action
        ) from None
    return read_document(
        kind, content, origin=str(path), what=what, expected=expected, action=action
    )


def _impossible_number(content: bytes) -> str | None:
    """The first number that no field can mean, as a message says it; None without one.

    JSON itself has neither NaN nor infinity, and Python reads and writes both; ``1e999`` is one.
    """
    if not PERHAPS_TOO_LARGE.search(content):
        return None
    found: list[str] = []

    def constant(text: str) -> float:
        found.append(text)
        return 0.0

    def integer(text: str) -> int:
        # Python itself refuses to read over 4300 digits, and takes long for fewer.
        if len(text) > len(str(-LARGEST_INTEGER)) or abs(int(text)) > LARGEST_INTEGER:
            found.append(_short(text))
        return 0

    def real(text: str) -> float:
        if float(text) in (float("inf"), float("-inf")):
            found.append(_short(text))
        return 0.0

    try:
        json.loads(content, parse_constant=constant, parse_int=integer, parse_float=real)
    except (ValueError, RecursionError):
        return None  # no JSON: the reader of documents says where
    return next(iter(found), None)


def _short(number: str) -> str:
    if len(number) <= 20:
        return number
    return f"{number[:8]}… ({counted(len(number), 'character')})"


def first_error(error: ValidationError) -> str:
    """The first field that is wrong, and why: ``cell.batch: Input should be a valid integer``."""
    # Without what was found there: of a large document that would be all of it, for each field.
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "the document"
    return f"{field}: {first['msg']}"
