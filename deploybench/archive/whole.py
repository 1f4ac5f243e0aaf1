"""Pairs of a bulk comparison that take the whole records: read one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from deploybench.analysis.between_runs import OtherRuns
from deploybench.analysis.comparison import Comparison, answer_of, compare_pair
from deploybench.archive.both_sides import Sides
from deploybench.results.record import Record
from deploybench.results.store import record_in

if TYPE_CHECKING:
    from deploybench.archive.comparing import BulkRequest

AT_ONCE = 200
"""Pairs whose records are held at a time."""
OTHERS = """
SELECT DISTINCT s.place, s.origin, p.rowid
FROM (SELECT * FROM baseline UNION ALL SELECT * FROM candidate) s
JOIN pairs p ON s.thing IN (p.baseline_thing, p.candidate_thing)
WHERE list_contains(?, p.rowid)
"""
OWN = """
SELECT rowid, baseline_place, baseline_origin, candidate_place, candidate_origin FROM pairs
WHERE list_contains(?, rowid)
"""


def compare_whole(sides: Sides, pairs: Sequence[int], request: BulkRequest) -> list[dict[str, Any]]:
    """The lines of these pairs, several of a pair that was measured in several states."""
    lines: list[dict[str, Any]] = []
    for start in range(0, len(pairs), AT_ONCE):
        lines += _compare_some(sides, pairs[start : start + AT_ONCE], request)
    return lines


def _compare_some(sides: Sides, pairs: Sequence[int], request: BulkRequest) -> list[dict[str, Any]]:
    connection = sides.connection
    own = connection.execute(OWN, [list(pairs)]).fetchall()
    others = connection.execute(OTHERS, [list(pairs)]).fetchall()
    wanted: dict[int, dict[str, None]] = {}
    for _, first_place, first, second_place, second in own:
        wanted.setdefault(first_place, {})[first] = None
        wanted.setdefault(second_place, {})[second] = None
    for place, origin, _ in others:
        wanted.setdefault(place, {})[origin] = None
    records: dict[tuple[int, str], Record] = {}
    for place, origins in wanted.items():
        for origin, content in sides.contents({place: list(origins)}):
            records[place, origin] = record_in(content, origin)
    lines = []
    for pair, first_place, first, second_place, second in sorted(own):
        known = [records[place, origin] for place, origin, of in others if of == pair]
        rows = compare_pair(
            records[first_place, first],
            records[second_place, second],
            allowed=request.allowed,
            others=OtherRuns(records=known, given=request.run_shift),
        )
        lines += [_line(pair, row, request.margin) for row in rows]
    return lines


def _line(pair: int, row: Comparison, margin: float) -> dict[str, Any]:
    answer, ratio = answer_of(row, margin), row.ratio
    return {
        "pair": pair,
        "status": row.status.value,
        "reason": row.reason,
        "hop_ns": row.hop_ns,
        "baseline_p50_ms": None if row.baseline is None else row.baseline.p50_ms,
        "candidate_p50_ms": None if row.candidate is None else row.candidate.p50_ms,
        "speedup": None if ratio is None else ratio.value,
        "speedup_low": None if ratio is None else ratio.low,
        "speedup_high": None if ratio is None else ratio.high,
        "speedup_coverage": None if ratio is None else ratio.coverage,
        "answer": None if answer is None else answer.value,
    }
