"""The table of scenarios: a row a record, LoadGen's verdict on it, and its reasons below."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.data.image_size import size_text
from deploybench.report.figures import VERDICT_STYLES
from deploybench.report.table import NOTHING, Column, Note, Prose, Report, Style, table_of
from deploybench.scenarios.record import ScenarioRecord
from deploybench.scenarios.settings import Scenario

MLPERF_MIN_DURATION_S = 600


def scenario_report(records: Sequence[ScenarioRecord]) -> Report:
    """The rows, the reason and LoadGen's advice of each that is not VALID, and what this is
    not."""
    table = table_of(COLUMNS, records, group=_title, name=_name, notes=_notes, data=scenario_data)
    remarks = _remarks(records)
    sections = (table, Prose(tuple(remarks), Style.FAINT)) if remarks else (table,)
    return Report(sections)


def scenario_data(record: ScenarioRecord) -> dict[str, object]:
    """The same as data. The raw latencies are in the record."""
    cell, settings, trial = record.cell, record.settings, record.trial
    loadgen = trial.loadgen
    return {
        "run": record.run,
        "model": cell.model,
        "image_size": size_text(cell.image_size),
        "patch_size": cell.patch_size,
        "runner": cell.runner,
        "precision": cell.precision,
        "scenario": settings.scenario.value,
        "threads": cell.threads,
        "instances": settings.instances,
        "batch": cell.batch,
        "samples_per_query": settings.samples_per_query,
        "target_qps": settings.target_qps,
        "latency_bound_ms": settings.latency_bound_ms,
        "percentile": settings.percentile,
        "verdict": record.judgement.verdict.value,
        "reason": record.judgement.reason,
        "advice": record.judgement.advice,
        "query_count": loadgen.query_count if loadgen else None,
        "p50_ms": trial.percentile_ms(0.5),
        "p90_ms": trial.percentile_ms(0.9),
        "p99_ms": trial.percentile_ms(0.99),
        "p99_9_ms": trial.percentile_ms(0.999),
        "latency_at_percentile_ms": trial.percentile_ms(settings.fraction),
        "rate_per_s": loadgen.rate_per_s if loadgen else None,
        "scheduled_per_s": loadgen.scheduled_per_s if loadgen else None,
        "early_stopping_latency_ns": loadgen.early_stopping_latency_ns if loadgen else None,
        "loadgen_percentiles_ns": loadgen.percentiles_ns if loadgen else None,
        "loadgen_version": loadgen.version if loadgen else None,
        "probes": [probe.model_dump() for probe in record.probes],
        "mlperf_submission": False,
        "command": record.command,
    }


def _title(record: ScenarioRecord) -> str:
    cell = record.cell
    patches = f", patches of {cell.patch_size}" if cell.patch_size else ""
    return f"{cell.model}, {cell.weights}, {size_text(cell.image_size)}{patches}"


def _name(record: ScenarioRecord) -> str:
    return f"{record.cell.model} {record.cell.runner} {record.settings.scenario.value}"


def _notes(record: ScenarioRecord) -> list[Note]:
    judgement = record.judgement
    return [Note(judgement.reason, advice=judgement.advice)] if judgement.reason else []


def _threads(record: ScenarioRecord) -> str:
    """The budget; shared among several instances it is instances x threads of each."""
    threads, instances = record.cell.threads, record.settings.instances
    return f"{instances}x{threads // instances}" if instances > 1 else str(threads)


def _queries(record: ScenarioRecord) -> str:
    loadgen = record.trial.loadgen
    return str(loadgen.query_count) if loadgen else NOTHING


def _percentile(record: ScenarioRecord, fraction: float) -> str:
    value = record.trial.percentile_ms(fraction)
    return NOTHING if value is None else _ms(value)


def _result(record: ScenarioRecord) -> str:
    """What the scenario is for: a latency at the percentile, or a rate."""
    settings, loadgen = record.settings, record.trial.loadgen
    if loadgen is None:
        return NOTHING
    if settings.scenario is Scenario.SERVER:
        return f"{settings.target_qps:g}/s in {settings.latency_bound_ms:g} ms"
    if settings.scenario is Scenario.OFFLINE:
        return f"{loadgen.rate_per_s:.1f} img/s"
    return f"p{settings.percentile:g} {_percentile(record, settings.fraction)} ms"


def _remarks(records: Sequence[ScenarioRecord]) -> list[str]:
    lines = []
    for record in records:
        if record.probes:
            tried = ", ".join(
                f"{probe.target_qps:g} {'held' if probe.passed else 'missed'}"
                for probe in record.probes
            )
            lines.append(f"{record.cell.model} {record.cell.runner}: rates tried, per s: {tried}")
    for record in records:
        padded = _padded(record)
        if padded:
            lines.append(
                f"{record.cell.model} {record.cell.runner} {record.settings.scenario.value}: the "
                f"last batch of each "
                f"query is padded by {padded} images, which do not count"
            )
    durations = {record.settings.min_duration_s for record in records}
    if durations:
        shortest = f"{min(durations):g} s"
        lines.append(
            f"Not an MLPerf submission: at least {shortest} a test (MLPerf: "
            f"{MLPERF_MIN_DURATION_S} s), the artifact's "
            "reference images instead of a data set, and no accuracy run. VALID and INVALID are "
            "LoadGen's."
        )
    return lines


def _padded(record: ScenarioRecord) -> int:
    settings, loadgen = record.settings, record.trial.loadgen
    if loadgen is None:
        return 0
    images = (
        len(loadgen.latencies_ns)
        if settings.scenario is Scenario.OFFLINE
        else settings.samples_per_query
    )
    return -images % settings.batch


def _ms(milliseconds: float) -> str:
    return f"{milliseconds:.3g}" if milliseconds < 100 else f"{milliseconds:.0f}"


COLUMNS = (
    Column[ScenarioRecord]("scenario", "scenario", lambda record: record.settings.scenario.value),
    Column[ScenarioRecord]("runner", "runner", lambda record: record.cell.runner),
    Column[ScenarioRecord]("precision", "prec", lambda record: record.cell.precision),
    Column[ScenarioRecord]("threads", "thr", _threads, number=True, priority=3),
    Column[ScenarioRecord]("batch", "b", lambda record: str(record.cell.batch), number=True),
    Column[ScenarioRecord]("queries", "queries", _queries, number=True, priority=3),
    Column[ScenarioRecord](
        "p50", "p50", lambda record: _percentile(record, 0.5), unit="ms", number=True, priority=2
    ),
    Column[ScenarioRecord](
        "p99", "p99", lambda record: _percentile(record, 0.99), unit="ms", number=True, priority=2
    ),
    Column[ScenarioRecord]("result", "result", lambda record: _result(record), number=True),
    Column[ScenarioRecord](
        "verdict",
        "verdict",
        lambda record: record.judgement.verdict.value,
        style=lambda record: VERDICT_STYLES[record.judgement.verdict],
    ),
)
