"""Which cell goes to which node, and what becomes of cells whose node is lost. Pure: no clock, no
network, no disk; whoever drives it says what happened, and when (seconds on any clock).

A node measures one cell at a time. The longest cells start first, so that none of them is the last
one that everybody waits for. A cell that was lost with its node starts again before all others, on
a node that has not lost it yet, if there is one. After ``most_tries`` losses it is given up, with
the causes; so is a cell whose profile no node has carried for ``patience_s``. A node that loses
cell after cell gets no more, while its profile has another node; after each loss it rests.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

MOST_TRIES = 3
"""A cell that takes three nodes down would take down the fourth."""
LOSSES_IN_A_ROW = 3
PATIENCE_S = 60.0
PAUSE_S = 30.0
"""Without a new cell for a node that lost one, times those that it lost in a row: it may be dying,
and nobody knows for some seconds."""


@dataclass(frozen=True)
class Node:
    """A machine of the fleet: ``name`` is unique for as long as it lives."""

    name: str
    profile: str


@dataclass(frozen=True)
class Task:
    """One cell to measure on a node of its profile.

    ``expected_s`` orders the tasks; after ``limit_s`` on a node it counts as lost.
    """

    name: str
    profile: str
    expected_s: float = 60.0
    limit_s: float = float("inf")


@dataclass(frozen=True)
class Assignment:
    """The task starts on the node now; ``attempt`` counts from 1."""

    task: Task
    node: Node
    attempt: int


@dataclass(frozen=True)
class Lost:
    """The attempt came to nothing, and not by the fault of the cell, as far as anybody can tell."""

    task: Task
    node: Node
    cause: str


@dataclass(frozen=True)
class GivenUp:
    """The task will not be measured: ``causes`` say why, one for each attempt.

    ``homeless`` where no node carries its profile.
    """

    task: Task
    causes: tuple[str, ...]
    homeless: bool = False


@dataclass
class _Running:
    assignment: Assignment
    since_s: float


@dataclass
class _Known:
    """What is known of a task that is not done."""

    order: int
    causes: list[str] = field(default_factory=list)
    lost_on: set[str] = field(default_factory=set)


class Placement:
    """The state of a fleet run. ``earlier`` are the causes by which tasks were lost before a driver
    was killed and this one went on.

    Raises ValueError for two tasks of one name.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        *,
        most_tries: int = MOST_TRIES,
        patience_s: float = PATIENCE_S,
        pause_s: float = PAUSE_S,
        earlier: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._most_tries = most_tries
        self._patience_s = patience_s
        self._pause_s = pause_s
        self._tasks = {task.name: task for task in tasks}
        if len(self._tasks) < len(tasks):
            raise ValueError("two tasks have the same name")
        self._known = {task.name: _Known(order) for order, task in enumerate(tasks)}
        for name, causes in (earlier or {}).items():
            if name in self._known:
                self._known[name].causes += causes
        self._waiting: dict[str, list[tuple[int, float, int, str]]] = defaultdict(list)
        self._running: dict[str, _Running] = {}
        self._nodes: dict[str, Node] = {}
        self._busy: dict[str, str] = {}
        """The task of each node that has one."""
        self._losses: dict[str, int] = defaultdict(int)
        """By node: how many it lost since it last finished one."""
        self._paused_until: dict[str, float] = {}
        self._homeless_since: dict[str, float] = {}
        self._given_up: list[GivenUp] = []
        for task in tasks:
            self._queue(task)

    @property
    def done(self) -> bool:
        """Whether every task is finished or given up."""
        return not self._known and not self._given_up

    @property
    def unfinished(self) -> int:
        """How many tasks wait or run."""
        return len(self._known)

    @property
    def running(self) -> list[Assignment]:
        """What is measured now."""
        return [running.assignment for running in self._running.values()]

    def seen(self, nodes: Collection[Node], now_s: float) -> list[Lost]:
        """These nodes are in the fleet now. What ran on one that is not is lost, and told."""
        present = {node.name: node for node in nodes}
        losses = []
        for name in self._busy.keys() - present.keys():
            running = self._running[self._busy[name]]
            lost = Lost(
                running.assignment.task, running.assignment.node, f"node {name} left the fleet"
            )
            self.lost(lost, now_s)
            losses.append(lost)
        self._nodes = present
        self._watch_for_homeless(now_s)
        return losses

    def assignments(self, now_s: float) -> list[Assignment]:
        """What starts now: every idle node gets the next task of its profile."""
        started = []
        for node in self._idle(now_s):
            task = self._next_for(node)
            if task is None:
                continue
            attempt = len(self._known[task.name].causes) + 1
            assignment = Assignment(task, node, attempt)
            self._running[task.name] = _Running(assignment, now_s)
            self._busy[node.name] = task.name
            started.append(assignment)
        return started

    def adopt(self, task: Task, node: Node, now_s: float) -> Assignment:
        """The task runs on the node already: a driver that is gone had started it there."""
        attempt = len(self._known[task.name].causes) + 1
        assignment = Assignment(task, node, attempt)
        self._running[task.name] = _Running(assignment, now_s)
        self._busy[node.name] = task.name
        waiting = self._waiting[task.profile]
        self._waiting[task.profile] = [entry for entry in waiting if entry[-1] != task.name]
        heapq.heapify(self._waiting[task.profile])
        return assignment

    def expects(self, assignment: Assignment) -> bool:
        """Whether a result of this very attempt is waited for: late ones are not counted."""
        running = self._running.get(assignment.task.name)
        return running is not None and running.assignment == assignment

    def finished(self, task: str) -> None:
        """The task's record is kept."""
        node = self._free(task)
        self._losses[node] = 0
        del self._known[task]

    def lost(self, lost: Lost, now_s: float) -> None:
        """The attempt came to nothing: it is tried elsewhere, or given up."""
        node = self._free(lost.task.name)
        self._losses[node] += 1
        self._paused_until[node] = now_s + self._pause_s * self._losses[node]
        known = self._known[lost.task.name]
        known.causes.append(lost.cause)
        known.lost_on.add(node)
        if len(known.causes) >= self._most_tries:
            self._give_up(lost.task)
            return
        self._queue(lost.task)

    def overdue(self, now_s: float) -> list[Assignment]:
        """What has run for longer than its limit; whoever drives stops it and says that it is
        lost."""
        late = []
        for running in self._running.values():
            if now_s - running.since_s > running.assignment.task.limit_s:
                late.append(running.assignment)
        return late

    def given_up(self) -> list[GivenUp]:
        """The tasks that were given up since this was asked last."""
        given_up, self._given_up = self._given_up, []
        return given_up

    def _queue(self, task: Task) -> None:
        known = self._known[task.name]
        # The smallest comes first: most losses, then longest, then as planned.
        entry = (-len(known.causes), -task.expected_s, known.order, task.name)
        heapq.heappush(self._waiting[task.profile], entry)

    def _free(self, task: str) -> str:
        node = self._running.pop(task).assignment.node.name
        del self._busy[node]
        return node

    def _give_up(self, task: Task, *, homeless: bool = False) -> None:
        known = self._known.pop(task.name)
        causes = tuple(known.causes)
        self._given_up.append(GivenUp(task, causes, homeless=homeless))

    def _idle(self, now_s: float) -> list[Node]:
        """Nodes without a task, the most reliable first; without those that only lose."""
        idle = [
            node
            for node in self._nodes.values()
            if node.name not in self._busy and self._paused_until.get(node.name, now_s) <= now_s
        ]
        sound = {
            node.profile
            for node in self._nodes.values()
            if self._losses[node.name] < LOSSES_IN_A_ROW
        }
        idle.sort(key=lambda node: self._losses[node.name])
        return [
            node
            for node in idle
            if self._losses[node.name] < LOSSES_IN_A_ROW or node.profile not in sound
        ]

    def _next_for(self, node: Node) -> Task | None:
        """The next task of the node's profile; one that was lost here stays for another node, while
        there is one."""
        waiting = self._waiting[node.profile]
        passed_over = []
        chosen = None
        while waiting:
            entry = heapq.heappop(waiting)
            task = self._tasks[entry[-1]]
            if self._better_elsewhere(task, node):
                passed_over.append(entry)
                continue
            chosen = task
            break
        for entry in passed_over:
            heapq.heappush(waiting, entry)
        return chosen

    def _better_elsewhere(self, task: Task, node: Node) -> bool:
        lost_on = self._known[task.name].lost_on
        if node.name not in lost_on:
            return False
        for other in self._nodes.values():
            sound = self._losses[other.name] < LOSSES_IN_A_ROW
            if other.profile == task.profile and sound and other.name not in lost_on:
                return True
        return False

    def _watch_for_homeless(self, now_s: float) -> None:
        """Give up what no node could measure for too long."""
        carried = {node.profile for node in self._nodes.values()}
        for profile, waiting in self._waiting.items():
            if profile in carried or not waiting:
                self._homeless_since.pop(profile, None)
                continue
            since_s = self._homeless_since.setdefault(profile, now_s)
            if now_s - since_s >= self._patience_s:
                for entry in sorted(waiting):
                    self._give_up(self._tasks[entry[-1]], homeless=True)
                waiting.clear()
