"""Two sets of runs compared in bulk, cell by cell: what ``compare`` finds, for a million records.

Cells are joined by DuckDB, the ratios of all pairs worked out together (``many_ratios.py``). The
answers are those of ``analysis/comparison.py``: whatever takes the whole record (several states of
the machine, a launch left out, a best of the canary that the other run did not know) is read whole
and compared there. Only cells that differ in nothing are joined: unlike partners are for
``deploybench compare --allow``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from deploybench.archive.both_sides import SHIFTS, Sides, both_sides, make_pairs
from deploybench.archive.database import Limits, within
from deploybench.archive.extra import needed
from deploybench.archive.pairs import Pairs, Shifts
from deploybench.archive.places import Place
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.statistics.many_ratios import answers
from deploybench.statistics.ratios import DEFAULT_MARGIN
from deploybench.statistics.shift import FEWEST_DEGREES

LINES = """
SELECT p.title, p.weights, p.profile, p.baseline_run, p.candidate_run,
       coalesce(f.status, p.status) AS status,
       CASE coalesce(f.status, p.status) WHEN 'unlike' THEN p.why_unlike
            WHEN 'no number' THEN concat_ws('; ',
                CASE WHEN p.baseline_basis = 'none'
                     THEN 'baseline ' || p.baseline_verdict || ': ' || p.baseline_reason END,
                CASE WHEN p.candidate_basis = 'none'
                     THEN 'candidate ' || p.candidate_verdict || ': ' || p.candidate_reason END)
            ELSE coalesce(f.reason, '') END AS reason,
       f.hop_ns AS state_hop_ns,
       coalesce(f.baseline_p50_ms::DOUBLE, p.baseline_p50_ms) AS baseline_p50_ms,
       coalesce(f.candidate_p50_ms::DOUBLE, p.candidate_p50_ms) AS candidate_p50_ms,
       f.speedup, f.speedup_low, f.speedup_high, f.speedup_coverage, f.answer
FROM found f JOIN pairs p ON p.rowid = f.pair
ORDER BY {order} LIMIT {limit}
"""
LINE_COLUMNS = (
    "title",
    "weights",
    "profile",
    "baseline_run",
    "candidate_run",
    "status",
    "reason",
    "state_hop_ns",
    "baseline_p50_ms",
    "candidate_p50_ms",
    "speedup",
    "speedup_low",
    "speedup_high",
    "speedup_coverage",
    "answer",
)
FIGURES = """
SELECT status = 'compared' AS compared, both_valid, both_launches, both_visits, same_run, same_host,
       alike, COLUMNS('(baseline|candidate)_(p50|known|canary|hop|launch|probe).*')
