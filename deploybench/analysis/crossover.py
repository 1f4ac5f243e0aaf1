"""From how many tokens on does an efficient attention beat softmax? Within one run, for each
runner.

The members of the fair family differ in the attention alone, so the speed-up over the softmax
member at the same image and patch size is the attention's. It is paired by round, as every speed-up
within a run. Like is compared with like: one stream, host-to-host, the same runner, precision,
batch, threads and form of artifact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from deploybench.analysis.speedups import paired_speedups
from deploybench.analysis.states import same_state
from deploybench.results.cell import HOST_TO_HOST, Cell
from deploybench.results.record import Record
from deploybench.statistics.ratios import DEFAULT_MARGIN, Answer, Ratio, answer


@dataclass(frozen=True)
class AttentionFamily:
    """Models by name that differ in their attention alone; one of them is the ``softmax``
    member."""

    softmax: str
    members: tuple[str, ...]

    @property
    def others(self) -> tuple[str, ...]:
        return tuple(name for name in self.members if name != self.softmax)


@dataclass(frozen=True, order=True)
class Shape:
    """What decides the number of tokens: sizes in pixels, ``image`` as height and width."""

    tokens: int
    image: tuple[int, int]
    patch: int | None


@dataclass(frozen=True)
class Point:
    """One attention at one shape; ``ratio`` is softmax time / its time, above 1: it is faster.

    Both times are of the state of the machine (``hop_ns``) that the ratio is of.
    """

    cell: Cell
    shape: Shape
    hop_ns: float | None
    p50_ms: float
    softmax_ms: float
    macs: int | None
    softmax_macs: int | None
    ratio: Ratio
    answer: Answer


@dataclass(frozen=True)
class Crossover:
    """One attention on one runner in one run: its points, fewest tokens first."""

    run: str
    points: tuple[Point, ...]

    @property
    def cell(self) -> Cell:
        """One of its cells: they differ in their sizes alone."""
        return self.points[0].cell

    @property
    def beats_from(self) -> int | None:
        """The fewest tokens from which on it was FASTER wherever it was measured; None when
        never."""
        faster_from = None
        for tokens, points in groupby(reversed(self.points), key=lambda point: point.shape.tokens):
            if any(point.answer is not Answer.FASTER for point in points):
                break
            faster_from = tokens
        return faster_from


def crossovers(
    records: Sequence[Record], family: AttentionFamily, margin: float = DEFAULT_MARGIN
) -> list[Crossover]:
    """The crossover of each attention that was measured beside softmax at two shapes or more,
    runner by runner."""
    jobs: dict[tuple[object, ...], dict[str, dict[Shape, Record]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for record in records:
        cell = record.cell
        plain = cell.streams == 1 and cell.timing == HOST_TO_HOST
        if (
            plain
            and cell.model in family.members
            and record.tokens is not None
            and record.summary is not None
        ):
            job = (
                record.run,
                cell.runner,
                cell.device,
                cell.precision,
                cell.batch,
                cell.threads,
                cell.form,
            )
            jobs[job][cell.model][Shape(record.tokens, cell.image_size, cell.patch_size)] = record
    found = []
    for by_model in jobs.values():
        softmax = by_model.get(family.softmax, {})
        for attention in (name for name in family.others if name in by_model):
            measured = sorted(by_model[attention].items())
            points = [
                _point(shape, softmax[shape], record, margin)
                for shape, record in measured
                if shape in softmax
            ]
            known = tuple(point for point in points if point is not None)
            if len(known) > 1:
                found.append(Crossover(measured[0][1].run, known))
    return found


def _point(shape: Shape, softmax: Record, record: Record, margin: float) -> Point | None:
    """None where both were never launched in one round in one state of the machine."""
    speedups = paired_speedups(softmax.launches, record.launches)
    if not speedups or softmax.summary is None or not softmax.summary.states:
        return None
    usual = softmax.summary.states[
        0
    ].hop_ns  # the same for every attention beside it, as far as they met that state
    chosen = next(
        (speedup for speedup in speedups if same_state(speedup.hop_ns, usual)), speedups[0]
    )
    hop_ns, ratio = chosen.hop_ns, chosen.ratio
    own, other = _p50(record, hop_ns), _p50(softmax, hop_ns)
    if own is None or other is None:
        return None
    return Point(
        record.cell,
        shape,
        hop_ns,
        own,
        other,
        record.macs,
        softmax.macs,
        ratio,
        answer(ratio, margin),
    )


def _p50(record: Record, hop_ns: float | None) -> float | None:
    """The estimate in that state of the machine."""
    states = record.summary.states if record.summary else ()
    return next((state.p50_ms for state in states if same_state(state.hop_ns, hop_ns)), None)
