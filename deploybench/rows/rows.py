"""From records to rows.

Every field is written where it is filled, and nothing is computed but units.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.analysis.crossover import AttentionFamily, Crossover, crossovers
from deploybench.analysis.findings import Finding, findings_of
from deploybench.analysis.lost_launches import noting_losses
from deploybench.analysis.typical import typical_gpu, typical_launch
from deploybench.children.environment import in_words, said_of
from deploybench.data.image_size import size_text
from deploybench.hardware.places import list_of_cpus
from deploybench.models.zoo import FAIR, SOFTMAX
from deploybench.results.record import Record
from deploybench.rows.quality_figures import quality_figures
from deploybench.rows.readers import (
    bound_figures,
    experienced_figures,
    fact_figures,
    gpu_figures,
    mib,
    percentile_figures,
    softmax_figures,
    speedup_figures,
    state_figures,
    summary_figures,
    undisturbed_figures,
    visit_figures,
)
from deploybench.rows.row import Row
from deploybench.statistics.ratios import DEFAULT_MARGIN

FAIR_FAMILY = AttentionFamily(SOFTMAX, FAIR)
"""The models among which a crossover is looked for."""


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
    return [row for _, row in rows_by_record(records, baseline, margin, crossed)]


def rows_by_record(
    records: Sequence[Record],
    baseline: str | None = None,
    margin: float = DEFAULT_MARGIN,
    crossed: Sequence[Crossover] | None = None,
) -> list[tuple[Record, Row]]:
    """The same, each row with the record that it is of."""
    if crossed is None:
        crossed = crossovers(records, FAIR_FAMILY, margin)
    findings = findings_of(records, baseline, margin, crossed)
    return [(finding.record, row_of(finding)) for finding in findings]


def row_of(finding: Finding) -> Row:
    """One finding, flat, in the units that the fields name."""
    record = finding.record
    cell = record.cell
    # Without a summary (wrong outputs, a crash) no time or memory of the launches may be shown.
    shown_launches = record.launches if record.summary else ()
    typical = typical_launch(shown_launches)
    facts = fact_figures(finding.facts)
    summary = summary_figures(record.summary)
    state = state_figures(finding.state)
    visit = visit_figures(finding.state)
    p90 = percentile_figures(finding.state, 0.9)
    p95 = percentile_figures(finding.state, 0.95)
    p99 = percentile_figures(finding.state, 0.99)
    p999 = percentile_figures(finding.state, 0.999)
    bound = bound_figures(finding.bound)
    speedup = speedup_figures(finding.against)
    experienced = experienced_figures(finding.against)
    undisturbed = undisturbed_figures(finding.against)
    softmax = softmax_figures(finding.softmax)
    gpu = gpu_figures(typical_gpu(record.launches))
    quality = quality_figures(record.quality)
    judgement = finding.judgement
    return Row(
        model=cell.model,
        weights=cell.weights,
        weights_identity=cell.weights_identity,
        weights_random_share=record.weights_random_share,
        image_size=size_text(cell.image_size),
        patch_size=cell.patch_size,
        backend=cell.backend,
        form=cell.form,
        runner=cell.runner,
        device=cell.device,
        asked_precision=cell.precision,
        precision=finding.precision,
        batch=cell.batch,
        streams=cell.streams,
        timing=cell.timing,
        image=cell.image,
        options=cell.options,
        asked_threads=cell.threads,
        threads=facts.threads,
        threads_ran=typical.threads_ran,
        pinned_cpus=_pinned(record),
        provider=facts.provider,
        provenance=record.provenance,
        state_hop_ns=state.hop_ns,
        state_share=finding.state_share,
        states_seen=summary.states_seen,
        main_state=finding.main_state,
        mixed_states_ms=finding.mixed_states_ms,
        p50_ms=state.p50_ms,
        p50_low_ms=state.p50_low_ms,
        p50_high_ms=state.p50_high_ms,
        p50_coverage=state.p50_coverage,
        undisturbed_basis=visit.basis,
        undisturbed_known=visit.known,
        calm_visits=visit.calm_visits,
        calm_share=visit.calm_share,
        halves_agree=visit.halves_agree,
        all_visits_ms=visit.all_visits_ms,
        all_visits_low_ms=visit.all_visits_low_ms,
        all_visits_high_ms=visit.all_visits_high_ms,
        estimates_agree=visit.estimates_agree,
        experienced_p50_ms=visit.experienced_p50_ms,
        experienced_p50_low_ms=visit.experienced_low_ms,
        experienced_p50_high_ms=visit.experienced_high_ms,
        p90_ms=p90.ms,
        p90_low_ms=p90.low_ms,
        p90_high_ms=p90.high_ms,
        p90_samples_needed=p90.needed,
        p95_ms=p95.ms,
        p95_low_ms=p95.low_ms,
        p95_high_ms=p95.high_ms,
        p95_samples_needed=p95.needed,
        p99_ms=p99.ms,
        p99_low_ms=p99.low_ms,
        p99_high_ms=p99.high_ms,
        p99_samples_needed=p99.needed,
        p999_ms=p999.ms,
        p999_low_ms=p999.low_ms,
        p999_high_ms=p999.high_ms,
        p999_samples_needed=p999.needed,
        device_p50_ms=state.device_p50_ms,
        throughput_images_per_s=state.throughput_per_s,
        saturates=finding.sweep.saturates or "",
        start_s=typical.start_s,
        import_s=typical.import_s,
        load_s=summary.load_s,
        compile_s=summary.compile_s,
        first_inference_ms=summary.first_inference_ms,
        cold_start_s=summary.cold_start_s,
        cached_start_s=summary.cached_start_s,
        imported_memory_mib=mib(typical.imported_bytes),
        loaded_memory_mib=mib(typical.loaded_bytes),
        compiled_memory_mib=mib(typical.compiled_bytes),
        first_inference_memory_mib=mib(typical.first_inference_bytes),
        peak_memory_mib=summary.peak_memory_mib,
        steady_peak_memory_mib=mib(typical.steady_peak_bytes),
        baseline_memory_mib=summary.baseline_memory_mib,
        steady_pss_mib=mib(typical.steady_pss_bytes),
        memory_per_image_mib=mib(finding.sweep.bytes_per_image),
        device_memory_mib=summary.device_memory_mib,
        device_allocated_mib=facts.device_allocated_mib,
        energy_j_per_image=state.energy_j,
        energy_source=summary.energy_source,
        artifact_mib=mib(record.artifact_bytes),
        parameters=record.parameters,
        macs_per_image=record.macs,
        flops_per_image=_flops(record.macs),
        macs_uncounted=", ".join(record.macs_uncounted),
        achieved_gflops=finding.gflops,
        peak_gflops=finding.peak_gflops,
        peak_raised=finding.peak_raised,
        share_of_peak=_at_most_one(finding.share_of_peak),
        bound_ms=bound.latency_ms,
        bound_limited_by=bound.limited_by,
        bounded_by=finding.bounded_by,
        times_bound=_at_least_one(finding.times_bound),
        unfused_ms=bound.unfused_ms,
        moved_bytes=bound.moved_bytes,
        baseline=speedup.baseline,
        speedup=speedup.value,
        speedup_low=speedup.low,
        speedup_high=speedup.high,
        speedup_coverage=speedup.coverage,
        speedup_answer=speedup.answer,
        speedup_verdict=speedup.verdict,
        speedup_reason=speedup.reason,
        experienced_speedup=experienced.value,
        experienced_speedup_low=experienced.low,
        experienced_speedup_high=experienced.high,
        experienced_speedup_coverage=experienced.coverage,
        experienced_speedup_answer=experienced.answer,
        undisturbed_speedup=undisturbed.value,
        undisturbed_speedup_low=undisturbed.low,
        undisturbed_speedup_high=undisturbed.high,
        undisturbed_speedup_coverage=undisturbed.coverage,
        undisturbed_speedup_answer=undisturbed.answer,
        ranking_differs=finding.against is not None and finding.against.ranking_differs,
        tokens=record.tokens,
        softmax_speedup=softmax.value,
        softmax_speedup_low=softmax.low,
        softmax_speedup_high=softmax.high,
        softmax_answer=softmax.answer,
        cores_used=state.cores_used,
        delivered_p10=visit.delivered_p10,
        delivered_p50=visit.delivered_p50,
        delivered_p90=visit.delivered_p90,
        delivered_slope=visit.slope,
        foreign_cpu_share=typical.foreign_cpu_share,
        steal_share=typical.steal_share,
        switches_per_call=typical.switches_per_call,
        frequency_mhz=typical.frequency_mhz,
        warm_up_calls=typical_launch(record.launches).most_warm_up_calls,
        gpu_sm_clock_mhz=gpu.sm_clock_mhz,
        gpu_memory_clock_mhz=gpu.memory_clock_mhz,
        gpu_temperature_c=gpu.temperature_c,
        gpu_power_w=gpu.power_w,
        gpu_throttle_reasons=gpu.throttle_reasons,
        gpu_other_processes=gpu.other_processes,
        gpu_graphics_processes=gpu.graphics_processes,
        gpu_used_mib=gpu.used_mib,
        gpu_pcie=gpu.pcie,
        gpu_ecc=gpu.ecc,
        gpu_missing=gpu.missing,
        parity_max_error=_largest_error(record),
        parity_weak=_weakness(record),
        parity_accepted=_accepted(record),
        accuracy=quality.accuracy,
        accuracy_low=quality.accuracy_low,
        accuracy_high=quality.accuracy_high,
        accuracy_of=quality.accuracy_of,
        accuracy_images=quality.images,
        accuracy_data=quality.data,
        accuracy_difference=quality.difference,
        accuracy_difference_low=quality.difference_low,
        accuracy_difference_high=quality.difference_high,
        accuracy_answer=quality.answer,
        agreement=quality.agreement,
        largest_shift=quality.largest_shift,
        launches=_launches(finding),
        launches_left_out=state.left_out,
        launches_flipped=summary.launches_flipped,
        processes=visit.processes,
        process_shift=visit.process_shift,
        visits=visit.visits,
        independent_visits=visit.independent,
        samples=state.samples,
        launches_binned=sum(launch.steady_histogram is not None for launch in shown_launches),
        verdict=judgement.verdict,
        reason=noting_losses(judgement, record.launches).reason,
        advice=judgement.advice,
        complete=record.complete,
        stopped=record.stopped,
        more_rounds=record.more_rounds,
        profile=record.profile,
        run=record.run,
        host=record.host.hostname,
        environment=in_words(said_of(record.host.environment_kept or {})),
        artifact_key=cell.artifact_key,
        assumed="; ".join(record.assumed),
        command=record.command,
    )


def _pinned(record: Record) -> str | None:
    if record.pinned is None:
        return None
    return list_of_cpus(record.pinned)


def _flops(macs: int | None) -> int | None:
    """Two operations a multiply-add."""
    if macs is None:
        return None
    return 2 * macs


def _at_most_one(share: float | None) -> float | None:
    """A share of a peak; none where it is over 1, which no time that is known has."""
    if share is None or share > 1:
        return None
    return share


def _at_least_one(times: float | None) -> float | None:
    """How many times its bound a time is; none where it is below, which none that is known is."""
    if times is None or times < 1:
        return None
    return times


def _largest_error(record: Record) -> float | None:
    if record.parity is None:
        return None
    return record.parity.max_error


def _weakness(record: Record) -> str:
    if record.parity is None:
        return ""
    return record.parity.weak


def _accepted(record: Record) -> str:
    return "" if record.parity is None else record.parity.accepted


def _launches(finding: Finding) -> int:
    """Those in the state of the machine; all of them for a cell without an estimate."""
    if finding.state is None:
        return len(finding.record.launches)
    return finding.state.launches
