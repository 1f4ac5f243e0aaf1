"""The two sides of a bulk comparison as tables of a database, and their pairs.

Everything here is SQL over ``sides.py``'s columns.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from deploybench.archive.database import (
    Limits,
    check_statement,
    closed_to_files,
    database_of,
    directory_of,
    listed,
    reach,
    within,
)
from deploybench.archive.layout import RECORDS, SIDES, check_pack, finished_parts
from deploybench.archive.places import Place
from deploybench.archive.reading import SidesRead, read_sides
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    import duckdb

UNLIKE = {
    "host": "b.host <> c.host OR b.hardware <> c.hardware",
    "version": "b.own_version <> c.own_version",
    "environment": "b.environment <> c.environment",
    "precision": "b.ran_precision <> c.ran_precision",
}
"""What makes two records of one cell unlike, by the name that allows it."""
PAIRS = """
CREATE TEMP TABLE pairs AS
WITH b AS (SELECT * FROM baseline {latest_of_baseline}),
     c AS (SELECT * FROM candidate {latest_of_candidate})
SELECT coalesce(b.cell, c.cell) AS cell,
       coalesce(b.title, c.title) AS title, coalesce(b.weights, c.weights) AS weights,
       coalesce(b.model, c.model) AS model, coalesce(b.runner, c.runner) AS runner,
       coalesce(b.profile, c.profile) AS profile,
       b.run AS baseline_run, c.run AS candidate_run,
       CASE WHEN c.cell IS NULL THEN 'only in the baseline'
            WHEN b.cell IS NULL THEN 'only in the candidate'
            WHEN {unlike} THEN 'unlike'
            WHEN b.basis = 'none' OR c.basis = 'none' THEN 'no number'
            ELSE 'compared' END AS status,
       {why_unlike} AS why_unlike,
       b.p50_ms AS baseline_p50_ms, c.p50_ms AS candidate_p50_ms,
       b.verdict AS baseline_verdict, c.verdict AS candidate_verdict,
       b.reason AS baseline_reason, c.reason AS candidate_reason,
       b.place AS baseline_place, c.place AS candidate_place,
       b.origin AS baseline_origin, c.origin AS candidate_origin,
       b.thing AS baseline_thing, c.thing AS candidate_thing,
       b.basis AS baseline_basis, c.basis AS candidate_basis,
       b.hardware = c.hardware AS alike, b.host = c.host AS same_host,
       b.run = c.run AS same_run,
       b.verdict = 'VALID' AND c.verdict = 'VALID' AS both_valid,
       b.basis = 'launches' AND c.basis = 'launches' AS both_launches,
       b.basis = 'visits' AND c.basis = 'visits' AS both_visits,
       {numbers}
FROM b FULL JOIN c ON b.cell = c.cell
"""
LATEST = "QUALIFY row_number() OVER (PARTITION BY cell ORDER BY created DESC) = 1"
OF_EACH = (
    "p50_low_ms",
    "p50_high_ms",
    "known",
    "canary_threads",
    "canary_compute_us",
    "canary_memory_us",
    "hop_low_ns",
    "hop_high_ns",
    "launch_medians_ms",
    "probe_compute_us",
    "probe_memory_ms",
)
SHIFTS = """
WITH everything AS (SELECT * FROM baseline UNION ALL SELECT * FROM candidate),
times AS (
    SELECT thing, run, arg_max(ln(p50_ms), created) AS log_time
    FROM everything WHERE verdict = 'VALID' AND basis IN ('launches', 'visits')
    GROUP BY thing, run),
things AS (SELECT thing, count(*) AS runs, avg(log_time) AS mean,
                  count(*) * var_pop(log_time) AS squares
           FROM times GROUP BY thing),
-- What the time of a run is taken to be depends on the other run, where these differ.
oddities AS (
    SELECT thing,
           bool_or(basis = 'whole') OR count(DISTINCT basis) FILTER (basis <> 'none') > 1
           OR coalesce(max(hop_high_ns) > 1.4 * min(hop_low_ns), false)
           OR coalesce(max(canary_compute_us + canary_memory_us)
                       > 1.001 * min(canary_compute_us + canary_memory_us), false) AS odd
    FROM everything GROUP BY thing)
SELECT coalesce(b.runs, 0) AS baseline_runs, b.mean AS baseline_mean,
       coalesce(b.squares, 0) AS baseline_squares,
       coalesce(c.runs, 0) AS candidate_runs, coalesce(c.squares, 0) AS candidate_squares,
       p.baseline_thing = p.candidate_thing AS same_thing,
       own.log_time AS candidate_log_time,
       coalesce(bo.odd, false) OR coalesce(co.odd, false) AS odd
