"""The table of scenarios: a row a record, LoadGen's verdict on it, and its reasons below."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from deploybench.data.image_size import size_text
from deploybench.report.run_table import NOTHING, VERDICT_STYLES
from deploybench.scenarios.record import ScenarioRecord
from deploybench.scenarios.settings import Scenario
from deploybench.statistics.samples import nearest_rank

MLPERF_MIN_DURATION_S = 600
NAMES, FIGURES = (
    ("scenario", "runner", "prec"),
    ("thr", "b", "queries", "p50 ms", "p99 ms", "result"),
)
SHOWN_FRACTIONS = {"p50_ms": 0.5, "p90_ms": 0.9, "p99_ms": 0.99, "p99_9_ms": 0.999}


def print_scenario_table(records: Sequence[ScenarioRecord], console: Console) -> None:
    """Print the rows, the reason and LoadGen's advice of each that is not VALID, and what this is
    not."""
    noted = [record for record in records if record.judgement.reason]
    for _, group in groupby(records, key=lambda record: record.cell.group):
        members = list(group)
        cell = members[0].cell
        patches = f", patches of {cell.patch_size}" if cell.patch_size else ""
        size = size_text(cell.image_size)
        console.print(f"{cell.model}, {cell.weights}, {size}{patches}", style="bold", markup=False)
        console.print(_table(members, noted))
    for number, record in enumerate(noted, 1):
        title = f"{record.cell.model} {record.cell.runner} {record.settings.scenario.value}"
        console.print(f"[{number}] {title}: {record.judgement.reason}", markup=False)
        if record.judgement.advice:
            console.print(f"    [dim]→ {escape(record.judgement.advice)}[/dim]")
    for line in _remarks(records):
        console.print(line, style="dim", markup=False)


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
        **{name: trial.percentile_ms(fraction) for name, fraction in SHOWN_FRACTIONS.items()},
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


def _table(records: Sequence[ScenarioRecord], noted: Sequence[ScenarioRecord]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for name in NAMES:
        table.add_column(name, no_wrap=True)
    for name in FIGURES:
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for record in records:
        table.add_row(*_cells(record), _verdict(record, noted))
    return table


def _cells(record: ScenarioRecord) -> list[str]:
    cell, settings, loadgen = record.cell, record.settings, record.trial.loadgen
    threads = str(cell.threads)
    if settings.instances > 1:
        threads = f"{settings.instances}x{cell.threads // settings.instances}"
    figures = [NOTHING] * 4
    if loadgen is not None:
        percentiles = [
            _ms(nearest_rank(loadgen.latencies_ns, fraction) / 1e6) for fraction in (0.5, 0.99)
        ]
        figures = [str(loadgen.query_count), *percentiles, _result(record)]
    return [
        settings.scenario.value,
        cell.runner,
        cell.precision,
        threads,
        str(cell.batch),
        *figures,
    ]


def _result(record: ScenarioRecord) -> str:
    """What the scenario is for: a latency at the percentile, or a rate."""
    settings, loadgen = record.settings, record.trial.loadgen
    assert loadgen is not None
    if settings.scenario is Scenario.SERVER:
        return f"{settings.target_qps:g}/s in {settings.latency_bound_ms:g} ms"
    if settings.scenario is Scenario.OFFLINE:
        return f"{loadgen.rate_per_s:.1f} img/s"
    latency_ms = record.trial.percentile_ms(settings.fraction)
    assert latency_ms is not None
    return f"p{settings.percentile:g} {_ms(latency_ms)} ms"


def _verdict(record: ScenarioRecord, noted: Sequence[ScenarioRecord]) -> Text:
    verdict = record.judgement.verdict.value
    number = f" [{noted.index(record) + 1}]" if record in noted else ""
    return Text(verdict + number, style=VERDICT_STYLES[verdict])


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
