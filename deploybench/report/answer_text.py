"""The answer above the table, in sentences that need no legend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from deploybench.analysis.answers import (
    Lead,
    MemoryUse,
    ModelAnswer,
    command_for,
    rounds_in_all,
)
from deploybench.data.image_size import full_text
from deploybench.hardware.devices import CPU
from deploybench.plurals import counted
from deploybench.report.contention_text import contention_text, of_calls
from deploybench.report.figures import (
    CAUSES,
    CAUSES_OF_VISITS,
    MIB,
    TOO_WIDE,
    WIDEST_SHOWN,
)
from deploybench.report.table import Prose
from deploybench.results.cell import HOST_TO_HOST, Cell
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict

TITLE = "The answer"
LIKE_AMOUNTS = 1.05
"""Memory that differs by less than this is the same to whoever has to pay for it."""
FEW = 4
"""More names than this are counted instead."""


def answer_sections(answers: Sequence[ModelAnswer], records: Sequence[Record]) -> list[Prose]:
    """The answer for each model; one sentence where nothing is known of any."""
    contested = [answer for answer in answers if answer.contested]
    if not contested:
        return _nothing_to_compare(answers)
    if all(answer.fastest is None for answer in contested):
        return _nothing_known(contested, records)
    sections = [Prose(tuple(_lines(contested)), title=TITLE)]
    sections += _what_would_settle(contested)
    return sections


def _lines(answers: Sequence[ModelAnswer]) -> list[str]:
    lines = []
    remembered: set[object] = set()
    for answer in answers:
        name = _name(answer, answers)
        lines.append(f"{name}: {_fastest(answer)}")
        model = (answer.records[0].run, answer.cell.group, answer.cell.device)
        if model not in remembered:
            # Once a model: memory hardly depends on how the calls are timed.
            remembered.add(model)
            lines += [f"  {line}" for line in _memory(answer)]
        lines += [f"  {line}" for line in _contention(answer)]
        if answer.undecided and answer.fastest is not None:
            lines.append(f"  Not known: {_undecided(answer)}")
    return lines


def _fastest(answer: ModelAnswer) -> str:
    """Who is the fastest, by how much, and how sure that is."""
    if answer.fastest is None:
        return _not_known(answer)
    name = _runner(answer.fastest.cell, answer)
    if answer.undecided:
        beaten = _beaten(answer)
        if beaten:
            text = f"{name} is faster than {_several(beaten)}"
        else:
            text = f"{name} is among the fastest"
    elif answer.as_fast:
        others = [_runner(cell, answer) for cell in answer.as_fast]
        text = f"{_several([name, *others])} are equally fast, and the fastest"
    elif any(lead.contention_decides for lead in answer.leads):
        text = f"{name} is the fastest undisturbed"
    else:
        text = f"{name} is the fastest"
    parts = []
    baseline, runner_up = answer.over_baseline, answer.over_next
    if answer.baseline is not None and answer.baseline.key == answer.fastest.cell.key:
        text += " (it is the baseline)"
    elif baseline is not None and baseline.cell not in answer.as_fast:
        parts.append(_lead(baseline, answer, "the baseline"))
    if runner_up is not None and (baseline is None or runner_up.cell.key != baseline.cell.key):
        parts.append(_lead(runner_up, answer, "the next"))
    if parts:
        text += f", {', and '.join(parts)}"
    return f"{text}. {_sureness(answer)}"


def _beaten(answer: ModelAnswer) -> list[str]:
    """The runners that the fastest is known to be faster than."""
    names = []
    for lead in answer.leads:
        if lead.cell not in answer.undecided and lead.cell not in answer.as_fast:
            names.append(_runner(lead.cell, answer))
    return names


def _lead(lead: Lead, answer: ModelAnswer, role: str) -> str:
    ratio = lead.ratio
    name = f"{role}, {_runner(lead.cell, answer)}"
    text = f"{ratio.value:.2f} times as fast as {name}"
    if ratio.half_width > WIDEST_SHOWN:
        return f"{text} ({TOO_WIDE})"
    low, high = f"{ratio.low:.2f}", f"{ratio.high:.2f}"
    if low == high:
        return text
    return f"{text} ({low} to {high})"


def _not_known(answer: ModelAnswer) -> str:
    """Which one it may be, and what would tell."""
    perhaps = _runner(answer.records[0].cell, answer)
    text = f"which runner is the fastest is not known; perhaps {perhaps}"
    if answer.more_rounds is None:
        return f"{text}. They are too close, or the machine too restless, for rounds to tell."
    return f"{text}. About {_more_looks(answer, answer.more_rounds)} would tell."


def _more_looks(answer: ModelAnswer, rounds: int) -> str:
    """So many more rounds; of visits each round is a visit of every cell."""
    if all(record.visits for record in answer.records):
        return f"{counted(rounds, 'more visit')} of each"
    return counted(rounds, "more round")


def _sureness(answer: ModelAnswer) -> str:
    """From how many rounds, and whether anything disturbed them."""
    count = min((lead.ratio.count for lead in answer.leads), default=0)
    rounds = counted(count, "round")
    if answer.records[0].visits:
        rounds = counted(count, "visit")
    confidence = f"95 % sure, from {rounds}"
    if all(lead.undisturbed for lead in answer.leads):
        return f"{confidence[0].upper()}{confidence[1:]}."
    return f"Likely, not certain: other work disturbed some of the {rounds}."


def _contention(answer: ModelAnswer) -> list[str]:
    """Where it is other work on the machine that decides who is the faster one."""
    fastest = answer.fastest
    if fastest is None:
        return []
    records = {record.cell.key: record for record in answer.records}
    lines = []
    for lead in answer.leads:
        if lead.contention_decides:
            other = records[lead.cell.key]
            names = (_runner(fastest.cell, answer), _runner(other.cell, answer))
            lines.append(contention_text(lead, fastest, other, names))
    return lines


def _memory(answer: ModelAnswer) -> list[str]:
    least = answer.least_memory
    if least is None:
        return []
    most = max(use.peak_bytes for use in answer.memory)
    if most <= LIKE_AMOUNTS * least.peak_bytes:
        return [f"Memory: all take about {least.peak_bytes / MIB:.0f} MB."]
    text = f"Least memory: {_runner(least.cell, answer)}, {least.peak_bytes / MIB:.0f} MB"
    reference = _memory_of_baseline(answer)
    if reference is not None and reference.cell.key != least.cell.key:
        text += f" ({_runner(reference.cell, answer)}: {reference.peak_bytes / MIB:.0f} MB)"
    return [f"{text}."]


def _memory_of_baseline(answer: ModelAnswer) -> MemoryUse | None:
    if answer.baseline is None:
        return None
    for use in answer.memory:
        if use.cell.key == answer.baseline.key:
            return use
    return None


def _undecided(answer: ModelAnswer) -> str:
    names = _several([_runner(cell, answer) for cell in answer.undecided])
    assert answer.fastest is not None  # asked only where there is one
    fastest = _runner(answer.fastest.cell, answer)
    verb = "are"
    if len(answer.undecided) == 1:
        verb = "is"
    text = f"whether {names} {verb} faster than {fastest}"
    if answer.more_rounds is None:
        return f"{text}; they are too close, or the machine too restless, for rounds to tell."
    return f"{text}; about {_more_looks(answer, answer.more_rounds)} would tell."


def _what_would_settle(answers: Sequence[ModelAnswer]) -> list[Prose]:
    """One command for all that is not known and that rounds would tell."""
    open_questions = []
    for answer in answers:
        if answer.undecided and answer.more_rounds is not None:
            open_questions.append(answer)
    if not open_questions:
        return []
    if len(open_questions) == 1:
        command = open_questions[0].command
    else:
        members: list[Record] = []
        for answer in open_questions:
            members += _open_records(answer)
        rounds = max(rounds_in_all(answer.leads, answer.more_rounds) for answer in open_questions)
        command = command_for(members, rounds)
    return [Prose((f"  {command}",), title="This settles what is not known:", verbatim=True)]


def _open_records(answer: ModelAnswer) -> list[Record]:
    """The records that have to be measured again: the fastest, and what may be faster."""
    members = []
    for record in answer.records:
        if record is answer.fastest or record.cell in answer.undecided:
            members.append(record)
    return members


def _nothing_known(answers: Sequence[ModelAnswer], records: Sequence[Record]) -> list[Prose]:
    """One sentence and one command, instead of a row after the other."""
    models = dict.fromkeys(answer.cell.model for answer in answers)
    about = _several(list(models))
    reason = _main_cause(records)
    line = f"Which runner is the fastest is not known for {about}: {reason}."
    members: list[Record] = []
    for answer in answers:
        members += answer.records
    rounds = max(rounds_in_all(answer.leads, answer.more_rounds) for answer in answers)
    advice = "This settles it:"
    if any(answer.more_rounds is None for answer in answers):
        # More rounds alone would not: the machine is too restless.
        advice = "Stop other work on the machine, then measure again:"
    command = f"  {command_for(members, rounds)}"
    return [Prose((line,), title=TITLE), Prose((command,), title=advice, verbatim=True)]


def _main_cause(records: Sequence[Record]) -> str:
    """What disturbed most of the measurements."""
    causes: Counter[str] = Counter()
    for record in records:
        verdict = record.judgement.verdict
        if verdict in CAUSES:
            cause = CAUSES[verdict]
            if record.visits:
                cause = CAUSES_OF_VISITS[verdict]
            causes[cause] += 1
    if not causes:
        return "the differences are smaller than what the rounds can tell"
    cause, count = causes.most_common(1)[0]
    return f"{cause} ({count} of {counted(len(records), 'measurement')})"


def _nothing_to_compare(answers: Sequence[ModelAnswer]) -> list[Prose]:
    """Models that one runner alone gave a number for."""
    if not answers:
        return [Prose(("Nothing was measured: the rows below say why.",), title=TITLE)]
    lines = []
    for answer in answers:
        record = answer.records[0]
        assert record.summary is not None  # answers are of records with a number
        takes = of_calls(record.summary.states[0])
        doubt = ""
        if record.judgement.verdict is not Verdict.VALID:
            doubt = f", not to be relied on ({record.judgement.verdict.value})"
        name = _name(answer, answers)
        lines.append(f"{name}: {record.cell.runner} {takes}{doubt}.")
    lines.append("One runner alone: there is nothing to compare it with.")
    return [Prose(tuple(lines), title=TITLE)]


def _name(answer: ModelAnswer, answers: Sequence[ModelAnswer]) -> str:
    """The model, with whatever else tells it from the other answers."""
    cell = answer.cell
    cells = [other.cell for other in answers]
    parts = []
    alike = [other for other in cells if other.model == cell.model]
    if len({other.weights_identity for other in alike}) > 1:
        parts.append(cell.weights)
    if len({(other.image_size, other.patch_size) for other in alike}) > 1:
        parts.append(full_text(cell.image_size, cell.patch_size))
    if len({other.device for other in cells}) > 1 or cell.device != CPU:
        parts.append(f"on {cell.device}")
    if len({other.batch for other in cells}) > 1 or cell.batch > 1:
        parts.append(f"batch {cell.batch}")
    if len({other.threads for other in cells}) > 1:
        parts.append(counted(cell.threads, "thread"))
    if cell.streams > 1:
        parts.append(f"{cell.streams} streams")
    if cell.timing != HOST_TO_HOST:
        parts.append(cell.timing)
    if len({other.records[0].run for other in answers}) > 1:
        parts.append(f"run {answer.records[0].run}")
    if not parts:
        return cell.model
    return f"{cell.model} ({', '.join(parts)})"


def _runner(cell: Cell, answer: ModelAnswer) -> str:
    """The runner, with its precision, form or launch where it competes with itself."""
    rivals = [record.cell for record in answer.records]
    parts = [cell.runner]
    if len({other.precision for other in rivals}) > 1:
        parts.append(cell.precision)
    twins = []
    for other in rivals:
        if other.runner == cell.runner and other.precision == cell.precision:
            twins.append(other)
    if len({other.form for other in twins}) > 1:
        parts.append(cell.form)
    if len({other.options for other in twins}) > 1:
        parts.append(f"({', '.join(cell.option_titles) or 'no options'})")
    return " ".join(parts)


def _several(names: Sequence[str]) -> str:
    """Names in a sentence: a, b and c."""
    if len(names) > FEW:
        return f"{', '.join(names[: FEW - 1])} and {len(names) - FEW + 1} more"
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
