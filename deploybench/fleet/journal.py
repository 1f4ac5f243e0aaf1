"""What a fleet run keeps beside its records, so that it can be killed at any moment and resumed.

``plan.json`` holds the tickets, written before anything starts; ``journal.jsonl`` a line for every
attempt that began, was lost, or was given up. What is finished needs no line: its record is there.
A line that a kill cut short is passed over.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from deploybench.documents import Document, now, read_document
from deploybench.errors import DeployBenchError
from deploybench.files import write_whole
from deploybench.fleet.ticket import Ticket
from deploybench.untrusted import read_bytes

FOLDER = "fleet"
PLAN, JOURNAL, LOCK = "plan.json", "journal.jsonl", "lock"
Event = Literal["started", "lost", "given up"]


class Plan(Document):
    """All tickets of a fleet run, and where the files lie that they name, by SHA-256."""

    schema_version: Literal[1] = 1
    fleet: str
    created: str
    tickets: tuple[Ticket, ...]
    paths: dict[str, str]


class Line(Document):
    """One line of the journal."""

    at: str
    event: Event
    ticket: str
    node: str | None = None
    cause: str | None = None


@dataclass
class Past:
    """What drivers before this one noted. ``started`` is the node of an attempt that was neither
    lost nor given up, by ticket; ``causes`` those of the attempts that were lost; ``given_up`` the
    tickets that were at any time."""

    started: dict[str, str] = field(default_factory=dict)
    causes: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    given_up: set[str] = field(default_factory=set)


class Journal:
    """The folder of one fleet run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def lock(self) -> Path:
        """Held by the driver, so that there is one."""
        return self.folder / LOCK

    def begin(self, plan: Plan) -> None:
        """Keep the plan."""
        write_whole(self.folder / PLAN, plan.model_dump_json(indent=1))

    def plan(self) -> Plan:
        """The plan that was kept. Raises DeployBenchError where there is none that reads."""
        path = self.folder / PLAN
        try:
            content = read_bytes(path)
        except OSError as error:
            raise DeployBenchError(
                f"there is no plan of a fleet run at {path}: {error.strerror}",
                expected="the name of a fleet run that was begun",
                action="deploybench fleet run begins one, and says its name",
            ) from None
        return read_document(
            Plan,
            content,
            origin=str(path),
            what="the plan of a fleet run",
            expected="a plan of schema version 1",
            action="begin a new fleet run",
        )

    def note(
        self, event: Event, ticket: str, *, node: str | None = None, cause: str | None = None
    ) -> None:
        """Add a line, on the disk before this returns."""
        line = Line(at=now(), event=event, ticket=ticket, node=node, cause=cause)
        path = self.folder / JOURNAL
        try:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(line.model_dump_json() + "\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise DeployBenchError(
                f"{path} could not be written: {error.strerror or error}",
                action="free some space; then deploybench fleet run --resume goes on",
            ) from error

    def past(self) -> Past:
        """What was noted so far. A cell that was given up may be tried again."""
        past = Past()
        path = self.folder / JOURNAL
        if not path.is_file():
            return past
        for text in path.read_text("utf-8", errors="replace").splitlines():
            try:
                line = Line.model_validate(json.loads(text))
            except (ValueError, ValidationError):
                continue
            if line.event == "started" and line.node is not None:
                past.started[line.ticket] = line.node
            elif line.event == "lost":
                past.started.pop(line.ticket, None)
                past.causes[line.ticket].append(line.cause or "no cause")
            elif line.event == "given up":
                past.started.pop(line.ticket, None)
                past.causes.pop(line.ticket, None)
                past.given_up.add(line.ticket)
        return past


def fleet_runs(root: Path) -> list[str]:
    """The fleet runs of a workspace, oldest first."""
    return sorted(path.parent.name for path in (root / FOLDER).glob(f"*/{PLAN}"))
