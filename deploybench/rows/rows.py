"""From records to rows: every field is written where it is filled, nothing is computed but
units."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from deploybench.analysis.crossover import AttentionFamily, Crossover, crossovers
from deploybench.analysis.findings import Finding, findings_of
from deploybench.analysis.lost_launches import noting_losses
from deploybench.analysis.typical import typical_gpu, typical_launch
from deploybench.data.image_size import size_text
from deploybench.models.zoo import FAIR, SOFTMAX
from deploybench.results.record import Percentile, Record
from deploybench.rows.row import Row
from deploybench.statistics.ratios import DEFAULT_MARGIN

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
    crossed = crossovers(records, FAIR_FAMILY, margin) if crossed is None else crossed
    return [row_of(finding) for finding in findings_of(records, baseline, margin, crossed)]


def row_of(finding: Finding) -> Row:
    """One finding, flat, in the units that the fields name."""
    record, state = finding.record, finding.state
    cell, summary, bound = record.cell, record.summary, record.bound
    facts = next((launch.facts for launch in record.launches if launch.facts is not None), None)
    # Without a summary (wrong outputs, a crash) no figure of the launches may be shown.
    typical = typical_launch(record.launches if summary else ())
    gpu = typical_gpu(record.launches)
    percentiles: Mapping[float, Percentile] = (
        {item.fraction: item for item in state.percentiles} if state else {}
    )
    p90, p95 = percentiles.get(0.9), percentiles.get(0.95)
    p99, p999 = percentiles.get(0.99), percentiles.get(0.999)
    against = finding.against
    ratio = against.speedup.ratio if against else None
    softmax = finding.softmax
    judgement = finding.judgement
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
        state_hop_ns=state.hop_ns if state else None,
        state_share=finding.state_share,
        states_seen=len(summary.states) if summary else 0,
        main_state=finding.main_state,
        mixed_states_ms=finding.mixed_states_ms,
        p50_ms=state.p50_ms if state else None,
        p50_low_ms=state.p50_low_ms if state else None,
        p50_high_ms=state.p50_high_ms if state else None,
        p50_coverage=state.p50_coverage if state else None,
        p90_ms=p90.ms if p90 else None,
        p90_low_ms=p90.low_ms if p90 else None,
        p90_high_ms=p90.high_ms if p90 else None,
        p90_samples_needed=p90.needed if p90 else None,
        p95_ms=p95.ms if p95 else None,
        p95_low_ms=p95.low_ms if p95 else None,
        p95_high_ms=p95.high_ms if p95 else None,
        p95_samples_needed=p95.needed if p95 else None,
        p99_ms=p99.ms if p99 else None,
        p99_low_ms=p99.low_ms if p99 else None,
        p99_high_ms=p99.high_ms if p99 else None,
        p99_samples_needed=p99.needed if p99 else None,
        p999_ms=p999.ms if p999 else None,
        p999_low_ms=p999.low_ms if p999 else None,
        p999_high_ms=p999.high_ms if p999 else None,
        p999_samples_needed=p999.needed if p999 else None,
        device_p50_ms=state.device_p50_ms if state else None,
        throughput_images_per_s=state.throughput_per_s if state else None,
        saturates=finding.sweep.saturates or "",
        start_s=typical.start_s,
        import_s=typical.import_s,
        load_s=summary.load_s if summary else None,
        compile_s=summary.compile_s if summary else None,
        first_inference_ms=summary.first_inference_ms if summary else None,
        cold_start_s=summary.cold_start_s if summary else None,
        imported_memory_mib=_mib(typical.imported_bytes),
        loaded_memory_mib=_mib(typical.loaded_bytes),
        compiled_memory_mib=_mib(typical.compiled_bytes),
        first_inference_memory_mib=_mib(typical.first_inference_bytes),
        peak_memory_mib=_mib(summary.peak_bytes) if summary else None,
        steady_peak_memory_mib=_mib(typical.steady_peak_bytes),
        baseline_memory_mib=_mib(summary.baseline_bytes) if summary else None,
        steady_pss_mib=_mib(typical.steady_pss_bytes),
        memory_per_image_mib=_mib(finding.sweep.bytes_per_image),
        device_memory_mib=_mib(summary.device_bytes) if summary else None,
        device_allocated_mib=_mib(facts.device_bytes) if facts else None,
        energy_j_per_image=state.energy_j if state else None,
        energy_source=summary.energy_source if summary else None,
        artifact_mib=_mib(record.artifact_bytes),
        parameters=record.parameters,
        macs_per_image=record.macs,
        flops_per_image=2 * record.macs if record.macs is not None else None,
        achieved_gflops=finding.gflops,
        share_of_peak=finding.share_of_peak,
        bound_ms=bound.latency_ms if bound else None,
        bound_limited_by=bound.limited_by if bound else None,
        times_bound=finding.times_bound,
        unfused_ms=bound.unfused_ms if bound else None,
        moved_bytes=bound.moved_bytes if bound else None,
        baseline=against.runner if against else None,
        speedup=ratio.value if ratio else None,
        speedup_low=ratio.low if ratio else None,
        speedup_high=ratio.high if ratio else None,
        speedup_coverage=ratio.coverage if ratio else None,
        speedup_answer=against.answer if against else None,
        speedup_verdict=against.judgement.verdict if against else None,
        speedup_reason=against.reason if against else "",
        tokens=record.tokens,
        softmax_speedup=softmax.ratio.value if softmax else None,
        softmax_speedup_low=softmax.ratio.low if softmax else None,
        softmax_speedup_high=softmax.ratio.high if softmax else None,
        softmax_answer=softmax.answer if softmax else None,
        cores_used=state.cores_used if state else None,
        foreign_cpu_share=typical.foreign_cpu_share,
        steal_share=typical.steal_share,
        switches_per_call=typical.switches_per_call,
        frequency_mhz=typical.frequency_mhz,
        warm_up_calls=typical_launch(record.launches).most_warm_up_calls,
        gpu_sm_clock_mhz=gpu.sm_clock_mhz if gpu else None,
        gpu_memory_clock_mhz=gpu.memory_clock_mhz if gpu else None,
        gpu_temperature_c=gpu.temperature_c if gpu else None,
        gpu_power_w=gpu.power_w if gpu else None,
        gpu_throttle_reasons=_listed(gpu.throttle_reasons) if gpu else None,
        gpu_other_processes=gpu.other_processes if gpu else None,
        gpu_graphics_processes=gpu.graphics_processes if gpu else None,
        gpu_used_mib=_mib(gpu.used_bytes) if gpu else None,
        gpu_pcie=gpu.pcie if gpu else None,
        gpu_ecc=gpu.ecc if gpu else None,
        gpu_missing=_reasons(gpu.missing) if gpu else "",
        parity_max_error=record.parity.max_error if record.parity else None,
        launches=state.launches if state else len(record.launches),
        launches_left_out=state.left_out if state else 0,
        launches_flipped=summary.flipped if summary else 0,
        samples=state.samples if state else 0,
        verdict=judgement.verdict,
        reason=noting_losses(judgement, record.launches).reason,
        advice=judgement.advice,
        complete=record.complete,
        stopped=record.stopped,
        more_rounds=record.more_rounds,
        profile=record.profile,
        run=record.run,
        host=record.host.hostname,
        artifact_key=cell.artifact_key,
        command=record.command,
    )


def _mib(amount: float | None) -> float | None:
    return None if amount is None else amount / MIB


def _listed(words: Sequence[str] | None) -> str | None:
    return None if words is None else ", ".join(words)


def _reasons(missing: Mapping[str, str]) -> str:
    return "; ".join(f"{figure}: {why}" for figure, why in missing.items())
