"""From records to rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from deploybench.analysis.crossover import AttentionFamily, Crossover, Point, crossovers
from deploybench.analysis.lost_launches import noting_losses
from deploybench.analysis.speedups import Speedup, paired_speedups
from deploybench.analysis.states import same_state
from deploybench.analysis.verdicts import judge_speedup
from deploybench.data.image_size import size_text
from deploybench.models.zoo import FAIR, SOFTMAX
from deploybench.results.cell import BASELINE_PRECISION
from deploybench.results.launch import Launch, Probes, Surroundings
from deploybench.results.record import Record, StateSummary
from deploybench.rows.gpu_fields import gpu_fields
from deploybench.rows.row import Row
from deploybench.rows.sweeps import with_sweeps
from deploybench.statistics.ratios import (
    DEFAULT_MARGIN,
    MOST_ROUNDS,
    Answer,
    answer,
    half_width_that_settles,
    more_rounds,
)
from deploybench.statistics.samples import median

FAIR_FAMILY = AttentionFamily(SOFTMAX, FAIR)
"""The models among which a crossover is looked for."""
MIB = 1 << 20


def rows_of(
    records: Sequence[Record],
    baseline: str | None = None,
    margin: float = DEFAULT_MARGIN,
    crossed: Sequence[Crossover] | None = None,
) -> list[Row]:
    """The rows of all records, grouped by model, in the order in which the models appear.

    ``baseline`` is the runner whose fp32 record the others of its model, batch, threads, streams
    and timing are compared with (None: the one that the run named); ``margin`` is what counts as
    the same. ``crossed`` are the crossovers of these records, where the caller has them already.
    """
    groups: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.cell.group].append(record)
    crossed = crossovers(records, FAIR_FAMILY, margin) if crossed is None else crossed
    points = {(found.run, point.cell.key): point for found in crossed for point in found.points}
    rows = []
    for group in groups.values():
        for record in sorted(group, key=lambda item: _place(item, baseline or item.baseline)):
            found = _rows(record, _baseline_of(record, group, baseline or record.baseline), margin)
            point = points.get((record.run, record.cell.key))
            rows += [_with_softmax(row, point) for row in found] if point else found
    return with_sweeps(rows)


def _with_softmax(row: Row, point: Point) -> Row:
    """The row with its speed-up over softmax attention, in the state of the machine that this is
    of."""
    if not same_state(point.hop_ns, row.state_hop_ns):
        return row
    return replace(
        row,
        softmax_speedup=point.ratio.value,
        softmax_speedup_low=point.ratio.low,
        softmax_speedup_high=point.ratio.high,
        softmax_answer=point.answer.value,
    )


def _place(record: Record, baseline: str) -> tuple[object, ...]:
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


def _baseline_of(record: Record, group: Sequence[Record], baseline: str) -> Record | None:
    """The baseline's record of the same run and job; of several (two forms of an artifact) one that
    was measured."""
    named = [
        other
        for other in group
        if (other.run, other.cell.runner, other.cell.precision)
        == (record.run, baseline, BASELINE_PRECISION)
        and other.cell.same_job(record.cell)
    ]
    return next(
        (other for other in named if other.summary is not None), named[0] if named else None
    )


def _rows(record: Record, baseline: Record | None, margin: float) -> list[Row]:
    """One row a state; one without times when there is none."""
    summary = record.summary
    shared = _shared(record)
    if summary is None or not summary.states:
        return [shared]
    speedups = (
        paired_speedups(baseline.launches, record.launches)
        if baseline and baseline is not record
        else []
    )
    rows = []
    for state in summary.states:
        row = _in_state(shared, record, state)
        matching = [speedup for speedup in speedups if same_state(speedup.hop_ns, state.hop_ns)]
        row = replace(row, main_state=state is summary.states[0])
        rows.append(
            _with_speedup(row, baseline, matching[0], margin) if baseline and matching else row
        )
    return rows


def _in_state(row: Row, record: Record, state: StateSummary) -> Row:
    rate = state.throughput_per_s
    gflops = 2 * record.macs * rate / 1e9 if record.macs is not None else None
    percentiles = {
        f"p{name}_{end}ms": getattr(item, f"{end}ms")
        for item in state.percentiles
        if (name := f"{100 * item.fraction:g}".replace(".", "")) != "50"
        for end in ("", "low_", "high_")
    }
    needed = {item.fraction: item.needed for item in state.percentiles}
    return replace(
        row,
        state_hop_ns=state.hop_ns,
        state_share=state.launches / record.summary.launches if record.summary else None,
        p50_ms=state.p50_ms,
        p50_low_ms=state.p50_low_ms,
        p50_high_ms=state.p50_high_ms,
        p50_coverage=state.p50_coverage,
        p90_samples_needed=needed[0.9],
        p95_samples_needed=needed[0.95],
        p99_samples_needed=needed[0.99],
        p999_samples_needed=needed[0.999],
        device_p50_ms=state.device_p50_ms,
        throughput_images_per_s=rate,
        energy_j_per_image=state.energy_j,
        achieved_gflops=gflops,
        share_of_peak=gflops / record.peak_gflops
        if gflops is not None and record.peak_gflops
        else None,
        times_bound=state.p50_ms / record.bound.latency_ms
        if record.bound and record.bound.latency_ms
        else None,
        cores_used=state.cores_used,
        launches=state.launches,
        launches_left_out=state.left_out,
        samples=state.samples,
        verdict=state.judgement.verdict.value,
        reason=noting_losses(state.judgement, record.launches).reason,
        advice=state.judgement.advice,
        **percentiles,
    )


def _with_speedup(row: Row, baseline: Record, speedup: Speedup, margin: float) -> Row:
    judgement = judge_speedup(speedup)
    ratio = speedup.ratio
    found = answer(ratio, margin)
    reason = judgement.reason
    if found is Answer.AMBIGUOUS:
        more = more_rounds(ratio.count, ratio.half_width, half_width_that_settles(ratio, margin))
        reason += (
            f"; about {more} more rounds would settle it"
            if more <= MOST_ROUNDS
            else "; too close for any number"
        )
    return replace(
        row,
        baseline=baseline.cell.runner,
        speedup=ratio.value,
        speedup_low=ratio.low,
        speedup_high=ratio.high,
        speedup_coverage=ratio.coverage,
        speedup_answer=found.value,
        speedup_verdict=judgement.verdict.value,
        speedup_reason=reason,
    )


def _shared(record: Record) -> Row:
    """What all rows of a cell have in common, without any time."""
    cell, summary = record.cell, record.summary
    facts = next((launch.facts for launch in record.launches if launch.facts is not None), None)
    measured = [launch for launch in record.launches if launch.measured]
    memories = [launch.memory for launch in measured if launch.memory is not None]

    def grown_mib(phase: str) -> float | None:
        if summary is None or not memories:
            return None
        return median([getattr(memory, phase) - memory.baseline_bytes for memory in memories]) / MIB

    def middle(read: Callable[[Launch], float | None]) -> float | None:
        values = [value for launch in measured if (value := read(launch)) is not None]
        return median(values) if summary is not None and values else None

    return Row(
        model=cell.model,
        weights=cell.weights,
        weights_identity=cell.weights_identity,
        image_size=size_text(cell.image_size),
        patch_size=cell.patch_size,
        backend=cell.backend,
        form=cell.form,
        runner=cell.runner,
        device=cell.device,
        asked_precision=cell.precision,
        precision=facts.precision if facts else cell.precision,
        batch=cell.batch,
        streams=cell.streams,
        timing=cell.timing,
        image=cell.image,
        options=cell.options,
        asked_threads=cell.threads,
        threads=facts.threads if facts else None,
        provider=facts.provider if facts else None,
        provenance=record.provenance,
        states_seen=len(summary.states) if summary else 0,
        saturates="",
        start_s=middle(lambda launch: launch.start_s),
        import_s=middle(lambda launch: launch.import_s),
        load_s=summary.load_s if summary else None,
        compile_s=summary.compile_s if summary else None,
        first_inference_ms=summary.first_inference_ms if summary else None,
        cold_start_s=summary.cold_start_s if summary else None,
        imported_memory_mib=grown_mib("imported_bytes"),
        loaded_memory_mib=grown_mib("loaded_bytes"),
        compiled_memory_mib=grown_mib("compiled_bytes"),
        first_inference_memory_mib=grown_mib("first_inference_bytes"),
        peak_memory_mib=summary.peak_bytes / MIB if summary else None,
        steady_peak_memory_mib=grown_mib("peak_bytes"),
        baseline_memory_mib=summary.baseline_bytes / MIB if summary else None,
        steady_pss_mib=middle(_pss_mib),
        device_memory_mib=summary.device_bytes / MIB
        if summary and summary.device_bytes is not None
        else None,
        device_allocated_mib=facts.device_bytes / MIB
        if facts and facts.device_bytes is not None
        else None,
        energy_source=summary.energy_source if summary else None,
        artifact_mib=record.artifact_bytes / MIB if record.artifact_bytes is not None else None,
        parameters=record.parameters,
        macs_per_image=record.macs,
        flops_per_image=2 * record.macs if record.macs is not None else None,
        tokens=record.tokens,
        **_bound_fields(record),
        **gpu_fields(measured),
        foreign_cpu_share=middle(lambda launch: _around(launch).foreign_cpu_share),
        steal_share=middle(lambda launch: _around(launch).steal_share),
        switches_per_call=middle(_switches_per_call),
        frequency_mhz=middle(lambda launch: _around(launch).frequency_mhz),
        warm_up_calls=max((launch.warm_up for launch in measured), default=None),
        parity_max_error=record.parity.max_error if record.parity else None,
        launches=len(record.launches),
        launches_flipped=summary.flipped if summary else 0,
        verdict=record.judgement.verdict.value,
        reason=record.judgement.reason,
        advice=record.judgement.advice,
        complete=record.complete,
        stopped=record.stopped,
        more_rounds=record.more_rounds,
        profile=record.profile,
        run=record.run,
        command=record.command,
    )


def _bound_fields(record: Record) -> dict[str, Any]:
    """The least time of one call, where the hardware's peaks and the model's work are known."""
    bound = record.bound
    if bound is None:
        return {}
    return {
        "bound_ms": bound.latency_ms,
        "bound_limited_by": bound.limited_by,
        "unfused_ms": bound.unfused_ms,
        "moved_bytes": bound.moved_bytes,
    }


def _pss_mib(launch: Launch) -> float | None:
    """Proportional memory in the steady state above the baseline."""
    memory = launch.memory
    if memory is None or memory.steady_pss_bytes is None or memory.baseline_pss_bytes is None:
        return None
    return (memory.steady_pss_bytes - memory.baseline_pss_bytes) / MIB


def _around(launch: Launch) -> Surroundings:
    return launch.surroundings or Surroundings(before=Probes(), after=Probes())


def _switches_per_call(launch: Launch) -> float | None:
    """How often a call was interrupted, on average."""
    return (
        sum(launch.sample_switches) / len(launch.sample_switches)
        if launch.sample_switches
        else None
    )