FROM pairs p
LEFT JOIN things b ON b.thing = p.baseline_thing
LEFT JOIN things c ON c.thing = p.candidate_thing
LEFT JOIN times own ON own.thing = p.candidate_thing AND own.run = p.candidate_run
LEFT JOIN oddities bo ON bo.thing = p.baseline_thing
LEFT JOIN oddities co ON co.thing = p.candidate_thing
ORDER BY p.rowid
"""
SAME_RECORD = """
SELECT count(*), any_value(b.run) FROM baseline b
JOIN candidate c ON b.run = c.run AND b.cell = c.cell AND b.created = c.created
"""


@dataclass(frozen=True)
class Sides:
    """The database with the tables ``baseline`` and ``candidate``, and the places behind them."""

    connection: duckdb.DuckDBPyConnection
    places: Sequence[Place]
    problems: list[DeployBenchError] = field(default_factory=list)

    def contents(self, wanted: Mapping[int, Sequence[str]]) -> Iterator[tuple[str, bytes]]:
        """The documents of these origins, by the number of their place."""
        for number, origins in wanted.items():
            place = self.places[number]
            if not place.is_pack:
                for origin in origins:
                    yield origin, place.read(origin)
                continue
            files = [place.address(path) for path in place.parts(RECORDS)]
            found = self.connection.execute(
                f"SELECT sha256, json FROM read_parquet({listed(files)}) "
                "WHERE list_contains(?, sha256)",
                [list(origins)],
            )
            yield from found.fetchall()


@contextmanager
def both_sides(
    baseline: Sequence[Place],
    candidate: Sequence[Place],
    conditions: tuple[str, str],
    limits: Limits,
) -> Iterator[Sides]:
    """The sides of all records of these places for which the conditions hold."""
    # Plain records first: they are read by forks, which begin before there are other threads.
    places = list(dict.fromkeys((*baseline, *candidate)))
    plain_places = [place for place in places if not place.is_pack]
    plain = dict(zip(plain_places, read_sides(plain_places), strict=True))
    with tempfile.TemporaryDirectory(prefix="deploybench-compare-") as spill:
        connection = database_of(limits, spill)
        try:
            # Lines are asked for in an order of their own, and in any order they are made faster.
            connection.execute("SET preserve_insertion_order = false")
            sides = Sides(connection, places)
            with within(connection, limits.time_s):
                _make_sources(sides, plain)
                closed_to_files(connection)
            for name, of_it, condition in (
                ("baseline", baseline, conditions[0]),
                ("candidate", candidate, conditions[1]),
            ):
                numbers = ", ".join(str(places.index(place)) for place in of_it)
                sql = f"SELECT * FROM sides WHERE place IN ({numbers}) AND ({condition}\n)"
                check_statement(connection, sql)
                with within(connection, limits.time_s):
                    connection.execute(f"CREATE VIEW {name} AS {sql}")
            yield sides
        finally:
            connection.close()


def _make_sources(sides: Sides, plain: Mapping[Place, SidesRead]) -> None:
    """A view ``sides`` over all places, with the number of each line's place."""
    connection = sides.connection
    allowed, selects = [], []
    for number, place in enumerate(sides.places):
        if place in plain:
            connection.register(f"plain_{number}", plain[place].table)
            sides.problems.extend(plain[place].problems)
            selects.append(f"SELECT *, {number} AS place FROM plain_{number}")
            continue
        check_pack(place)
        reach(connection, place)
        allowed += [directory_of(place, folder) for folder in (SIDES, RECORDS)]
        files = [place.address(path) for path in finished_parts(place, SIDES)]
        if not files:
            raise DeployBenchError(
                f"{place.name} holds no record of a cell that was timed",
                action="deploybench results pack FOLDER -o PACK adds some",
            )
        selects.append(f"SELECT *, {number} AS place FROM read_parquet({listed(files)})")
    connection.execute("SET allowed_directories = ?", [allowed])
    connection.execute(f"CREATE VIEW sides AS {' UNION ALL BY NAME '.join(selects)}")


def make_pairs(sides: Sides, allowed: frozenset[str], limits: Limits) -> None:
    """The table ``pairs``: a line for each cell of either side, by its latest record.

    Raises DeployBenchError where a side is empty, or a record is on both.
    """
    connection = sides.connection
    with within(connection, limits.time_s):
        latest = {}
        for name in ("baseline", "candidate"):
            counts = f"SELECT count(*), count(DISTINCT cell) FROM {name}"
            records, cells = connection.execute(counts).fetchall()[0]
            # Where no cell is there twice, none has to be looked for: that takes seconds.
            latest[name] = LATEST if records > cells else ""
            if not records:
                raise DeployBenchError(
                    f"the {name} has no record of a cell that was timed",
                    expected="records on both sides",
                    action=f"check the place of the {name}, and its --where",
                )
        shared = connection.execute(SAME_RECORD).fetchone()
        if shared and shared[0]:
            raise DeployBenchError(
                f"{shared[0]} records of run {shared[1]} are on both sides",
                expected="two different runs",
                action="--baseline-where and --candidate-where tell two sides of one place apart: "
                "\"run = '…'\", \"created >= '2026-11'\"",
            )
        asked = {name: sql for name, sql in UNLIKE.items() if name not in allowed}
        unlike = " OR ".join(f"coalesce({sql}, false)" for sql in asked.values()) or "false"
        why = [f"CASE WHEN {sql} THEN '{name}' END" for name, sql in asked.items()]
        numbers = [
            f"{side}.{name} AS {whole}_{name}"
            for side, whole in (("b", "baseline"), ("c", "candidate"))
            for name in OF_EACH
        ]
        connection.execute(
            PAIRS.format(
                latest_of_baseline=latest["baseline"],
                latest_of_candidate=latest["candidate"],
                unlike=unlike,
                why_unlike=f"concat_ws(', ', {', '.join(why)})" if why else "''",
                numbers=", ".join(numbers),
            )
        )
