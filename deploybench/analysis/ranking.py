"""Do FLOPs predict latency? The order of the models of a run by MACs, against their order by p50
latency."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from deploybench.analysis.findings import Finding
from deploybench.analysis.states import levels_of, nearest
from deploybench.results.cell import HOST_TO_HOST
from deploybench.results.verdict import Verdict
from deploybench.statistics.samples import kendall_tau


@dataclass(frozen=True)
class Ranked:
    """One model of a ranking: its finding, with what the ranking is about known to be there."""

    finding: Finding
    macs: int
    p50_ms: float
    low_ms: float
    high_ms: float

    @property
    def trusted(self) -> bool:
        return self.finding.judgement.verdict is Verdict.VALID

    def overlaps(self, other: Ranked) -> bool:
        """Whether the intervals of both times have a point in common; a time without an interval is
        a point."""
        return self.low_ms <= other.high_ms and other.low_ms <= self.high_ms


@dataclass(frozen=True)
class Ranking:
    """The models of one runner on one device in both orders.

    ``tau`` is Kendall's tau-b of MACs with p50. Of ``pairs`` of models whose MACs differ and whose
    times differ by more than their intervals, ``agreeing`` are those in which the model with fewer
    MACs is the faster one.
    """

    runner: str
    device: str
    tau: float
    by_macs: tuple[Ranked, ...]
    by_time: tuple[Ranked, ...]
    agreeing: int
    pairs: int

    @property
    def trusted(self) -> bool:
        """Whether every time in it is VALID."""
        return all(member.trusted for member in self.by_time)


def rankings(findings: Sequence[Finding]) -> list[Ranking]:
    """The ranking of each runner that measured two models with different MACs or more.

    Only cells of the smallest batch, one stream, fp32 and host-to-host take part, and of them those
    of the run, device, threads and state of the machine that most models were measured in: unlike
    cells are never ranked together.
    """
    ranked = [member for finding in findings if (member := _ranked(finding)) is not None]
    smallest = min((member.finding.record.cell.batch for member in ranked), default=1)
    hops = [hop for member in ranked if (hop := _hop(member)) is not None]
    levels = levels_of(hops)
    groups: dict[tuple[object, ...], dict[tuple[object, ...], Ranked]] = defaultdict(dict)
    for member in ranked:
        record = member.finding.record
        cell = record.cell
        if cell.batch != smallest or not _plain(member.finding):
            continue
        hop = _hop(member)
        state = None if hop is None else nearest(levels, hop)
        key = (cell.runner, record.run, cell.device, cell.threads, state)
        groups[key][cell.group] = member
    largest: dict[tuple[str, str], Ranking] = {}
    for members in groups.values():
        ranking = _ranking(list(members.values()))
        if ranking is None:
            continue
        known = largest.get((ranking.runner, ranking.device))
        if known is None or len(ranking.by_time) > len(known.by_time):
            largest[ranking.runner, ranking.device] = ranking
    return list(largest.values())


def _ranked(finding: Finding) -> Ranked | None:
    """None where the MACs or the time are not known."""
    state, macs = finding.state, finding.record.macs
    if state is None or macs is None:
        return None
    low, high = state.p50_low_ms or state.p50_ms, state.p50_high_ms or state.p50_ms
    return Ranked(finding, macs, state.p50_ms, low, high)


def _plain(finding: Finding) -> bool:
    """One stream, from host to host, really run in fp32."""
    cell = finding.record.cell
    facts = next((launch.facts for launch in finding.record.launches if launch.facts), None)
    precision = facts.precision if facts else cell.precision
    return (cell.streams, precision, cell.timing) == (1, "fp32", HOST_TO_HOST)


def _hop(member: Ranked) -> float | None:
    return member.finding.state.hop_ns if member.finding.state else None


def _ranking(members: Sequence[Ranked]) -> Ranking | None:
    tau = kendall_tau(
        [float(member.macs) for member in members], [member.p50_ms for member in members]
    )
    if tau is None:
        return None
    by_macs = sorted(members, key=lambda member: member.macs)
    by_time = sorted(members, key=lambda member: member.p50_ms)
    decided = [
        (fewer, more)
        for fewer, more in combinations(by_macs, 2)
        if fewer.macs != more.macs and not fewer.overlaps(more)
    ]
    agreeing = sum(fewer.p50_ms < more.p50_ms for fewer, more in decided)
    cell = members[0].finding.record.cell
    return Ranking(
        runner=cell.runner,
        device=cell.device,
        tau=tau,
        by_macs=tuple(by_macs),
        by_time=tuple(by_time),
        agreeing=agreeing,
        pairs=len(decided),
    )
