"""The loop that drives a placement: nodes are asked, tasks started, replies taken, to the end.

What it drives is behind :class:`Cluster`: Ray's nodes, jobs of a batch system, or a simulation with
a clock of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from deploybench.fleet.placement import Assignment, GivenUp, Lost, Node, Placement

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
WAIT_S = 1.0
"""For replies, before the nodes are looked at again."""


@dataclass(frozen=True)
class Reply(Generic[R_co]):
    """What came of an attempt: a ``result``, or the cause by which it was lost."""

    assignment: Assignment
    result: R_co | None
    lost: str | None = None


class Cluster(Protocol[R_co]):
    """Machines that measure; the only thing that knows how they are reached."""

    def now_s(self) -> float:
        """Seconds, by the clock of whatever this is."""

    def nodes(self) -> Sequence[Node]:
        """The nodes that live."""

    def start(self, assignment: Assignment) -> None:
        """Begin to measure; returns at once. What cannot be started is a reply that says so."""

    def stop(self, assignment: Assignment) -> None:
        """End an attempt that takes too long; there is no reply to it any more."""

    def replies(self, wait_s: float) -> Sequence[Reply[R_co]]:
        """The replies since the last call, after at most so long, and as soon as there is one."""


@dataclass(frozen=True)
class Watching(Generic[R]):
    """Who is told of what happens; ``finished`` returns once the result is kept."""

    finished: Callable[[Assignment, R], None]
    given_up: Callable[[GivenUp], None]
    started: Callable[[Assignment], None] = lambda assignment: None
    lost: Callable[[Lost], None] = lambda lost: None


def drive(placement: Placement, cluster: Cluster[R], watching: Watching[R]) -> None:
    """Measure every task of the placement.

    A result is kept before the next one is taken. Replies of nodes that were given up meanwhile
    are dropped: their cell has gone elsewhere.
    """
    while not placement.done:
        for lost in placement.seen(cluster.nodes(), cluster.now_s()):
            watching.lost(lost)
        for late in placement.overdue(cluster.now_s()):
            cluster.stop(late)
            lost = Lost(
                late.task,
                late.node,
                f"no answer from node {late.node.name} within {late.task.limit_s:g} s",
            )
            placement.lost(lost, cluster.now_s())
            watching.lost(lost)
        for assignment in placement.assignments(cluster.now_s()):
            watching.started(assignment)
            cluster.start(assignment)
        for given_up in placement.given_up():
            watching.given_up(given_up)
        if placement.done:
            return
        for reply in cluster.replies(WAIT_S):
            _take(reply, placement, watching, cluster.now_s())


def _take(reply: Reply[R], placement: Placement, watching: Watching[R], now_s: float) -> None:
    task, node = reply.assignment.task, reply.assignment.node
    if not placement.expects(reply.assignment):
        return
    if reply.result is None:
        lost = Lost(task, node, reply.lost or f"node {node.name} said nothing")
        placement.lost(lost, now_s)
        watching.lost(lost)
        return
    watching.finished(reply.assignment, reply.result)
    placement.finished(task.name)
