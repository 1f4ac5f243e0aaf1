"""Hostile inputs that several tests give: marks, paths that are no files, records with a change."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

CRASHED = "a traceback, exit code 4"
"""What a table of attacks says of most that came before."""
FIRST_SCHEMA = Path(__file__).parents[1] / "fixtures" / "first-schema"


def attack(kind: str, attack: str, before: str, now: str) -> pytest.MarkDecorator:
    """The mark of a test that is an attack: a row of docs/attacks.md."""
    return pytest.mark.attack(kind=kind, attack=attack, before=before, now=now)


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_socket(path: Path) -> None:
    # A socket's name may have 107 bytes; those of temporary folders are longer.
    before = Path.cwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(before)


def a_folder(path: Path) -> None:
    path.mkdir()


def an_endless_file(path: Path) -> None:
    """Of a terabyte, which takes no room."""
    with path.open("wb") as stream:
        stream.truncate(1 << 40)


def record_document() -> dict[str, Any]:
    """A record as version 2 wrote it, with three launches."""
    (path,) = (FIRST_SCHEMA / "records").rglob("*torchscript*.json")
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def put(document: Any, path: Sequence[str | int], value: object) -> None:
    """Set what lies at the path; ``*`` stands for each item of a list."""
    step, *rest = path
    if step == "*":
        for item in document:
            put(item, rest, value)
    elif rest:
        put(document[step], rest, value)
    else:
        document[step] = value
