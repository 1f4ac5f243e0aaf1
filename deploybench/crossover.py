"""From how many tokens on does an efficient attention beat softmax? Within one run, for each runner.

The members of the fair family differ in the attention alone, so the speed-up over the softmax member at the same
image and patch size is the attention's. It is paired by round, as every speed-up within a run.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.models.zoo import FAIR, SOFTMAX
from deploybench.ratios import DEFAULT_MARGIN, Answer, Ratio, answer
from deploybench.results import Record
from deploybench.speedups import paired_speedups


@dataclass(frozen=True)
class Point:
    """One attention at one number of tokens; ``ratio`` is softmax time / its time, above 1: it is faster."""

    tokens: int
    p50_ms: float
    macs: int | None
    softmax_macs: int | None
    ratio: Ratio
    answer: Answer


@dataclass(frozen=True)
class Crossover:
    """One attention on one runner: its points, fewest tokens first, and how the softmax member did there."""

    runner: str
    precision: str
    batch: int
    attention: str
    points: tuple[Point, ...]
    softmax_ms: dict[int, float]

    @property
    def beats_from(self) -> int | None:
        """The fewest tokens from which on it was FASTER wherever it was measured; None when never."""
        faster_from = None
        for point in reversed(self.points):
            if point.answer is not Answer.FASTER:
                break
            faster_from = point.tokens
        return faster_from


def crossovers(records: Sequence[Record], margin: float = DEFAULT_MARGIN) -> list[Crossover]:
    """The crossover of each attention, runner, precision and batch that was measured beside softmax at two numbers
    of tokens or more; empty for runs that are about something else."""
    by_job: dict[tuple[str, str, int], dict[str, dict[int, Record]]] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        cell = record.cell
        if cell.model in FAIR and record.tokens is not None and record.summary is not None and record.summary.states:
            job = (cell.runner, cell.precision, cell.batch)
            by_job[job][cell.model][record.tokens] = record
    found = []
    for (runner, precision, batch), by_model in by_job.items():
        softmax = by_model.get(SOFTMAX, {})
        for attention in (name for name in FAIR if name != SOFTMAX and name in by_model):
            points = tuple(
                point
                for tokens, record in sorted(by_model[attention].items())
                if (point := _point(tokens, softmax.get(tokens), record, margin)) is not None
            )
            if len(points) > 1:
                times = {point.tokens: _p50(softmax[point.tokens]) for point in points}
                found.append(Crossover(runner, precision, batch, attention, points, times))
    return found


def _point(tokens: int, softmax: Record | None, record: Record, margin: float) -> Point | None:
    """None where both were not launched in one round and one state of the machine."""
    if softmax is None or softmax.run != record.run or not softmax.cell.same_means(record.cell):
        return None
    speedups = paired_speedups(softmax.launches, record.launches)
    if not speedups:
        return None
    ratio = speedups[0].ratio
    return Point(tokens, _p50(record), record.macs, softmax.macs, ratio, answer(ratio, margin))


def _p50(record: Record) -> float:
    """The estimate in the state of the machine that was met most."""
    assert record.summary is not None
    return record.summary.states[0].p50_ms
