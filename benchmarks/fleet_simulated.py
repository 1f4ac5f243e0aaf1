"""A fleet that is made up, driven by the real placement: 10,000 cells on 500 nodes, with failures.

The nodes carry three profiles of unlike sizes and are not equally fast. One in ten dies for good at
some moment, as many are away for a while, some are late by a factor, and one cell in a hundred is
lost without its node. Launch times are made up; nothing is measured and no clock is waited for.

What is looked at: every cell is finished once or given up with its causes, none on two nodes at
once, and the time that all took, beside the *bound*: the moment at which the slowest group of nodes
could have done its cells, had its nodes (as long as they lived, each at its own pace) shared them
without a gap, with nothing lost.

    python -m benchmarks.fleet_simulated [--cells 10000] [--nodes 500] [--seed 0]

Exit code 1 where anything is lost or the time is over the bound by more than 10 %.
"""

from __future__ import annotations

import argparse
import heapq
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from deploybench.fleet.driving import Reply, Watching, drive
from deploybench.fleet.placement import Assignment, GivenUp, Lost, Node, Placement, Task

ALLOWED = 1.10
PROFILES = {"xeon": 0.5, "rtx3090": 0.3, "k80": 0.2}
"""The share of the nodes that carry it, and, times what fits, of the cells."""
MEAN_CELL_S = 60.0
DYING, AWAY, SLOW = 0.10, 0.10, 0.05
LOST_ALONE = 0.01
SLOWNESS = 1.5


@dataclass
class Life:
    """When a node lives, [(from, to)], and how long it takes for what takes others 1."""

    node: str
    profile: str
    pace: float
    spans: list[tuple[float, float]]

    def alive(self, now_s: float) -> str | None:
        """Its name in the fleet at that moment; a node that comes back has another."""
        for number, (first, last) in enumerate(self.spans):
            if first <= now_s < last:
                return f"{self.node}.{number}"
        return None

    def work_until(self, now_s: float) -> float:
        """What it could have done by then, in seconds of a node of pace 1."""
        lived = 0.0
        for first, last in self.spans:
            lived += max(0.0, min(last, now_s) - first)
        return lived / self.pace


@dataclass
class Simulation:
    """The cluster; ``lengths`` are what each task really takes, in seconds at pace 1."""

    lives: Sequence[Life]
    lengths: dict[str, float]
    generator: random.Random
    clock_s: float = 0.0
    peak: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    on_node: dict[str, str] = field(default_factory=dict)
    running: dict[str, str] = field(default_factory=dict)
    twice_at_once: int = 0
    _events: list[tuple[float, int, Reply[str] | None]] = field(default_factory=list)
    _number: int = 0

    def __post_init__(self) -> None:
        self._life = {life.node: life for life in self.lives}
        for life in self.lives:
            for first, last in life.spans:
                for moment in (first, last):
                    if 0 < moment < float("inf"):
                        self._push(moment, None)

    def now_s(self) -> float:
        return self.clock_s

    def nodes(self) -> list[Node]:
        present = []
        for life in self.lives:
            name = life.alive(self.clock_s)
            if name is not None:
                present.append(Node(name, life.profile))
        return present

    def start(self, assignment: Assignment) -> None:
        node, task = assignment.node.name, assignment.task.name
        if node in self.on_node or task in self.running:
            self.twice_at_once += 1
        self.on_node[node], self.running[task] = task, node
        life = self._life[node.rpartition(".")[0]]
        takes_s = self.lengths[task] * life.pace
        if self.generator.random() < LOST_ALONE:
            at = self.clock_s + takes_s * self.generator.random()
            self._push(at, Reply(assignment, None, "the worker was killed"))
        else:
            self._push(self.clock_s + takes_s, Reply(assignment, f"record of {task}"))

    def stop(self, assignment: Assignment) -> None:
        self.gone(assignment)

    def gone(self, attempt: Assignment | Lost) -> None:
        """Neither the node nor the task is busy with the other any more."""
        if self.on_node.get(attempt.node.name) == attempt.task.name:
            del self.on_node[attempt.node.name]
            del self.running[attempt.task.name]

    def replies(self, wait_s: float) -> list[Reply[str]]:
        """The clock jumps to the next thing that happens."""
        if not self._events:
            self.clock_s += wait_s
            return []
        self.clock_s, _, reply = heapq.heappop(self._events)
        if reply is None:
            return []
        node = reply.assignment.node.name
        if self._life[node.rpartition(".")[0]].alive(self.clock_s) != node:
            return []  # the dead say nothing
        self.gone(reply.assignment)
        return [reply]

    def _push(self, at_s: float, reply: Reply[str] | None) -> None:
        self._number += 1
        heapq.heappush(self._events, (at_s, self._number, reply))


