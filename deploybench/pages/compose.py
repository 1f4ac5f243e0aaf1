"""The page of records: which sections it has, and what stands in each.

Only what there is data for has a section. Every table is one that a command prints, too; nothing
is computed here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from deploybench.analysis.answers import answers_of
from deploybench.analysis.findings import Finding
from deploybench.analysis.ranking import rankings
from deploybench.archive.imported import Imported
from deploybench.pages import (
    accuracy_chart,
    macs_chart,
    memory_chart,
    sweep_chart,
    visits_chart,
    warm_up_chart,
)
from deploybench.pages.accuracy_chart import ACCURACY
from deploybench.pages.host_table import host_table
from deploybench.pages.layers_chart import layers_section
from deploybench.pages.machines import Entry, Machine, Run, machines_of, view_name
from deploybench.pages.macs_chart import MACS
from deploybench.pages.memory_chart import MEMORY
from deploybench.pages.page import About, Block, Chart, Comparison, Page, Section, View
from deploybench.pages.reasons import commands_block, verdict_blocks
from deploybench.pages.sentences import sentences_of
from deploybench.pages.visits_chart import OVER_TIME
from deploybench.pages.warm_up_chart import WARM_UP
from deploybench.plurals import counted
from deploybench.report.answer_text import answer_sections
from deploybench.report.imported_table import LEGEND, group_of, imported_table
from deploybench.report.run_table import run_table
from deploybench.report.table import Prose, Style
from deploybench.results.explanation import Explanation
from deploybench.results.record import Record
from deploybench.rows.row import row_data
from deploybench.statistics.ratios import DEFAULT_MARGIN

DEFAULT_TITLE = "DeployBench report"
MOST_TRACES = 60
"""Cells whose visits are drawn: the page holds so many, whatever the number of records."""
MOST_WARM_UPS = 24
"""Cells whose first calls are drawn."""
MOST_RUNS = 30
"""Runs that a chart can be chosen of."""
MOST_ANSWERS = 40
"""Answers in whole sentences that a reader may be asked to read."""


def page_of(
    records: Sequence[Record],
    *,
    title: str = DEFAULT_TITLE,
    baseline: str | None = None,
    margin: float = DEFAULT_MARGIN,
    imported: Sequence[Imported] = (),
    layers: Sequence[Explanation] = (),
) -> Page:
    """The page of records of any number of runs, machines and profiles; ``layers`` are what
    ``deploybench explain`` found of their artifacts.

    ``imported`` is what other tools measured: a section of its own, in no row and no chart.

    ``baseline`` and ``margin`` as in :func:`deploybench.analysis.findings.findings_of`.
    """
    machines = machines_of(records, baseline, margin)
    answers = answers_of(records, baseline, margin)
    ranked = [ranking for machine in machines for ranking in rankings(_newest(machine))]
    sections = [
        Section("comparison", "Comparison", "Comparison", tuple(_comparisons(machines))),
        *_chart_sections(machines),
        layers_section(layers),
        Section("imported", "Measured by other tools", "Imported", tuple(_imported(imported))),
        Section(
            "answers", "The answers in full", "In full", tuple(_answers(machines, baseline, margin))
        ),
        Section("verdicts", "Verdicts and reasons", "Verdicts", tuple(verdict_blocks(machines))),
        Section("machines", "Machines and versions", "Machines", (host_table(machines),)),
        Section("repeat", "How to repeat each row", "Repeat", tuple(commands_block(machines))),
    ]
    return Page(
        title=title,
        about=_about(records, machines),
        sentences=sentences_of(machines, answers, ranked),
        sections=tuple(section for section in sections if section.blocks),
    )


def _imported(results: Sequence[Imported]) -> Iterator[Block]:
    """A table for each tool and each thing that a time is: a page's tables have no groups."""
    groups: dict[str, list[Imported]] = {}
    for result in results:
        groups.setdefault(group_of(result), []).append(result)
    for number, (title, members) in enumerate(sorted(groups.items()), start=1):
        legend = LEGEND if number == len(groups) else ""
        yield replace(imported_table(members), title=title, legend=legend)


def _newest(machine: Machine) -> list[Finding]:
    return machine.runs[0].findings


def _about(records: Sequence[Record], machines: Sequence[Machine]) -> str:
    runs = {record.run for record in records}
    last = max((record.created for record in records), default="")[:10]
    return (
        f"{counted(len(records), 'record')} of {counted(len(runs), 'run')} on "
        f"{counted(len(machines), 'machine')}; the newest is of {last}"
    )


