"""The undisturbed p50 of cells over time, and where it changes.

A series is one cell on one profile and host, with one environment and what really ran: what differs
in any of these is another series. Versions, the artifact and the clocks may change within a series:
they are what a change is explained by.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from deploybench.archive.columns import moment_of
from deploybench.archive.layout import RECORDS, SIDES, check_pack, finished_parts
from deploybench.archive.packing import read_part
from deploybench.archive.places import Place
from deploybench.archive.reading import read_sides
from deploybench.errors import DeployBenchError
from deploybench.results.record import Record
from deploybench.results.store import record_in
from deploybench.results.verdict import Verdict
from deploybench.statistics.changes import FEWEST, changes_of
from deploybench.statistics.ratios import DEFAULT_MARGIN, Ratio, unpaired_ratio

USED = (Verdict.VALID.value, Verdict.NOISY.value)
"""Verdicts whose p50 counts: of others the time is not that of the cell."""
SERIES = ("cell", "profile", "host", "hardware", "environment", "ran_precision")
NEEDED = (
    *SERIES,
    "origin",
    "run",
    "created",
    "title",
    "weights",
    "verdict",
    "own_version",
    "p50_ms",
)
NEAREST = 40
"""Records on either side of a change that its size is told from."""
CLOCK_CHANGES = 0.01
"""By how much the machine's own speed has to differ to be named beside a change."""


@dataclass(frozen=True)
class Point:
    """One record of a series. ``place`` and ``origin`` say where its document is."""

    moment: datetime
    run: str
    verdict: str
    p50_ms: float
    place: Place
    origin: str


@dataclass(frozen=True)
class Step:
    """By how much the p50 changed: new over old, above 1 it became slower."""

    factor: float
    low: float
    high: float
    coverage: float


@dataclass(frozen=True)
class LevelChange:
    """A change of level: the ``point`` (its ``index`` in the series) is most likely the first of
    the new one; the last that is surely of the old level is ``before``, and the first that is
    surely of the new one ``after``.

    ``p`` is the share of permuted series that look as changed; ``beside`` says what else changed
    between ``before`` and ``after``, a difference a line.
    """

    index: int
    point: Point
    before: Point
    after: Point
    step: Step
    p: float
    beside: tuple[str, ...]


@dataclass(frozen=True)
class Series:
    """One cell over time. ``points`` are those that count, oldest first; ``left_out`` says how many
    records do not, by their verdict."""

    title: str
    weights: str
    profile: str
    host: str
    environment: str | None
    points: tuple[Point, ...]
    changes: tuple[LevelChange, ...]
    small: int = 0
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def enough(self) -> bool:
        """Whether a change could have been found at all."""
        return len(self.points) >= FEWEST


@dataclass(frozen=True)
class History:
    """The series that were asked for; ``problems`` says of each file that does not read, why."""

    series: tuple[Series, ...]
    problems: tuple[DeployBenchError, ...]


def history_of(
    places: Sequence[Place], cell: str | None = None, margin: float = DEFAULT_MARGIN
) -> History:
    """The series of the cells whose title, weights, profile or host has the words ``cell``.

    Changes smaller than ``margin`` are counted and not told. Raises DeployBenchError where there is
    no record, or none of such a cell.
    """
    lines, problems = _lines_of(places)
    grouped: dict[tuple[object, ...], list[tuple[Place, dict[str, Any]]]] = {}
    titles: set[str] = set()
    for place, line in lines:
        titles.add(str(line["title"]))
        if cell is None or _names(line, cell):
            grouped.setdefault(tuple(line[name] for name in SERIES), []).append((place, line))
    if not grouped:
        known = ", ".join(sorted(titles)[:5])
        raise DeployBenchError(
            f"no record is of a cell {cell!r}" if cell else "there is no record of a timed cell",
            expected=f"words of a cell's title: {known}" if known else "records of deploybench run",
            action='deploybench results query "SELECT DISTINCT model, runner, batch FROM rows"',
        )
    series = [_series_of(members, margin) for members in grouped.values()]
    series.sort(key=lambda one: (not one.changes, -len(one.points), one.title, one.host))
    return History(tuple(series), tuple(problems))


def step_of(times_ms: Sequence[float], index: int, begin: int, end: int) -> Step | None:
    """The size of a change at ``index`` between the changes before and after it.

    The median of all ratios of a time after it and one before it, with the interval of the rank-sum
    test (Hodges and Lehmann 1963): each time is of another run, so the shift of runs is in it.
    """
    before = times_ms[max(begin, index - NEAREST) : index]
    after = times_ms[index : min(end, index + NEAREST)]
    ratio: Ratio | None = unpaired_ratio(after, before)
    if ratio is None:
        return None
    return Step(ratio.value, ratio.low, ratio.high, ratio.coverage)


def _names(line: Mapping[str, Any], words: str) -> bool:
    """Whether the words stand in what the cell is called, as whole words and in their order."""
    names = (line["title"], line["weights"], line["profile"], line["host"])
    there = iter(" ".join(str(name) for name in names if name).lower().split())
    # Each word is looked for after the one before it: the iterator goes on from there.
    return all(word in there for word in words.lower().split())


