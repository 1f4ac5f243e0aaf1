"""Do FLOPs predict latency?

The order of the models of a run by MACs, against their order by p50 latency.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from deploybench.analysis.findings import Finding
from deploybench.results.cell import HOST_TO_HOST
from deploybench.results.verdict import Verdict
from deploybench.statistics.levels import level_of, levels_of
from deploybench.statistics.samples import kendall_tau


@dataclass(frozen=True)
class Ranked:
    """One model of a ranking: its finding, and the figures that it is ranked by."""

    finding: Finding
    macs: int
    p50_ms: float
    low_ms: float
    high_ms: float

    @property
    def trusted(self) -> bool:
        return self.finding.judgement.verdict is Verdict.VALID

    def overlaps(self, other: Ranked) -> bool:
        """Whether the intervals of both times have a point in common.

        A time without an interval is a point.
        """
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
    largest: dict[tuple[str, str], Ranking] = {}
    for models in _alike(_ranked_models(findings)):
        ranking = _ranking(models)
        if ranking is None:
            continue
        runner_on_device = (ranking.runner, ranking.device)
        so_far = largest.get(runner_on_device)
        if so_far is None or len(ranking.by_time) > len(so_far.by_time):
            largest[runner_on_device] = ranking
    return list(largest.values())


def _ranked_models(findings: Sequence[Finding]) -> list[Ranked]:
    """The findings whose MACs and time are known; MACs that are *at least* have no rank."""
    ranked = []
    for finding in findings:
        state, macs = finding.state, finding.record.macs
        if state is None or macs is None or finding.record.macs_uncounted:
            continue
        ranked.append(
            Ranked(
                finding=finding,
                macs=macs,
                p50_ms=state.p50_ms,
                low_ms=state.p50_low_ms or state.p50_ms,
                high_ms=state.p50_high_ms or state.p50_ms,
            )
        )
    return ranked


def _alike(ranked: Sequence[Ranked]) -> list[list[Ranked]]:
    """The models that may be ranked together: a list for each way of measuring them."""
    batches = [model.finding.record.cell.batch for model in ranked]
    smallest_batch = min(batches, default=1)
    levels = levels_of(_hops(ranked))
    groups: dict[tuple[object, ...], dict[tuple[object, ...], Ranked]] = defaultdict(dict)
    for model in ranked:
        record = model.finding.record
        cell = record.cell
        if cell.batch != smallest_batch or not _is_plain(model.finding):
            continue
        measured_alike = (
            cell.runner,
            record.run,
            cell.device,
            cell.threads,
            level_of(levels, _hop_ns(model)),
        )
        # A model that was measured twice in the same way takes part once.
        groups[measured_alike][cell.group] = model
    return [list(models.values()) for models in groups.values()]


def _hops(ranked: Sequence[Ranked]) -> list[float]:
    """The hop times that tell the states of the machine apart, where they are known."""
    hops = []
    for model in ranked:
        hop_ns = _hop_ns(model)
        if hop_ns is not None:
            hops.append(hop_ns)
    return hops


def _hop_ns(model: Ranked) -> float | None:
    if model.finding.state is None:
        return None
    return model.finding.state.hop_ns


def _is_plain(finding: Finding) -> bool:
    """One stream, from host to host, really run in fp32."""
    cell = finding.record.cell
    return cell.streams == 1 and cell.timing == HOST_TO_HOST and finding.precision == "fp32"


def _ranking(members: Sequence[Ranked]) -> Ranking | None:
    """None where no order is: one model alone, or all of the same MACs."""
    tau = kendall_tau(
        [float(member.macs) for member in members], [member.p50_ms for member in members]
    )
    if tau is None:
        return None
    by_macs = sorted(members, key=lambda member: member.macs)
    by_time = sorted(members, key=lambda member: member.p50_ms)
    agreeing, pairs = 0, 0
    for fewer, more in combinations(by_macs, 2):
        # As many MACs predict nothing, and times whose intervals overlap decide nothing.
        if fewer.macs == more.macs or fewer.overlaps(more):
            continue
        pairs += 1
        if fewer.p50_ms < more.p50_ms:
            agreeing += 1
    cell = members[0].finding.record.cell
    return Ranking(
        runner=cell.runner,
        device=cell.device,
        tau=tau,
        by_macs=tuple(by_macs),
        by_time=tuple(by_time),
        agreeing=agreeing,
        pairs=pairs,
    )
