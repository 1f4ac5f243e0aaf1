"""A profile as TOML text, which :func:`deploybench.hardware.profile.parse_profile` reads back as
the same profile."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from deploybench.hardware.profile import Profile

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


def profile_toml(profile: Profile, remarks: tuple[str, ...] = ()) -> str:
    """The text of a profile file; ``remarks`` stand above it as comments. What is as it would be
    anyway is left out."""
    lines = [f"# {line}" for remark in remarks for line in remark.splitlines()]
    content = profile.model_dump(mode="json", exclude_defaults=True)
    return "\n".join([*lines, *_table(content, "")]) + "\n"


def _table(content: Mapping[str, Any], path: str) -> Iterator[str]:
    """Values first, tables after them: what follows a table's header belongs to it."""
    tables = {name: value for name, value in content.items() if isinstance(value, dict)}
    for name, value in content.items():
        if name not in tables:
            yield f"{_key(name)} = {_value(value)}"
    for name, value in tables.items():
        inner = f"{path}.{_key(name)}" if path else _key(name)
        yield from ("", f"[{inner}]", *_table(value, inner))


def _key(name: str) -> str:
    return name if BARE_KEY.fullmatch(name) else _text(name)


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(item) for item in value)}]"
    return _text(value) if isinstance(value, str) else repr(value)


def _text(text: str) -> str:
    """JSON's escapes are TOML's, but for DEL, which TOML wants escaped; a pattern's backslashes
    stay as they are."""
    if "\\" in text and "'" not in text and text.isprintable():
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")
