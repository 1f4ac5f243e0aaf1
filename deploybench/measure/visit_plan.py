"""Who is visited next. Pure: the plan is told what is known of each cell, and of the time.

A round visits every cell that takes part once, the cells of one job (one model and its sizes) next
to each other, in random order: the two sides of a speed-up are then a second or two apart. A cell
that is known is visited in every fourth round only, but to the end, so that a drift of the machine
reaches it too; the time goes to those that are not known, and all cells of a run end at about the
same width.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

FEWEST_ROUNDS = 20
"""Of fewer visits nobody can tell how dependent they are (``statistics/dependence.py``)."""
ROUNDS_OF_KNOWN = 4
ROUND_OF_SECOND = 4
CHEAP_START_S = 10.0
"""A process to compare with is started where that takes no longer. PyTorch's processes, which take
4 to 8 s to start, are those that differ most: one asked the system for 2,300 new pages a call, the
next for 5,800, and took a fifth longer."""
LARGEST_SHARE_OF_STARTS = 0.15
"""Of the budget, for the processes after each cell's first."""
MOST_PROCESSES = 8
SHIFTED = 0.01
"""Processes of one cell whose medians differ by more than this need others to judge by."""
PART_OF_PROCESSES = 0.7
"""Of the wanted half-width: as long as what processes differ by takes more, visits alone make no
interval narrow enough."""


@dataclass(frozen=True)
class VisitRule:
    """Stop when every interval is at most ``half_width`` wide (relative, half), or when
    ``budget_s`` is spent, starts of processes included."""

    half_width: float
    budget_s: float
    fewest_rounds: int = FEWEST_ROUNDS


@dataclass
class CellState:
    """What the plan knows of a cell: ``partners`` are the cells that it is compared with.

    ``known``: its intervals are narrow enough and can be trusted. ``process_shift`` is by how much
    its processes differ, beyond chance; ``process_error`` the half-width of its interval that
    follows from how they differ, and is narrower the more of them there are.
    """

    group: object
    partners: Sequence[int] = ()
    start_s: float = 0.0
    processes: int = 0
    known: bool = False
    process_shift: float = 0.0
    process_error: float = 0.0
    ended: bool = False


@dataclass
class VisitPlan:
    """The order of visits for the cells of one block."""

    rule: VisitRule
    cells: Mapping[int, CellState]
    seed: int
    spent_on_starts_s: float = 0.0
    _generator: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self._generator = random.Random(self.seed)

    def done(self, number: int) -> bool:
        """Whether every cell that lives is known, before round ``number``."""
        alive = [cell for cell in self.cells.values() if not cell.ended]
        return number >= self.rule.fewest_rounds and all(cell.known for cell in alive)

    def round(self, number: int) -> list[int]:
        """The cells of round ``number`` (from 0), in their order; empty when nobody lives."""
        wanted = self._wanted()
        for index, cell in self.cells.items():
            if not cell.ended and number % ROUNDS_OF_KNOWN == 0:
                wanted.add(index)
        groups: dict[object, list[int]] = {}
        for index in sorted(wanted):
            groups.setdefault(self.cells[index].group, []).append(index)
        members = list(groups.values())
        order = []
        for group in self._generator.sample(members, len(members)):
            order += self._generator.sample(group, len(group))
        return order

    def another_process(self, number: int) -> int | None:
        """A cell that should get one more process before round ``number``, or None: of those with
        the fewest the one that starts fastest."""
        if number < ROUND_OF_SECOND:
            return None
        wanted = self._wanted()
        allowed_s = LARGEST_SHARE_OF_STARTS * self.rule.budget_s - self.spent_on_starts_s
        candidates = []
        for index, cell in self.cells.items():
            if cell.ended or not 0 < cell.processes < MOST_PROCESSES or cell.start_s > allowed_s:
                continue
            second = cell.processes == 1 and cell.start_s <= CHEAP_START_S
            differ = cell.process_shift > SHIFTED
            too_wide = cell.process_error > PART_OF_PROCESSES * self.rule.half_width
            more = too_wide and cell.start_s <= CHEAP_START_S and index in wanted
            if second or differ or more:
                candidates.append(index)
        if not candidates:
            return None
        return min(candidates, key=lambda one: (self.cells[one].processes, self.cells[one].start_s))

    def _wanted(self) -> set[int]:
        """The cells that are not known, and those that they are compared with."""
        wanted = set()
        for index, cell in self.cells.items():
            if cell.ended or cell.known:
                continue
            wanted.add(index)
            wanted.update(partner for partner in cell.partners if not self.cells[partner].ended)
        return wanted
