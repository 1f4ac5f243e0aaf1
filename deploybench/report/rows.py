"""The row of a record: flat, every unit in the name. Table, JSON and CSV print the same rows."""

from __future__ import annotations

import csv
import io
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields

from deploybench.results import Record
from deploybench.stats import kendall_tau
from deploybench.summary import speedup

BASELINE_RUNNER = "pytorch"
MIB = 1 << 20


@dataclass(frozen=True)
class Row:
    """One cell, flat. None where there is nothing to show; ``verdict`` and ``reason`` say why."""

    model: str
    weights: str
    weights_identity: str
    image_size: str
    backend: str
    form: str
    runner: str
    device: str
    asked_precision: str
    precision: str
    batch: int
    asked_threads: int
    threads: int | None
    provider: str | None
    p50_ms: float | None
    p50_low_ms: float | None
    p50_high_ms: float | None
    p50_coverage: float | None
    p90_ms: float | None
    p99_ms: float | None
    throughput_images_per_s: float | None
    load_s: float | None
    first_inference_ms: float | None
    peak_memory_mib: float | None
    baseline_memory_mib: float | None
    artifact_mib: float | None
    parameters: int | None
    macs_per_image: int | None
    flops_per_image: int | None
    achieved_gflops: float | None
    share_of_peak: float | None
    speedup_vs_eager: float | None
    cores_used: float | None
    parity_max_error: float | None
    launches: int
    samples: int
    verdict: str
    reason: str
    advice: str
    complete: bool
    profile: str
    run: str
    command: str


def rows_of(records: Sequence[Record]) -> list[Row]:
    """One row a record, grouped by model, in the order in which the models appear."""
    groups: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        groups[record.cell.group].append(record)
    rows = []
    for group in groups.values():
        eager = {
            _job_of(record): record
            for record in group
            if record.cell.runner == BASELINE_RUNNER and record.cell.precision == "fp32"
        }
        rows += [_row(record, eager.get(_job_of(record))) for record in sorted(group, key=_place)]
    return rows


def to_json(rows: Sequence[Row]) -> str:
    return json.dumps([asdict(row) for row in rows], indent=1)


def to_csv(rows: Sequence[Row]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    return stream.getvalue()


def rank_correlations(rows: Sequence[Row]) -> dict[str, tuple[float, int]]:
    """Kendall's tau of MACs with p50 latency over the models, for each runner, and the number of models.

    Only rows of the smallest batch and of the runner's fp32 take part, one a model: unlike rows are
    never ranked together.
    """
    pairs: dict[str, dict[tuple[str, str, str], tuple[float, float]]] = defaultdict(dict)
    shown = [row for row in rows if row.p50_ms is not None and row.macs_per_image is not None]
    smallest = min((row.batch for row in shown), default=1)
    for row in shown:
        if row.batch == smallest and row.precision == "fp32":
            point = (float(row.macs_per_image or 0), row.p50_ms or 0.0)
            pairs[row.runner][(row.model, row.weights_identity, row.image_size)] = point
    found = {}
    for runner, points in pairs.items():
        tau = kendall_tau([macs for macs, _ in points.values()], [ms for _, ms in points.values()])
        if tau is not None:
            found[runner] = (tau, len(points))
    return found


def _place(record: Record) -> tuple[object, ...]:
    """The order within a model: eager first, then by runner, batch and precision."""
    cell = record.cell
    return (cell.runner != BASELINE_RUNNER, cell.runner, cell.threads, cell.batch, cell.precision)


def _job_of(record: Record) -> tuple[object, ...]:
    return (record.run, record.cell.batch, record.cell.threads, record.cell.device)


def _row(record: Record, eager: Record | None) -> Row:
    cell, summary = record.cell, record.summary
    facts = next((launch.facts for launch in record.launches if launch.facts is not None), None)
    gflops = record.gflops
    share = gflops / record.peak_gflops if gflops is not None and record.peak_gflops else None
    return Row(
        model=cell.model,
        weights=cell.weights,
        weights_identity=cell.weights_identity,
        image_size="x".join(str(size) for size in cell.image_size),
        backend=cell.backend,
        form=cell.form,
        runner=cell.runner,
        device=cell.device,
        asked_precision=cell.precision,
        precision=facts.precision if facts else cell.precision,
        batch=cell.batch,
        asked_threads=cell.threads,
        threads=facts.threads if facts else None,
        provider=facts.provider if facts else None,
        p50_ms=summary.p50_ms if summary else None,
        p50_low_ms=summary.p50_low_ms if summary else None,
        p50_high_ms=summary.p50_high_ms if summary else None,
        p50_coverage=summary.p50_coverage if summary else None,
        p90_ms=summary.p90_ms if summary else None,
        p99_ms=summary.p99_ms if summary else None,
        throughput_images_per_s=summary.throughput_per_s if summary else None,
        load_s=summary.load_s if summary else None,
        first_inference_ms=summary.first_inference_ms if summary else None,
        peak_memory_mib=summary.peak_bytes / MIB if summary else None,
        baseline_memory_mib=summary.baseline_bytes / MIB if summary else None,
        artifact_mib=record.artifact_bytes / MIB if record.artifact_bytes is not None else None,
        parameters=record.parameters,
        macs_per_image=record.macs,
        flops_per_image=2 * record.macs if record.macs is not None else None,
        achieved_gflops=gflops,
        share_of_peak=share,
        speedup_vs_eager=speedup(eager, record) if eager and summary and eager.summary else None,
        cores_used=summary.cores_used if summary else None,
        parity_max_error=record.parity.max_error if record.parity else None,
        launches=len(record.launches),
        samples=summary.samples if summary else 0,
        verdict=record.judgement.verdict.value,
        reason=record.judgement.reason,
        advice=record.judgement.advice,
        complete=record.complete,
        profile=record.profile,
        run=record.run,
        command=record.command,
    )
