"""What was found of each cell in each state of the machine.

A finding has all that a row shows and that is computed from more than the cell's own record.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from deploybench.analysis.against import AgainstBaseline, against_baseline
from deploybench.analysis.crossover import Crossover, Point
from deploybench.analysis.limits import roof_in_words
from deploybench.analysis.reached import CellUnderRoof, RaisedRoof, raised_roofs
from deploybench.analysis.speedups import Speedup, speedups_of
from deploybench.analysis.sweeps import SweepFinding, SweptCell, sweep_findings
from deploybench.analysis.typical import typical_launch
from deploybench.hardware.devices import CPU, kind_of
from deploybench.hardware.precisions import arithmetic
from deploybench.results.cell import BASELINE_PRECISION
from deploybench.results.launch import Facts
from deploybench.results.record import Bound, Record, StateSummary
from deploybench.results.verdict import Judgement, Verdict
from deploybench.statistics.levels import same_state
from deploybench.statistics.ratios import (
    DEFAULT_MARGIN,
)
from deploybench.statistics.samples import median

CellOfRun = tuple[str, tuple[str | int | None, ...]]
"""The name of a run, and the key of a cell in it."""
ROUNDING = 1e-9
"""What the last digits of a product and its quotient may differ by."""


@dataclass(frozen=True)
class Finding:
    """One cell in one state of the machine; ``state`` is None where there is no number.

    ``softmax`` compares a fair ViT with its softmax member in the same state. ``roof`` is set where
    the cells of the run were looked at together: the record's own peak may be lower than what one
    of them reached.
    """

    record: Record
    state: StateSummary | None = None
    against: AgainstBaseline | None = None
    softmax: Point | None = None
    sweep: SweepFinding = field(default_factory=SweepFinding)
    roof: RaisedRoof | None = None

    @property
    def facts(self) -> Facts | None:
        """What the first session that was loaded says of itself."""
        for launch in self.record.launches:
            if launch.facts is not None:
                return launch.facts
        return None

    @property
    def precision(self) -> str:
        """What really ran; where no session was loaded, what was asked."""
        if self.facts is None:
            return self.record.cell.precision
        return self.facts.precision

    @property
    def main_state(self) -> bool:
        """Whether this is the state that stands for the cell; true for a cell without any."""
        if self.state is None:
            return True
        summary = self.record.summary
        return summary is not None and self.state is summary.states[0]

    @property
    def state_share(self) -> float | None:
        """The share of the cell's launches, or of its visits, that met the state."""
        if self.state is None or self.record.summary is None:
            return None
        if self.state.visited is not None:
            states = self.record.summary.states
            visits = sum(state.visited.visits for state in states if state.visited is not None)
            return self.state.visited.visits / visits
        return self.state.launches / self.record.summary.launches

    @property
    def judgement(self) -> Judgement:
        """That of the state; of the whole cell where no state has an estimate."""
        if self.state is None:
            return self.record.judgement
        return self.state.judgement

    @property
    def mixed_states_ms(self) -> float | None:
        """The median of launch medians where every launch met a change of state.

        It is a number of no one state; None where a state has an estimate.
        """
        if self.state is not None or self.record.summary is None:
            return None
        medians_ms = [launch.median_ms for launch in self.record.launches if launch.measured]
        if not medians_ms:
            return None
        return median(medians_ms)

    @property
    def gflops(self) -> float | None:
        """GFLOP/s, 2 FLOP a multiply-add, over wall time."""
        if self.state is None or self.record.macs is None:
            return None
        return 2 * self.record.macs * self.state.throughput_per_s / 1e9

    @property
    def peak_gflops(self) -> float | None:
        """What the device can do at most at the cell's precision, as far as the run knows it."""
        if self.roof is None:
            return self.record.peak_gflops
        return self.roof.peak_gflops

    @property
    def peak_raised(self) -> bool:
        """Whether a cell of the run reached more than the peak that was measured before."""
        return self.roof is not None and self.roof.raised

    @property
    def bound(self) -> Bound | None:
        """The least time that one call can take, as far as the run knows it."""
        if self.roof is None:
            return self.record.bound
        return self.roof.bound

    @property
    def share_of_peak(self) -> float | None:
        """GFLOP/s over the peak of the device at the cell's precision.

        Over 1 only where the time or a stated peak cannot be relied on.
        """
        if self.gflops is None or not self.peak_gflops:
            return None
        return _without_rounding(self.gflops / self.peak_gflops)

    @property
    def times_bound(self) -> float | None:
        """The median call over the least time that it can take; below 1 as ``share_of_peak``."""
        if self.state is None or self.bound is None or not self.bound.latency_ms:
            return None
        return _without_rounding(self.state.p50_ms / self.bound.latency_ms)

    @property
    def bounded_by(self) -> str | None:
        """What takes most of the median call, in words; None where no bound is known."""
        if self.state is None or self.bound is None:
            return None
        return roof_in_words(self.state.p50_ms, self.bound)


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
    points: dict[CellOfRun, Point] = {}
    for crossover in crossed:
        for point in crossover.points:
            points[crossover.run, point.cell.key] = point
    findings: list[Finding] = []
    for group in groups.values():
        for record in sorted(group, key=lambda record: _order(record, baseline)):
            reference = baseline_of(record, group, baseline)
            softmax_point = points.get((record.run, record.cell.key))
            findings += _findings(record, reference, margin, softmax_point)
    return _with_roofs(_with_sweeps(findings))