@dataclass(frozen=True)
class Result:
    """What came of one simulated fleet run; seconds are made up."""

    cells: int
    nodes: int
    finished: int
    given_up: tuple[GivenUp, ...]
    repeated: int
    twice_at_once: int
    losses: int
    took_s: float
    bound_s: float
    bound_by: str

    @property
    def over_bound(self) -> float:
        return self.took_s / self.bound_s

    @property
    def holds(self) -> bool:
        accounted = self.finished + len(self.given_up) == self.cells
        once = not self.repeated and not self.twice_at_once
        return accounted and once and self.over_bound <= ALLOWED


def simulate(cells: int, nodes: int, seed: int) -> Result:
    """One fleet run with the real placement."""
    generator = random.Random(seed)
    lives = _lives(nodes, MEAN_CELL_S * cells / nodes, generator)
    tasks, lengths = _tasks(cells, generator)
    cluster = Simulation(lives, lengths, generator)
    placement = Placement(tasks)
    finished: Counter[str] = Counter()
    given_up: list[GivenUp] = []
    losses: list[Lost] = []

    def lose(lost: Lost) -> None:
        losses.append(lost)
        cluster.gone(lost)

    def finish(assignment: Assignment, record: str) -> None:
        assert record == f"record of {assignment.task.name}"
        finished[assignment.task.name] += 1

    drive(placement, cluster, Watching(finish, given_up.append, lost=lose))
    bound_s, bound_by = _bound(lives, tasks, lengths)
    return Result(
        cells=cells,
        nodes=nodes,
        finished=len(finished),
        given_up=tuple(given_up),
        repeated=sum(count - 1 for count in finished.values()),
        twice_at_once=cluster.twice_at_once,
        losses=len(losses),
        took_s=cluster.clock_s,
        bound_s=bound_s,
        bound_by=bound_by,
    )


def _lives(nodes: int, about_s: float, generator: random.Random) -> list[Life]:
    """The nodes of a run that takes about so long."""
    lives = []
    for number in range(nodes):
        profile = _profile_of(number / nodes)
        pace = generator.uniform(0.95, 1.05)
        if generator.random() < SLOW:
            pace *= SLOWNESS
        spans = [(0.0, float("inf"))]
        fate = generator.random()
        if fate < DYING:
            spans = [(0.0, generator.uniform(0.0, about_s))]
        elif fate < DYING + AWAY:
            left = generator.uniform(0.0, 0.8 * about_s)
            back = left + generator.uniform(0.05, 0.2) * about_s
            spans = [(0.0, left), (back, float("inf"))]
        lives.append(Life(f"n{number}", profile, pace, spans))
    return lives


def _tasks(cells: int, generator: random.Random) -> tuple[list[Task], dict[str, float]]:
    """Cells of 20 to 180 s, by what is known beforehand (the budget); what each takes is up to
    30 % less, and now and then more."""
    tasks, lengths = [], {}
    for number in range(cells):
        expected_s = generator.choice((20.0, 40.0, 60.0, 60.0, 60.0, 120.0))
        task = Task(f"c{number}", _profile_of(number / cells), expected_s)
        tasks.append(task)
        lengths[task.name] = expected_s * generator.uniform(0.7, 1.1)
    return tasks, lengths


def _profile_of(share: float) -> str:
    """The profile at that place of a row in which each has its share."""
    for profile, width in PROFILES.items():
        if share < width - 1e-12:
            return profile
        share -= width
    return profile


def _bound(
    lives: Sequence[Life], tasks: Sequence[Task], lengths: dict[str, float]
) -> tuple[float, str]:
    """The moment at which the last group could have been done, and which group that is."""
    bounds = {}
    for profile in PROFILES:
        work_s = sum(lengths[task.name] for task in tasks if task.profile == profile)
        group = [life for life in lives if life.profile == profile]
        low, high = 0.0, 1e9
        while high - low > 1e-6 * high:
            middle = (low + high) / 2
            if sum(life.work_until(middle) for life in group) < work_s:
                low = middle
            else:
                high = middle
        bounds[profile] = high
    slowest = max(bounds, key=lambda profile: bounds[profile])
    return bounds[slowest], slowest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--nodes", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.perf_counter()
    result = simulate(asked.cells, asked.nodes, asked.seed)
    print(
        f"{result.cells} cells on {result.nodes} nodes (simulated): {result.finished} finished, "
        f"{len(result.given_up)} given up with their causes, {result.losses} attempts lost"
    )
    print(f"measured twice: {result.repeated}; on two nodes at once: {result.twice_at_once}")
    print(
        f"took {result.took_s:.0f} s of made-up time, {100 * (result.over_bound - 1):.1f} % over "
        f"the bound of {result.bound_s:.0f} s that {result.bound_by} sets"
    )
    print(f"the placement itself: {time.perf_counter() - began:.1f} s")
    sys.exit(0 if result.holds else 1)


if __name__ == "__main__":
    main()
