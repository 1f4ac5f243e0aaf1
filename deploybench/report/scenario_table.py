"""The table of scenarios: a row a record, LoadGen's verdict on it, and its reasons below."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.data.image_size import size_text
from deploybench.plurals import counted
from deploybench.report.figures import VERDICT_STYLES
from deploybench.report.table import NOTHING, Column, Note, Prose, Report, Style, table_of
from deploybench.scenarios.loadgen import LoadGenResult
from deploybench.scenarios.record import Probe, ScenarioRecord
from deploybench.scenarios.settings import Scenario

MLPERF_MIN_DURATION_S = 600
LOADGEN_FIGURES = (
    "query_count",
    "rate_per_s",
    "scheduled_per_s",
    "early_stopping_latency_ns",
    "percentiles_ns",
    "version",
)


def scenario_report(records: Sequence[ScenarioRecord]) -> Report:
    """The rows, and what this is not.

    Each row that is not VALID has a note with the reason and LoadGen's advice.
    """
    table = table_of(COLUMNS, records, group=_title, name=_name, notes=_notes, data=scenario_data)
    remarks = _remarks(records)
    if not remarks:
        return Report((table,))
    return Report((table, Prose(tuple(remarks), Style.FAINT)))


def scenario_data(record: ScenarioRecord) -> dict[str, object]:
    """The same as data. The raw latencies are in the record."""
    cell, settings, trial = record.cell, record.settings, record.trial
    loadgen = _loadgen_data(trial.loadgen)
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
        "parity_accepted": _accepted(record),
        "query_count": loadgen["query_count"],
        "p50_ms": trial.percentile_ms(0.5),
        "p90_ms": trial.percentile_ms(0.9),
        "p99_ms": trial.percentile_ms(0.99),
        "p99_9_ms": trial.percentile_ms(0.999),
        "latency_at_percentile_ms": trial.percentile_ms(settings.fraction),
        "rate_per_s": loadgen["rate_per_s"],
        "scheduled_per_s": loadgen["scheduled_per_s"],
        "early_stopping_latency_ns": loadgen["early_stopping_latency_ns"],
        "loadgen_percentiles_ns": loadgen["percentiles_ns"],
        "loadgen_version": loadgen["version"],
        "probes": [probe.model_dump() for probe in record.probes],
        "mlperf_submission": False,
        "command": record.command,
    }


def _loadgen_data(loadgen: LoadGenResult | None) -> dict[str, object]:
    """What LoadGen measured; None where it came to no test."""
    if loadgen is None:
        return dict.fromkeys(LOADGEN_FIGURES)
    return {
        "query_count": loadgen.query_count,
        "rate_per_s": loadgen.rate_per_s,
        "scheduled_per_s": loadgen.scheduled_per_s,
        "early_stopping_latency_ns": loadgen.early_stopping_latency_ns,
        "percentiles_ns": loadgen.percentiles_ns,
        "version": loadgen.version,
    }


def _title(record: ScenarioRecord) -> str:
    cell = record.cell
    parts = [cell.model, cell.weights, size_text(cell.image_size)]
    if cell.patch_size:
        parts.append(f"patches of {cell.patch_size}")
    return ", ".join(parts)


def _name(record: ScenarioRecord) -> str:
    return f"{record.cell.model} {record.cell.runner} {record.settings.scenario.value}"


def _notes(record: ScenarioRecord) -> list[Note]:
    notes = []
    judgement = record.judgement
    if judgement.reason:
        notes.append(Note(judgement.reason, advice=judgement.advice))
    accepted = _accepted(record)
    if accepted:
        notes.append(Note(f"accepted by accuracy: {accepted}"))
    return notes


def _accepted(record: ScenarioRecord) -> str:
    """The accuracy that stands for parity, in words; empty where none does."""
    parity = record.trial.parity
    if parity is None:
        return ""
    return parity.accepted


def _threads(record: ScenarioRecord) -> str:
    """The budget; shared among several instances it is instances x threads of each."""
    threads, instances = record.cell.threads, record.settings.instances
    if instances > 1:
        return f"{instances}x{threads // instances}"
    return str(threads)


def _queries(record: ScenarioRecord) -> str:
    loadgen = record.trial.loadgen
    if loadgen is None:
        return NOTHING
    return str(loadgen.query_count)


def _percentile(record: ScenarioRecord, fraction: float) -> str:
    value = record.trial.percentile_ms(fraction)
    if value is None:
        return NOTHING
    return _ms(value)


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
            tried = ", ".join(_probe_text(probe) for probe in record.probes)
            lines.append(f"{record.cell.model} {record.cell.runner}: rates tried, per s: {tried}")
    for record in records:
        padded = _padded(record)
        if padded:
            verb = "does" if padded == 1 else "do"
            lines.append(
                f"{_name(record)}: the last batch of each query is padded by "
                f"{counted(padded, 'image')}, which {verb} not count"
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


def _probe_text(probe: Probe) -> str:
    """A rate that was tried, and what came of it."""
    if probe.passed:
        return f"{probe.target_qps:g} held"
    return f"{probe.target_qps:g} missed"


def _padded(record: ScenarioRecord) -> int:
    """How many images fill up the last batch of a query."""
    settings, loadgen = record.settings, record.trial.loadgen
    if loadgen is None:
        return 0
    images = settings.samples_per_query
    if settings.scenario is Scenario.OFFLINE:
        # One query holds all images.
        images = len(loadgen.latencies_ns)
    # What is missing to the next multiple of the batch.
    return -images % settings.batch


def _ms(milliseconds: float) -> str:
    if milliseconds < 100:
        return f"{milliseconds:.3g}"
    return f"{milliseconds:.0f}"


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
