"""What is written to disk: documents that are checked when they are read and never change."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from deploybench.errors import DeployBenchError

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

    Raises DeployBenchError that names the first field that is wrong.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        raise DeployBenchError(
            f"{origin} does not read as {what}: {first_error(error)}",
            expected=expected,
            action=action,
        ) from None


def first_error(error: ValidationError) -> str:
    """The first field that is wrong, and why: ``cell.batch: Input should be a valid integer``."""
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"]) or "the document"
    return f"{field}: {first['msg']}"
