"""From how many tokens on does an efficient attention beat softmax? Within one run, for each
runner.

The members of the fair family differ in the attention alone, so the speed-up over the softmax
member at the same image and patch size is the attention's. It is paired by round, as every speed-up
within a run. Like is compared with like: one stream, host-to-host, the same runner, precision,
batch, threads and form of artifact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

from deploybench.analysis.speedups import speedups_of
from deploybench.results.cell import HOST_TO_HOST, Cell
from deploybench.results.record import Record
from deploybench.statistics.levels import same_state
from deploybench.statistics.ratios import DEFAULT_MARGIN, Answer, Ratio, answer

RecordsByJob = dict[tuple[object, ...], dict[str, dict["Shape", Record]]]
"""What a job and another differ in, model, shape."""


@dataclass(frozen=True)
class AttentionFamily:
    """Models, by name, that differ in their attention alone; one is the ``softmax`` member."""

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
        """The fewest tokens from which on it was FASTER wherever it was measured; None if never."""
        faster_from = None
        # from the most tokens down, as far as every point of a number of tokens is FASTER
        for tokens, points in groupby(reversed(self.points), key=lambda point: point.shape.tokens):
            if any(point.answer is not Answer.FASTER for point in points):
                break
            faster_from = tokens
        return faster_from


def crossovers(
    records: Sequence[Record], family: AttentionFamily, margin: float = DEFAULT_MARGIN
) -> list[Crossover]:
    """The crossovers, runner by runner.

    There is one for each attention that was measured beside softmax at two shapes or more.
    """
    crossings = []
    for by_model in _records_by_job(records, family).values():
        softmax = by_model.get(family.softmax, {})
        for attention in family.others:
            points = _points(softmax, by_model.get(attention, {}), margin)
            if len(points) > 1:
                run = by_model[attention][points[0].shape].run
                crossings.append(Crossover(run, points))
    return crossings


def _records_by_job(records: Sequence[Record], family: AttentionFamily) -> RecordsByJob:
    """The records of the family that compare, by what they have in common, model and shape."""
    jobs: RecordsByJob = defaultdict(lambda: defaultdict(dict))
    for record in records:
        cell = record.cell
        if cell.model not in family.members:
            continue
        if cell.streams != 1 or cell.timing != HOST_TO_HOST:
            continue
        if record.tokens is None or record.summary is None:
            continue
        job = (
            record.run,
            cell.runner,
            cell.device,
            cell.precision,
            cell.batch,
            cell.threads,
            cell.form,
        )
        shape = Shape(record.tokens, cell.image_size, cell.patch_size)
        jobs[job][cell.model][shape] = record
    return jobs


def _points(
    softmax: Mapping[Shape, Record], attention: Mapping[Shape, Record], margin: float
) -> tuple[Point, ...]:
    """The points at the shapes that both were measured at, fewest tokens first."""
    points = []
    for shape in sorted(softmax.keys() & attention.keys()):
        point = _point(shape, softmax[shape], attention[shape], margin)
        if point is not None:
            points.append(point)
    return tuple(points)


def _point(shape: Shape, softmax: Record, record: Record, margin: float) -> Point | None:
    """None where both were never launched in one round in one state of the machine."""
    speedups = speedups_of(softmax, record)
    if not speedups or softmax.summary is None or not softmax.summary.states:
        return None
    # Softmax's most frequent state, where the two met in it: then all attentions beside it are
    # compared in one state. Else the one that they met in most.
    usual_hop_ns = softmax.summary.states[0].hop_ns
    in_usual_state = [item for item in speedups if same_state(item.hop_ns, usual_hop_ns)]
    speedup = (in_usual_state or speedups)[0]
    p50_ms = _p50_ms(record, speedup.hop_ns)
    softmax_ms = _p50_ms(softmax, speedup.hop_ns)
    if p50_ms is None or softmax_ms is None:
        return None
    return Point(
        cell=record.cell,
        shape=shape,
        hop_ns=speedup.hop_ns,
        p50_ms=p50_ms,
        softmax_ms=softmax_ms,
        macs=record.macs,
        softmax_macs=softmax.macs,
        ratio=speedup.ratio,
        answer=answer(speedup.ratio, margin),
    )


def _p50_ms(record: Record, hop_ns: float | None) -> float | None:
    """The estimate in that state of the machine."""
    if record.summary is None:
        return None
    for state in record.summary.states:
        if same_state(state.hop_ns, hop_ns):
            return state.p50_ms
    return None
