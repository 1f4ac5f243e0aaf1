"""Do FLOPs predict latency? The order of the models of a run by MACs, against their order by p50
latency."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

from deploybench.analysis.states import levels_of, nearest
from deploybench.data.image_size import short_text
from deploybench.hardware.devices import CPU
from deploybench.results.cell import HOST_TO_HOST
from deploybench.rows.row import Row
from deploybench.statistics.samples import kendall_tau


@dataclass(frozen=True)
class Ranking:
    """The models of one runner on one device in both orders.

    ``tau`` is Kendall's tau-b of MACs with p50.

    Of ``pairs`` of models whose MACs differ and whose times differ by more than their intervals,
    ``agreeing`` are those in which the model with fewer MACs is the faster one.
    """

    runner: str
    tau: float
    by_macs: tuple[Row, ...]
    by_time: tuple[Row, ...]
    agreeing: int
    pairs: int


def rankings(rows: Sequence[Row]) -> list[Ranking]:
    """The ranking of each runner that measured two models with different MACs or more.

    Only rows of the smallest batch, one stream, fp32 and host-to-host take part, and of them those
    of the run, device, threads and state of the machine that most models were measured in: unlike
    rows are never ranked together.
    """
    shown = [row for row in rows if row.p50_ms is not None and row.macs_per_image is not None]
    smallest = min((row.batch for row in shown), default=1)
    levels = levels_of([row.state_hop_ns for row in shown if row.state_hop_ns is not None])
    groups: dict[tuple[object, ...], dict[tuple[object, ...], Row]] = defaultdict(dict)
    for row in shown:
        if (row.batch, row.streams, row.precision, row.timing) == (
            smallest,
            1,
            "fp32",
            HOST_TO_HOST,
        ):
            state = None if row.state_hop_ns is None else nearest(levels, row.state_hop_ns)
            groups[row.runner, row.run, row.device, row.asked_threads, state][row.job] = row
    found: dict[str, Ranking] = {}
    for members in groups.values():
        ranking = _ranking(list(members.values()))
        if ranking is None:
            continue
        known = found.get(ranking.runner)
        if known is None or len(ranking.by_time) > len(known.by_time):
            found[ranking.runner] = ranking
    return list(found.values())


def _named(row: Row) -> str:
    return row.runner if row.device == CPU else f"{row.runner} on {row.device}"


def ranking_lines(rows: Sequence[Row]) -> list[str]:
    """What the table says about it: the taus in one line, and with three models or more both
    orders."""
    found = rankings(rows)
    if not found:
        return ["Kendall tau of MACs with p50 latency: n/a (needs two models with different MACs)"]
    widest = max(found, key=lambda ranking: len(ranking.by_macs))
    count = len(widest.by_macs)
    taus = ", ".join(f"{ranking.runner} {ranking.tau:+.2f}" for ranking in found)
    sized = "" if len({row.model for row in widest.by_macs}) == count else " and sizes"
    lines = [f"Kendall tau of MACs with p50 latency over {count} models{sized}: {taus}"]
    if count > 2:
        lines.append(f"MACs predict: {' < '.join(_names(widest.by_macs))}")
        lines += [
            f"{ranking.runner} gives: {_order(ranking.by_time)}; "
            f"fewer MACs were faster in {ranking.agreeing} of {ranking.pairs} pairs"
            for ranking in found
        ]
    return lines


def _ranking(rows: Sequence[Row]) -> Ranking | None:
    macs = [float(row.macs_per_image or 0) for row in rows]
    tau = kendall_tau(macs, [row.p50_ms or 0.0 for row in rows])
    if tau is None:
        return None
    by_macs = sorted(rows, key=lambda row: row.macs_per_image or 0)
    by_time = sorted(rows, key=lambda row: row.p50_ms or 0.0)
    decided = [
        (fewer, more)
        for fewer, more in combinations(by_macs, 2)
        if fewer.macs_per_image != more.macs_per_image and not _overlap(fewer, more)
    ]
    agreeing = sum((fewer.p50_ms or 0.0) < (more.p50_ms or 0.0) for fewer, more in decided)
    return Ranking(_named(rows[0]), tau, tuple(by_macs), tuple(by_time), agreeing, len(decided))


def _order(by_time: Sequence[Row]) -> str:
    """The names, fastest first; ``≈`` between two whose intervals overlap."""
    names = _names(by_time)
    text = names[0]
    for (faster, slower), name in zip(pairwise(by_time), names[1:], strict=True):
        text += f" {'≈' if _overlap(faster, slower) else '<'} {name}"
    return text


def _overlap(first: Row, second: Row) -> bool:
    """Whether the intervals of both times have a point in common; a time without an interval is a
    point."""
    (low, high), (other_low, other_high) = _ends(first), _ends(second)
    return low <= other_high and other_low <= high


def _ends(row: Row) -> tuple[float, float]:
    p50 = row.p50_ms or 0.0
    return (row.p50_low_ms or p50, row.p50_high_ms or p50)


def _names(rows: Sequence[Row]) -> list[str]:
    """The models' names; with the size, as in vit@384/16, where a model is there in several."""
    times_seen = Counter(row.model for row in rows)
    sizes = [short_text(row.image_size.split("x"), row.patch_size) for row in rows]
    return [
        row.model if times_seen[row.model] == 1 else f"{row.model}@{size}"
        for row, size in zip(rows, sizes, strict=True)
    ]