FROM pairs ORDER BY rowid
"""
RUNS = """
SELECT count(DISTINCT run) FROM (SELECT run FROM baseline UNION ALL SELECT run FROM candidate)
"""
BY_CHANGE = "abs(ln(f.speedup)) DESC NULLS LAST, p.title"
BY_NAME = "p.title, p.weights, p.profile"


@dataclass(frozen=True)
class BulkRequest:
    """What to compare: the sides as places, and which of their records (conditions in SQL).

    ``run_shift`` is the deviation of whole runs as a share, where the user says it.
    """

    baseline: Sequence[Place]
    candidate: Sequence[Place]
    baseline_where: str = "true"
    candidate_where: str = "true"
    margin: float = DEFAULT_MARGIN
    run_shift: float | None = None
    allowed: frozenset[str] = frozenset()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class BulkComparison:
    """How many lines have which status and which answer; ``lines`` has them one by one.

    ``read_whole`` pairs took the whole records; ``problems`` says of each file that does not read,
    why.
    """

    statuses: Counter[str]
    answers: Counter[str]
    read_whole: int
    problems: tuple[DeployBenchError, ...]
    sides: Sides

    @property
    def columns(self) -> tuple[str, ...]:
        """The names in a line, in their order."""
        return LINE_COLUMNS

    def lines(self, limit: int | None = None, by_change: bool = False) -> Iterator[dict[str, Any]]:
        """The lines as data, those of the largest change first where that is asked for."""
        order = BY_CHANGE if by_change else BY_NAME
        cursor = self.sides.connection.execute(
            LINES.format(order=order, limit="ALL" if limit is None else limit)
        )
        while some := cursor.fetchmany(10_000):
            for values in some:
                yield dict(zip(LINE_COLUMNS, values, strict=True))


@contextmanager
def compare_in_bulk(
    request: BulkRequest, told: Callable[[str], None] = lambda words: None
) -> Iterator[BulkComparison]:
    """Every cell of either side. ``told`` hears what takes long.

    Raises DeployBenchError where a side has no records, or a record is on both.
    """
    conditions = (request.baseline_where, request.candidate_where)
    with both_sides(request.baseline, request.candidate, conditions, request.limits) as sides:
        make_pairs(sides, request.allowed, request.limits)
        found = _found(sides, request, told)
        sides.connection.register("found", needed("pyarrow").table(found.columns))
        yield BulkComparison(
            statuses=_counts(sides, "coalesce(f.status, p.status)"),
            answers=_counts(sides, "f.answer"),
            read_whole=found.read_whole,
            problems=tuple(sides.problems),
            sides=sides,
        )


def _counts(sides: Sides, column: str) -> Counter[str]:
    counted_by = sides.connection.execute(
        f"SELECT {column}, count(*) FROM found f JOIN pairs p ON p.rowid = f.pair "
        f"WHERE {column} IS NOT NULL GROUP BY ALL"
    )
    return Counter(dict(counted_by.fetchall()))


@dataclass
class _Found:
    """The lines that were found, by column; ``pair`` is the line of ``pairs``."""

    columns: dict[str, Any]
    read_whole: int


def _found(sides: Sides, request: BulkRequest, told: Callable[[str], None]) -> _Found:
    connection = sides.connection
    with within(connection, request.limits.time_s):
        pairs = connection.sql(FIGURES).to_arrow_table()
        runs = connection.execute(RUNS).fetchall()[0][0]
        shifts = Shifts.none_of(pairs.num_rows, request.run_shift)
        if runs > FEWEST_DEGREES:
            shifts = Shifts.of(connection.sql(SHIFTS).to_arrow_table(), request.run_shift)
    both = Pairs(pairs)
    compared = both.flags("compared")
    whole = compared & (both.takes_whole | shifts.takes_whole)
    in_bulk = compared & ~whole
    ratios = both.ratios(in_bulk, shifts)
    answered = answers(ratios, both.flags("both_valid"), request.margin).astype(object)
    answered[~in_bulk] = None
    kept = np.flatnonzero(~whole)
    columns: dict[str, Any] = {
        "pair": kept,
        "status": np.full(len(kept), None),
        "reason": np.full(len(kept), None),
        "hop_ns": np.full(len(kept), np.nan),
        "baseline_p50_ms": np.full(len(kept), np.nan),
        "candidate_p50_ms": np.full(len(kept), np.nan),
        "speedup": np.exp(ratios.centre)[kept],
        "speedup_low": np.exp(ratios.low)[kept],
        "speedup_high": np.exp(ratios.high)[kept],
        "speedup_coverage": ratios.coverage[kept],
        "answer": answered[kept],
    }
    places = np.flatnonzero(whole)
    if len(places):
        # The whole of a record is slow to import, and seldom needed.
        from deploybench.archive.whole import compare_whole

        told(f"reading the records of {counted(len(places), 'pair')} whole")
        lines = compare_whole(sides, places.tolist(), request)
        for name in columns:
            columns[name] = [*columns[name].tolist(), *(line[name] for line in lines)]
    return _Found({name: _column(values) for name, values in columns.items()}, len(places))


def _column(values: Any) -> Any:
    """A column of Arrow's, NaN and None as NULL."""
    arrow = needed("pyarrow")
    column = arrow.array(values, from_pandas=True)
    if arrow.types.is_null(column.type):
        return column.cast(arrow.string())
    return column
