"""A cluster that answers at once, in this process, and measures nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploybench.fleet.driving import Reply
from deploybench.fleet.placement import Assignment, Node
from deploybench.fleet.ticket import Answer, Refusal, Ticket
from tests.records import host, launch, record

RECORD = record([launch([1.0] * 30, number=number) for number in range(3)])
"""What every node of the made-up cluster has measured."""


def answer_to(ticket: Ticket) -> Answer:
    """The answer of a node that measured the ticket's cell, in a folder of its own."""
    cell = ticket.cell.replaced(artifact="/node/artifact", artifact_key="measured")
    if ticket.cell.artifact_key is not None:
        cell = cell.replaced(artifact_key=ticket.cell.artifact_key)
    measured = RECORD.replaced(
        profile=ticket.profile,
        cell=cell,
        command="deploybench run --artifact /node/artifact",
    )
    return Answer(ticket=ticket.name, host=host(), record=measured, folder="/node/artifact")


def refusing(ticket: Ticket) -> Answer:
    refusal = Refusal(found="this host has a Zilog", expected="a Xeon", action="buy one")
    return Answer(ticket=ticket.name, host=host(), refusal=refusal)


@dataclass
class MadeUpCluster:
    """``stops_after`` replies the driver is interrupted, as by Ctrl-C; ``loses`` says of a ticket
    why it is lost, or None."""

    tickets: Mapping[str, Ticket]
    paths: Mapping[str, Path]
    alive: list[Node]
    answers: Callable[[Ticket], Answer] = answer_to
    loses: Callable[[Ticket], str | None] = lambda ticket: None
    stops_after: int | None = None
    started: list[tuple[str, str]] = field(default_factory=list)
    clock_s: float = 0.0
    _waiting: list[Assignment] = field(default_factory=list)
    _replied: int = 0

    def now_s(self) -> float:
        return self.clock_s

    def nodes(self) -> list[Node]:
        return self.alive

    def start(self, assignment: Assignment) -> None:
        self.started.append((assignment.task.name, assignment.node.name))
        self._waiting.append(assignment)

    def stop(self, assignment: Assignment) -> None:
        self._waiting.remove(assignment)

    def replies(self, wait_s: float) -> list[Reply[Answer]]:
        self.clock_s += wait_s
        if not self._waiting:
            return []
        if self._replied == self.stops_after:
            raise KeyboardInterrupt
        self._replied += 1
        assignment = self._waiting.pop(0)
        ticket = self.tickets[assignment.task.name]
        cause = self.loses(ticket)
        if cause is not None:
            return [Reply(assignment, None, cause)]
        return [Reply(assignment, self.answers(ticket))]