def contradicted_roofs(findings: Sequence[Finding]) -> set[tuple[str, str]]:
    """The runs and devices whose stated peaks are lower than what was measured there.

    A share of the peak over 1 or a time below the bound says that the peak is wrong: the clock is
    above the one that it is stated for. Then no other share of that peak says anything either.
    A CPU's peaks are measured, and raised by what the cells reach.
    """
    contradicted = set()
    for finding in findings:
        if kind_of(finding.record.cell.device) == CPU:
            continue
        above_the_peak = finding.share_of_peak is not None and finding.share_of_peak > 1
        below_the_bound = finding.times_bound is not None and finding.times_bound < 1
        if above_the_peak or below_the_bound:
            contradicted.add((finding.record.run, finding.record.cell.device))
    return contradicted


def baseline_of(
    record: Record, candidates: Sequence[Record], baseline: str | None = None
) -> Record | None:
    """The baseline's record of the same run and job.

    Of several (two forms of an artifact) it is one that was measured.
    """
    runner = baseline or record.baseline
    baselines = []
    for other in candidates:
        in_fp32 = other.cell.precision == BASELINE_PRECISION
        is_baseline = other.run == record.run and other.cell.runner == runner and in_fp32
        if is_baseline and other.cell.same_job(record.cell):
            baselines.append(other)
    for other in baselines:
        if other.summary is not None:
            return other
    if baselines:
        return baselines[0]
    return None


def _order(record: Record, baseline: str | None) -> tuple[object, ...]:
    """The order within a model.

    By device, then the baseline's runner first, fp32 before other precisions, and after these
    whatever else cells differ in.
    """
    cell = record.cell
    # False sorts before True.
    is_another_runner = cell.runner != (baseline or record.baseline)
    is_another_precision = cell.precision != BASELINE_PRECISION
    return (
        cell.device,
        is_another_runner,
        cell.runner,
        is_another_precision,
        cell.precision,
        cell.timing,
        cell.threads,
        cell.streams,
        cell.batch,
    )


def _findings(
    record: Record, baseline: Record | None, margin: float, point: Point | None
) -> list[Finding]:
    """One finding a state; one without a state where the cell has no estimate.

    ``point`` compares the cell with softmax.
    """
    summary = record.summary
    if summary is None or not summary.states:
        return [Finding(record)]
    speedups: list[Speedup] = []
    if baseline is not None and baseline is not record:
        speedups = speedups_of(baseline, record)
    findings = []
    for state in summary.states:
        findings.append(
            Finding(
                record=record,
                state=state,
                against=against_baseline(record, baseline, speedups, state, margin),
                softmax=_in_the_same_state(point, state),
            )
        )
    return findings


def _in_the_same_state(point: Point | None, state: StateSummary) -> Point | None:
    """A comparison with softmax belongs to the state of the machine that it was made in."""
    if point is None or not same_state(point.hop_ns, state.hop_ns):
        return None
    return point


def _with_sweeps(findings: Sequence[Finding]) -> list[Finding]:
    """The same findings, each with what the sweep that it is part of shows at it."""
    sweeps = sweep_findings([_swept_cell(finding) for finding in findings])
    with_sweeps = []
    for finding, sweep in zip(findings, sweeps, strict=True):
        with_sweeps.append(replace(finding, sweep=sweep))
    return with_sweeps


def _with_roofs(findings: Sequence[Finding]) -> list[Finding]:
    """The same findings, each with the roof that is as high as what any of its run reached."""
    roofs = raised_roofs([_cell_under_roof(finding) for finding in findings])
    with_roofs = []
    for finding, roof in zip(findings, roofs, strict=True):
        with_roofs.append(replace(finding, roof=roof))
    return with_roofs


def _cell_under_roof(finding: Finding) -> CellUnderRoof:
    record = finding.record
    cell = CellUnderRoof(
        run=record.run,
        device=record.cell.device,
        precision=arithmetic(record.cell.precision),
        peak_gflops=record.peak_gflops,
        bound=record.bound,
    )
    if finding.state is None or finding.judgement.verdict is not Verdict.VALID:
        return cell
    return replace(cell, gflops=finding.gflops, p50_ms=finding.state.p50_ms)


def _without_rounding(ratio: float) -> float:
    """1 where only the rounding of the arithmetic makes it another number."""
    if math.isclose(ratio, 1.0, rel_tol=ROUNDING):
        return 1.0
    return ratio


def _swept_cell(finding: Finding) -> SweptCell:
    cell = finding.record.cell
    hop_ns, images_per_s = None, None
    if finding.state is not None:
        hop_ns = finding.state.hop_ns
        images_per_s = finding.state.throughput_per_s
    return SweptCell(
        sweep=(
            finding.record.run,
            cell.group,
            cell.form,
            cell.runner,
            cell.device,
            finding.precision,
            cell.timing,
        ),
        batch=cell.batch,
        streams=cell.streams,
        hop_ns=hop_ns,
        images_per_s=images_per_s,
        steady_peak_bytes=typical_launch(finding.record.launches).steady_peak_bytes,
    )