def _lines_of(
    places: Sequence[Place],
) -> tuple[list[tuple[Place, dict[str, Any]]], list[DeployBenchError]]:
    """The sides of all records; one that lies in two places counts once."""
    plain = [place for place in dict.fromkeys(places) if not place.is_pack]
    problems: list[DeployBenchError] = []
    found: dict[tuple[object, ...], tuple[Place, dict[str, Any]]] = {}
    for place, read in zip(plain, read_sides(plain), strict=True):
        problems += read.problems
        for line in read.table.select(list(NEEDED)).to_pylist():
            found.setdefault(_key(line), (place, line))
    for place in dict.fromkeys(places):
        if not place.is_pack:
            continue
        check_pack(place)
        for part in finished_parts(place, SIDES):
            for line in read_part(place, part, list(NEEDED)).to_pylist():
                found.setdefault(_key(line), (place, line))
    return list(found.values()), problems


def _key(line: Mapping[str, Any]) -> tuple[object, ...]:
    return (line["run"], line["created"], *(line[name] for name in SERIES))


def _series_of(members: Sequence[tuple[Place, dict[str, Any]]], margin: float) -> Series:
    points: list[Point] = []
    left_out: dict[str, int] = {}
    for place, line in members:
        moment = moment_of(line["created"])
        if line["verdict"] not in USED or line["p50_ms"] is None or moment is None:
            reason = line["verdict"] if moment is not None else "without a time"
            left_out[reason] = left_out.get(reason, 0) + 1
            continue
        points.append(
            Point(moment, line["run"], line["verdict"], line["p50_ms"], place, line["origin"])
        )
    points.sort(key=lambda point: (point.moment, point.run))
    changes, small = _changes_in(points, margin)
    _, newest = members[-1]
    return Series(
        title=newest["title"],
        weights=newest["weights"],
        profile=newest["profile"],
        host=newest["host"],
        environment=newest["environment"],
        points=tuple(points),
        changes=tuple(changes),
        small=small,
        left_out=left_out,
    )


def _changes_in(points: Sequence[Point], margin: float) -> tuple[list[LevelChange], int]:
    """The changes of at least the margin, and how many others there are."""
    times = [point.p50_ms for point in points]
    found = changes_of(times)
    bounds = [0, *(change.index for change in found), len(points)]
    told, small = [], 0
    for number, change in enumerate(found, start=1):
        step = step_of(times, change.index, bounds[number - 1], bounds[number + 1])
        if step is None or 1 / (1 + margin) < step.factor < 1 + margin:
            small += 1
            continue
        before, after = points[change.earliest - 1], points[change.latest]
        told.append(
            LevelChange(
                index=change.index,
                point=points[change.index],
                before=before,
                after=after,
                step=step,
                p=change.p,
                beside=_beside(before, after),
            )
        )
    return told, small


def _beside(before: Point, after: Point) -> tuple[str, ...]:
    """What else differs between the two records."""
    try:
        first, second = _record_of(before), _record_of(after)
    except DeployBenchError as error:
        return (f"not known: {error.found}",)
    return tuple(_differences(first, second))


def _record_of(point: Point) -> Record:
    """The whole document of a point."""
    if not point.place.is_pack:
        content = point.place.read(point.origin)
        return record_in(content, point.place.address(point.origin))
    for part in point.place.parts(RECORDS):
        for entry in read_part(point.place, part, ["sha256", "json"]).to_pylist():
            if entry["sha256"] == point.origin:
                return record_in(entry["json"], point.place.address(part))
    raise DeployBenchError(f"{point.place.name} does not hold the record {point.origin[:12]}")


def _differences(before: Record, after: Record) -> Iterator[str]:
    """A line for each thing that is another one in the second record."""
    if before.cell.artifact_key != after.cell.artifact_key:
        first, second = before.cell.artifact_key or "none", after.cell.artifact_key or "none"
        yield f"artifact: {first[:12]} → {second[:12]}"
    versions = {**before.host.versions, **before.versions}
    later = {**after.host.versions, **after.versions}
    for name in sorted(versions.keys() | later.keys()):
        if versions.get(name) != later.get(name):
            yield f"{name}: {versions.get(name, 'none')} → {later.get(name, 'none')}"
    for name in ("kernel", "os", "governor", "memory_bytes", "cpu_quota", "python"):
        first, second = getattr(before.host, name), getattr(after.host, name)
        if first != second:
            yield f"{name.replace('_', ' ')}: {first} → {second}"
    yield from _clocks(before, after)


def _clocks(before: Record, after: Record) -> Iterator[str]:
    """The machine's own speed, as the canary found it: the machine changed, not the cell."""
    if before.canary is None or after.canary is None:
        return
    for name, words in (("compute_us", "own speed"), ("memory_us", "memory")):
        first, second = getattr(before.canary, name), getattr(after.canary, name)
        if first and second and abs(second / first - 1) > CLOCK_CHANGES:
            change = second / first - 1
            yield f"the machine's {words}: {first:.4g} → {second:.4g} µs ({change:+.1%})"
