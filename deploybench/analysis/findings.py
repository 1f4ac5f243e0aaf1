"""What was found of each cell in each state of the machine: everything that a row shows and that
is computed from more than its own record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from deploybench.analysis.crossover import Crossover, Point
from deploybench.analysis.speedups import Speedup, paired_speedups
from deploybench.analysis.states import same_state
from deploybench.analysis.sweeps import SweepFinding, SweptCell, sweep_findings
from deploybench.analysis.typical import typical_launch
from deploybench.analysis.verdicts import judge_speedup
from deploybench.results.cell import BASELINE_PRECISION
from deploybench.results.record import Record, StateSummary
from deploybench.results.verdict import Judgement
from deploybench.statistics.ratios import (
    DEFAULT_MARGIN,
    MOST_ROUNDS,
    Answer,
    answer,
    half_width_that_settles,
    more_rounds,
)
from deploybench.statistics.samples import median


@dataclass(frozen=True)
class AgainstBaseline:
    """How many times faster than the baseline a cell is.

    ``more_rounds`` would settle an AMBIGUOUS answer; None for other answers.
    """

    runner: str
    speedup: Speedup
    answer: Answer
    judgement: Judgement
    more_rounds: int | None

    @property
    def reason(self) -> str:
        """The judgement's reason, and what would settle the answer."""
        if self.more_rounds is None:
            return self.judgement.reason
        if self.more_rounds > MOST_ROUNDS:
            return f"{self.judgement.reason}; too close for any number"
        return f"{self.judgement.reason}; about {self.more_rounds} more rounds would settle it"


@dataclass(frozen=True)
class Finding:
    """One cell in one state of the machine; ``state`` is None where there is no number.

    ``softmax`` compares a fair ViT with its softmax member in the same state.
    """

    record: Record
    state: StateSummary | None = None
    against: AgainstBaseline | None = None
    softmax: Point | None = None
    sweep: SweepFinding = field(default_factory=SweepFinding)

    @property
    def main_state(self) -> bool:
        """Whether this is the state that the cell met most; so for a cell without any."""
        summary = self.record.summary
        return self.state is None or (summary is not None and self.state is summary.states[0])

    @property
    def state_share(self) -> float | None:
        """The share of the cell's launches that met the state."""
        if self.state is None or self.record.summary is None:
            return None
        return self.state.launches / self.record.summary.launches

    @property
    def judgement(self) -> Judgement:
        return self.record.judgement if self.state is None else self.state.judgement

    @property
    def mixed_states_ms(self) -> float | None:
        """The median of launch medians where every launch met a change of state: a number of no
        one state, None where a state has an estimate."""
        if self.state is not None or self.record.summary is None:
            return None
        medians = [launch.median_ms for launch in self.record.launches if launch.measured]
        return median(medians) if medians else None

    @property
    def gflops(self) -> float | None:
        """GFLOP/s, 2 FLOP a multiply-add, over wall time."""
        if self.state is None or self.record.macs is None:
            return None
        return 2 * self.record.macs * self.state.throughput_per_s / 1e9

    @property
    def share_of_peak(self) -> float | None:
        if self.gflops is None or not self.record.peak_gflops:
            return None
        return self.gflops / self.record.peak_gflops

    @property
    def times_bound(self) -> float | None:
        """The median call over the least time that it can take."""
        bound = self.record.bound
        if self.state is None or bound is None or not bound.latency_ms:
            return None
        return self.state.p50_ms / bound.latency_ms


def findings_of(
    records: Sequence[Record],
    baseline: str | None = None,
    margin: float = DEFAULT_MARGIN,
    crossed: Sequence[Crossover] = (),
) -> list[Finding]:
    """The findings of all records, grouped by model, in the order in which the models appear.

    ``baseline`` is the runner whose fp32 record the others of its model, batch, threads, streams
    and timing are compared with (None: the one that the run named); ``margin`` is what counts as
    the same. ``crossed`` are the crossovers of these records.
    """
    groups: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.cell.group].append(record)
    points = {
        (crossover.run, point.cell.key): point
        for crossover in crossed
        for point in crossover.points
    }
    findings: list[Finding] = []
    for group in groups.values():
        for record in sorted(group, key=lambda item: _order(item, baseline or item.baseline)):
            against = baseline_of(record, group, baseline)
            point = points.get((record.run, record.cell.key))
            findings += _findings(record, against, margin, point)
    return _with_sweeps(findings)