def _comparisons(machines: Sequence[Machine]) -> Iterator[Comparison]:
    for number, machine in enumerate(machines):
        entries = machine.entries
        rows = [entry.row for entry in entries]
        table = run_table(rows, machine.roofs)
        title = machine.name if len(machines) > 1 else ""
        yield Comparison(
            key=f"rows-{number}",
            title=title,
            table=replace(table, data=tuple(row_data(row) for row in rows)),
            alike=_alike(entries),
            commands=tuple(row.command for row in rows),
        )


def _alike(entries: Sequence[Entry]) -> tuple[int, ...]:
    """Which rows may be put into one order: those of one job and run, measured alike."""
    numbers: dict[tuple[object, ...], int] = {}
    alike = []
    for entry in entries:
        row = entry.row
        measured_alike = (
            row.job,
            row.run,
            row.device,
            row.batch,
            row.asked_threads,
            row.streams,
            row.timing,
            row.state_hop_ns if row.states_seen > 1 else None,
        )
        alike.append(numbers.setdefault(measured_alike, len(numbers)))
    return tuple(alike)


def _chart_sections(machines: Sequence[Machine]) -> Iterator[Section]:
    runs = _largest_first([run for machine in machines for run in machine.runs])
    runners = list(dict.fromkeys(entry.row.runner for run in runs for entry in run.entries))
    by_macs, by_accuracy, memory = [], [], []
    for run in runs:
        name = view_name(run, len(machines))
        by_macs.append(macs_chart.macs_view(run, name, runners))
        by_accuracy.append(accuracy_chart.accuracy_view(run, name, runners))
        memory.append(memory_chart.memory_view(run, name))
    yield _section(MACS, by_macs, "Run")
    yield _section(ACCURACY, by_accuracy, "Run")
    for sweep in (sweep_chart.BATCHES, sweep_chart.STREAMS, sweep_chart.SIZES):
        views: list[View] = []
        for run in runs:
            name = view_name(run, len(machines)) if len(runs) > 1 else ""
            views += sweep_chart.sweep_views(run, sweep, name)
        yield _section(sweep.about, views, "What")
    traces = list(_traces(machines))
    over_time = [visits_chart.visits_view(entry, name) for entry, name in traces]
    yield _section(OVER_TIME, over_time, "Cell")
    warm_up = [warm_up_chart.warm_up_view(entry, name) for entry, name in traces[:MOST_WARM_UPS]]
    yield _section(WARM_UP, warm_up, "Cell")
    yield _section(MEMORY, memory, "Run")


def _largest_first(runs: Sequence[Run]) -> list[Run]:
    """What has the most to show is looked at first; of equals the newest. The others can be
    chosen."""
    newest_first = sorted(runs, key=lambda run: run.name, reverse=True)
    return sorted(newest_first, key=lambda run: -len(run.entries))[:MOST_RUNS]


def _traces(machines: Sequence[Machine]) -> Iterator[tuple[Entry, str]]:
    """The first cells with a time, and how each is named among them."""
    several = sum(len(machine.runs) for machine in machines) > 1
    drawn = 0
    for machine in machines:
        for run in machine.runs:
            for entry in run.entries:
                if drawn >= MOST_TRACES:
                    return
                if not entry.row.main_state or not visits_chart.has_times(entry):
                    continue
                drawn += 1
                name = entry.finding.record.cell.title()
                if several:
                    name += f", {view_name(run, len(machines))}"
                yield entry, name


def _section(about: About, views: Sequence[View | None], choice: str) -> Section:
    """The section of a chart; without any block where no run has data for it."""
    there = tuple(view for view in views if view is not None)
    blocks: tuple[Block, ...] = ()
    if there:
        blocks = (Chart(about, there, choice),)
    return Section(about.key, about.title, about.short, blocks)


def _answers(machines: Sequence[Machine], baseline: str | None, margin: float) -> Iterator[Block]:
    """The sentences of each run, until there are as many as anybody reads."""
    left, unsaid = MOST_ANSWERS, 0
    for machine in machines:
        for run in machine.runs:
            if left <= 0:
                # Answers take long to be found, and these would not be said.
                unsaid += len({entry.row.job for entry in run.entries if entry.row.p50_ms})
                continue
            records = [entry.finding.record for entry in run.entries if entry.row.main_state]
            answers = answers_of(records, baseline, margin)
            said = answers[:left]
            left -= len(said)
            unsaid += len(answers) - len(said)
            if not said:
                continue
            for prose in answer_sections(said, records):
                heading = prose.title
                if not prose.verbatim:
                    heading = view_name(run, len(machines))
                yield Prose(prose.lines, prose.style, heading, prose.verbatim)
    if unsaid:
        more = counted(unsaid, "more answer")
        yield Prose((f"{more}: deploybench show prints those of one run.",), Style.FAINT)
