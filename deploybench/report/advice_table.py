"""What ``advise`` prints: the sentence, the table of all candidates, and what is not known."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deploybench.analysis.advice import Advice, by_model
from deploybench.analysis.amounts import Quantity
from deploybench.analysis.candidates import Candidate
from deploybench.analysis.constraints import Fit
from deploybench.analysis.open_points import (
    commands_that_tell,
    evaluate_command,
    open_points,
)
from deploybench.hardware.devices import CPU
from deploybench.plurals import counted
from deploybench.report.advice_sentence import sentence
from deploybench.report.advice_text import (
    accuracy_line,
    consequences,
    line_of_model,
    machine_title,
    open_lines,
    other_models,
)
from deploybench.report.advice_words import OF_LIMITS, cell_words, limit_words, model_words
from deploybench.report.figures import MIB, three_digits
from deploybench.report.quality_cells import (
    AGREEMENT,
    DIFFERENCE,
    INTERVALS,
    accuracy_difference_text,
    agreement_text,
    share_text,
)
from deploybench.report.run_cells import (
    experienced_text,
    half_width_text,
    p50_text,
    rate_text,
    verdict_style,
    verdict_text,
)
from deploybench.report.run_notes import notes_of
from deploybench.report.table import NOTHING, Column, Note, Prose, Report, Style, Table, table_of
from deploybench.results.cell import precision_name
from deploybench.rows.advice_row import BEST, AdviceRow, advice_data, advice_rows

FIT_STYLES = {Fit.MEETS: Style.GOOD, Fit.FAILS: Style.BAD, Fit.NOT_KNOWN: Style.DOUBTFUL}
NOT_TIMED = "not timed"
SELDOM = ("accuracy", "accuracy_difference", "agreement", "experienced_p50_ms", "place")
"""Columns that are shown where they say anything."""


def advice_report(advices: Sequence[Advice], notes: Sequence[str] = ()) -> Report:
    """The advices, one a machine; JSON and CSV hold a row a candidate.

    ``notes`` say what could not be read.
    """
    sections: list[Table | Prose] = [
        Prose(tuple(sentence(advice) for advice in advices), Style.STRONG)
    ]
    for advice in advices:
        title = machine_title(advice) if len(advices) > 1 else ""
        sections += _sections(advice, title)
    if notes:
        sections.append(Prose(tuple(notes), title="Left out"))
    report = Report(tuple(sections))
    return Report(report.sections, [entry for table in report.tables for entry in table.data])


def _sections(advice: Advice, title: str) -> list[Table | Prose]:
    candidates = advice.choice.candidates
    sections: list[Table | Prose] = []
    words = consequences(advice)
    of_models = by_model(advice)
    doubt = other_models(advice)
    if doubt:
        words.append(doubt)
    if words or title:
        sections.append(Prose(tuple(words), title=title))
    if len(of_models) > 1:
        lines = tuple(f"  {line_of_model(one, candidates)}" for one in of_models)
        sections.append(Prose(lines, title="Of each model"))
    points = open_points(advice)
    commands = commands_that_tell(points, advice.choice.evaluated_on)
    sections.append(candidates_table(advice, commands))
    sections += _open_sections(advice, open_lines(points, advice), commands)
    if advice.choice.notes:
        sections.append(Prose(advice.choice.notes, Style.FAINT))
    return sections


def _open_sections(advice: Advice, lines: Sequence[str], commands: Sequence[str]) -> list[Prose]:
    """What is not known, and the commands that would tell."""
    sections = []
    if lines:
        sections.append(Prose(tuple(lines), title="Not known"))
    if commands:
        sections.append(_commands(commands, "This would tell:"))
    unmeasured = accuracy_line(advice)
    best = advice.recommended
    if unmeasured and best is not None:
        candidates = [best.candidate, *(rival.assessment.candidate for rival in advice.as_good)]
        command = evaluate_command(candidates, advice.choice.evaluated_on)
        sections.append(_commands([command], unmeasured))
    return sections


def _commands(commands: Sequence[str], title: str) -> Prose:
    return Prose(tuple(f"  {command}" for command in commands), title=title, verbatim=True)


def candidates_table(advice: Advice, commands: Sequence[str]) -> Table:
    lines = advice_rows(advice)
    words = sentence(advice)
    candidates = advice.choice.candidates
    columns = [column for column in _columns(advice) if _shown(column, lines, advice)]
    return table_of(
        columns,
        lines,
        group=lambda line: _title(line, candidates),
        name=lambda line: f"{line.row.model} {line.row.runner}",
        notes=lambda line: _notes(line, advice),
        legend=_legend(advice, columns),
        data=lambda line: advice_data(line, advice, words, commands),
    )


def _columns(advice: Advice) -> tuple[Column[AdviceRow], ...]:
    kind = advice.choice.accuracy_of
    heading, unit = (kind, "%") if kind != "auc" else ("AUC", "")
    return (
        Column("runner", "runner", lambda line: line.row.runner),
        Column("device", "device", lambda line: line.row.device),
        Column("form", "form", lambda line: line.row.form, priority=2),
        Column("precision", "prec", lambda line: precision_name(line.row.precision, line.row.form)),
        Column("batch", "b", _batch, number=True),
        Column("threads", "thr", lambda line: str(line.row.asked_threads), number=True),
        Column("streams", "streams", lambda line: str(line.row.streams), number=True),
        Column("options", "options", lambda line: ", ".join(line.row.options.option_marks)),
        Column("p50_ms", "p50", lambda line: p50_text(line.row), unit="ms", number=True),
        Column("half_width", "±", lambda line: half_width_text(line.row), number=True),
        Column(
            "experienced_p50_ms",
            "met p50",
            lambda line: experienced_text(line.row),
            number=True,
            priority=3,
        ),
        Column("p99_ms", "met p99", _p99, number=True),
        Column("images_per_s", "img/s", lambda line: rate_text(line.row), number=True, priority=2),
        Column("memory_mib", "MB", _megabytes(Quantity.MEMORY), number=True),
        Column("artifact_mib", "file MB", _megabytes(Quantity.SIZE), number=True, priority=2),
        Column("accuracy", heading, _accuracy(kind), unit=unit, number=True),
        Column(
            "accuracy_difference",
            "Δ eager",
            lambda line: accuracy_difference_text(line.row),
            number=True,
            priority=2,
        ),
        Column(
            "agreement", "agree", lambda line: agreement_text(line.row), number=True, priority=2
        ),
        Column("verdict", "verdict", _verdict, style=_verdict_style),
        Column("front", "worth it", _front(advice), folds=True),
        Column("fit", "asked", _fit, style=_fit_style),
        Column("place", "choice", lambda line: line.place, style=_place_style),
    )


def _shown(column: Column[AdviceRow], lines: Sequence[AdviceRow], advice: Advice) -> bool:
    """Whether the column says anything: what tells rows apart where they differ in it."""
    texts = {column.show(line) for line in lines}
    if column.key in ("device", "threads", "streams", "options"):
        return len(texts) > 1
    if column.key == "form":
        # One runner has artifacts of another batch, precision or opset.
        of_runner = {(line.row.model, line.row.runner, line.row.form) for line in lines}
        return len(of_runner) > len({(line.row.model, line.row.runner) for line in lines})
    if column.key == "artifact_mib":
        limited = {one.quantity for one in advice.constraints} | {advice.objective}
        return Quantity.SIZE in limited
    if column.key == "fit":
        return bool(advice.constraints)
    if column.key in SELDOM:
        return bool(texts - {NOTHING, ""})
    return True


def _title(line: AdviceRow, candidates: Sequence[Candidate]) -> str:
    parts = [model_words(line.candidate, candidates)]
    weights = line.candidate.record.cell.weights
    if weights and weights not in parts[0]:
        parts.append(weights)
    return " · ".join(parts)


def _batch(line: AdviceRow) -> str:
    """The batch of an evaluation is no matter of what is deployed."""
    return str(line.row.batch) if line.candidate.timed else NOTHING


def _p99(line: AdviceRow) -> str:
    amount = line.candidate.amounts[Quantity.P99]
    if amount.value is None:
        return NOTHING
    text = three_digits(amount.value)
    if amount.low is None or amount.high is None:
        return text
    return f"{text} ({three_digits(amount.low)}–{three_digits(amount.high)})"


def _megabytes(quantity: Quantity) -> Callable[[AdviceRow], str]:
    def write(line: AdviceRow) -> str:
        value = line.candidate.amounts[quantity].value
        return NOTHING if value is None else f"{value / MIB:.0f}"

    return write


def _accuracy(kind: str) -> Callable[[AdviceRow], str]:
    def write(line: AdviceRow) -> str:
        amount = line.candidate.amounts[Quantity.ACCURACY]
        if kind != "auc":
            return share_text(amount.value, amount.low, amount.high)
        if amount.value is None:
            return NOTHING
        if amount.low is None or amount.high is None:
            return f"{amount.value:.3f}"
        reach = max(amount.value - amount.low, amount.high - amount.value)
        return f"{amount.value:.3f} ±{reach:.3f}"

    return write


def _verdict(line: AdviceRow) -> str:
    return verdict_text(line.row) if line.candidate.timed else NOT_TIMED


def _verdict_style(line: AdviceRow) -> Style:
    return verdict_style(line.row) if line.candidate.timed else Style.DOUBTFUL


def _front(advice: Advice) -> Callable[[AdviceRow], str]:
    candidates = advice.choice.candidates

    def write(line: AdviceRow) -> str:
        assessment = line.assessment
        if assessment.on_front is None:
            return NOTHING
        better = assessment.dominated_by
        if better is None:
            return "yes"
        name = cell_words(better, candidates)
        if better.record.cell.group != line.candidate.record.cell.group:
            name = f"{model_words(better, candidates)} {name}"
        return f"behind {name}"

    return write


def _fit(line: AdviceRow) -> str:
    """The outcome, with the constraints that it is for."""
    assessment = line.assessment
    if not assessment.usable:
        return NOTHING
    which = assessment.failed or assessment.open
    names = [OF_LIMITS[judged.constraint.quantity] for judged in which]
    if not names:
        return assessment.fit.value
    return f"{assessment.fit.value}: {', '.join(names)}"


def _fit_style(line: AdviceRow) -> Style:
    return FIT_STYLES[line.assessment.fit] if line.assessment.usable else Style.FAINT


def _place_style(line: AdviceRow) -> Style:
    return Style.GOOD if line.place == BEST else Style.PLAIN


def _notes(line: AdviceRow, advice: Advice) -> list[Note]:
    """Those of the comparison table, and why a p99 that is asked for is none."""
    notes = notes_of(line.row) if line.candidate.timed else []
    limited = {one.quantity for one in advice.constraints} | {advice.objective}
    amount = line.candidate.amounts[Quantity.P99]
    known = line.candidate.amounts[Quantity.P50].known is not None
    if Quantity.P99 in limited and amount.doubt and known:
        notes.append(Note("too few samples for a p99", amount.doubt))
    return notes


def _legend(advice: Advice, columns: Sequence[Column[AdviceRow]]) -> str:
    shown = {column.key for column in columns}
    kind = advice.choice.accuracy_of
    parts = ["p50, img/s: undisturbed; met: with whatever else ran, intervals in brackets"]
    parts.append("MB: peak memory above the interpreter, MiB")
    if any(one.record.cell.device != CPU for one in advice.choice.candidates):
        parts[-1] += "; on a GPU that GPU's"
    data = advice.choice.evaluated_on
    if "accuracy" in shown and data is not None:
        images = counted(data.data.evaluated, "image")
        parts.append(f"{kind}: on {images} of {data.data.name}, {INTERVALS}")
    if "accuracy_difference" in shown:
        parts.append(DIFFERENCE)
    if "agreement" in shown:
        parts.append(AGREEMENT.partition(";")[0])
    parts.append(
        "worth it: no other cell of the same batch and threads is clearly faster, smaller in "
        "memory or more accurate, and no worse otherwise; else it is behind one that is"
    )
    if advice.constraints:
        asked = "; ".join(limit_words(one, kind) for one in advice.constraints)
        parts.append(
            f"asked: {asked}; MEETS and FAILS: with the whole interval, of times only where VALID"
        )
    return " · ".join(parts)