def contradicted_roofs(findings: Sequence[Finding]) -> set[tuple[str, str]]:
    """The runs and devices whose peaks are lower than what was measured there.

    A share of the peak over 1 or a time below the bound says that the peak is wrong (it was
    measured beside other work, or the clock is above the one that it is stated for); then no other
    share of it says anything either.
    """
    contradicted = set()
    for finding in findings:
        above = (finding.share_of_peak or 0.0) > 1
        below = finding.times_bound is not None and finding.times_bound < 1
        if above or below:
            contradicted.add((finding.record.run, finding.record.cell.device))
    return contradicted


def baseline_of(
    record: Record, candidates: Sequence[Record], baseline: str | None = None
) -> Record | None:
    """The baseline's record of the same run and job; of several (two forms of an artifact) one that
    was measured."""
    runner = baseline or record.baseline
    named = [
        other
        for other in candidates
        if (other.run, other.cell.runner, other.cell.precision)
        == (record.run, runner, BASELINE_PRECISION)
        and other.cell.same_job(record.cell)
    ]
    for other in named:
        if other.summary is not None:
            return other
    return named[0] if named else None


def _order(record: Record, baseline: str) -> tuple[object, ...]:
    """The order within a model: by device, the baseline (fp32) first, then by runner, and what
    cells differ in."""
    cell = record.cell
    other = (
        cell.runner != baseline,
        cell.runner,
        cell.precision != BASELINE_PRECISION,
        cell.precision,
    )
    return (cell.device, *other, cell.timing, cell.threads, cell.streams, cell.batch)


def _findings(
    record: Record, baseline: Record | None, margin: float, point: Point | None
) -> list[Finding]:
    """One finding a state; one without a state when there is none."""
    summary = record.summary
    if summary is None or not summary.states:
        return [Finding(record)]
    speedups: list[Speedup] = []
    if baseline is not None and baseline is not record:
        speedups = paired_speedups(baseline.launches, record.launches)
    findings = []
    for state in summary.states:
        against = None
        for speedup in speedups:
            if baseline is not None and same_state(speedup.hop_ns, state.hop_ns):
                against = _against(baseline, speedup, margin)
                break
        softmax = point if point and same_state(point.hop_ns, state.hop_ns) else None
        findings.append(Finding(record, state, against, softmax))
    return findings


def _against(baseline: Record, speedup: Speedup, margin: float) -> AgainstBaseline:
    ratio = speedup.ratio
    found = answer(ratio, margin)
    more = None
    if found is Answer.AMBIGUOUS:
        more = more_rounds(ratio.count, ratio.half_width, half_width_that_settles(ratio, margin))
    return AgainstBaseline(baseline.cell.runner, speedup, found, judge_speedup(speedup), more)


def _with_sweeps(findings: Sequence[Finding]) -> list[Finding]:
    swept = sweep_findings([_swept(finding) for finding in findings])
    return [replace(finding, sweep=sweep) for finding, sweep in zip(findings, swept, strict=True)]


def _swept(finding: Finding) -> SweptCell:
    cell, state = finding.record.cell, finding.state
    ran = next((launch.facts for launch in finding.record.launches if launch.facts), None)
    precision = ran.precision if ran else cell.precision
    return SweptCell(
        sweep=(
            finding.record.run,
            cell.group,
            cell.form,
            cell.runner,
            cell.device,
            precision,
            cell.timing,
        ),
        batch=cell.batch,
        streams=cell.streams,
        hop_ns=state.hop_ns if state else None,
        images_per_s=state.throughput_per_s if state else None,
        steady_peak_bytes=typical_launch(finding.record.launches).steady_peak_bytes,
    )
