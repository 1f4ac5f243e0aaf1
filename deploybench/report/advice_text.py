"""What an advice says besides its first sentence: what follows, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.analysis.advice import Advice, Rival, Standing
from deploybench.analysis.amounts import Quantity
from deploybench.analysis.candidates import Candidate
from deploybench.analysis.constraints import Assessment
from deploybench.analysis.open_points import OpenPoint
from deploybench.plurals import counted
from deploybench.report.advice_sentence import misses
from deploybench.report.advice_words import (
    OF_LIMITS,
    VERDICTS,
    amount_words,
    cell_words,
    doubt_words,
    in_doubt,
    machine_words,
    model_words,
    plain_limit,
    several,
)
from deploybench.report.figures import MIB, three_digits

BEST_BY = {
    Quantity.P50: "the fastest (p50)",
    Quantity.P99: "the best by p99",
    Quantity.THROUGHPUT: "the one of the highest rate",
    Quantity.MEMORY: "the one that takes the least memory",
    Quantity.SIZE: "the smallest",
    Quantity.ACCURACY: "the most accurate",
}
LIKE_AMOUNTS = 1.05
"""Memory that differs by less is the same to whoever has to pay for it."""
CLOSE_TO_THE_LIMIT = 0.03
"""Whole runs shift by about as much: nearer to a limit another run may land beyond it."""


def consequences(advice: Advice) -> list[str]:
    """What else is known of the recommended one: beside the others, and of its weights."""
    best = advice.recommended
    if best is None:
        return []
    lines = _beside_others(advice, best)
    candidate = best.candidate
    cell = candidate.record.cell
    if candidate.random_weights:
        lines.append(
            f"The weights of {cell.model} are random: its speed is that of a trained one, its "
            "answers mean nothing."
        )
    elif candidate.record.weights_random_share:
        share = f"{candidate.record.weights_random_share:.1%}"
        lines.append(f"{share} of the parameters of {cell.model} are random (--allow-partial).")
    if candidate.quality is not None and candidate.quality.data.synthetic:
        made = candidate.quality.data.synthetic
        lines.append(f"Its accuracy is on images that were made: {made}.")
    if candidate.quality is not None:
        lines += [f"Of its images: {note}." for note in candidate.quality.data.notes]
    lines += [f"Close: {words}." for words in _close(best, advice.choice.accuracy_of)]
    return lines


def line_of_model(advice: Advice, among: Sequence[Candidate]) -> str:
    """The answer for one model, in short."""
    kind = advice.choice.accuracy_of
    shown = advice.recommended or advice.promising or advice.nearest
    if shown is None:
        return f"{model_words(advice.choice.candidates[0], among)}: none of its cells can be used"
    candidate = shown.candidate
    name = f"{model_words(candidate, among)}: {cell_words(candidate, advice.choice.candidates)}"
    figure = amount_words(advice.objective, candidate.amounts[advice.objective], kind)
    if advice.recommended is not None:
        rivals = [rival.assessment.candidate for rival in advice.as_good]
        same = [cell_words(rival, advice.choice.candidates) for rival in rivals]
        words = f"{name}, {figure}"
        if same:
            words += f"; {several(same)} as good, as far as is known"
        return words
    if advice.promising is not None:
        if not shown.open:
            words = in_doubt(figure, candidate.amounts[advice.objective].doubt)
            return f"{name}, perhaps: {OF_LIMITS[advice.objective]} {words}"
        reasons = [doubt_words(judged, kind) for judged in shown.open]
        return f"{name}, perhaps: {'; '.join(reasons)}"
    model = model_words(candidate, among)
    nearest = cell_words(candidate, advice.choice.candidates)
    return f"{model}: none; the nearest is {nearest}: {several(misses(shown, kind))}"


def open_lines(points: Sequence[OpenPoint], advice: Advice) -> list[str]:
    """What is not known, a line for each reason, and what would tell."""
    kind = advice.choice.accuracy_of
    by_reason: dict[str, list[Candidate]] = {}
    for point in points:
        by_reason.setdefault(_reason(point, kind), []).append(point.candidate)
    candidates = advice.choice.candidates
    lines = []
    for reason, members in by_reason.items():
        names = [_full_name(member, candidates) for member in members]
        lines.append(f"{several(names)}: {reason}")
    return lines


def accuracy_line(advice: Advice) -> str:
    """That nobody measured the accuracy of what is recommended, where it was not asked for."""
    best = advice.recommended
    if best is None:
        return ""
    amount = best.candidate.amounts[Quantity.ACCURACY]
    if not amount.doubt:
        return ""
    name = _full_name(best.candidate, advice.choice.candidates)
    if best.candidate.random_weights:
        return f"{name}: {amount.doubt}. Once it is exported with --checkpoint, this measures it:"
    return f"{name}: {amount.doubt}. This measures it:"


def other_models(advice: Advice) -> str:
    """That a fastest model is no best one, where nobody measured how good they are."""
    best = advice.recommended
    groups = {one.candidate.record.cell.group for one in advice.assessments if one.usable}
    if best is None or len(groups) < 2:
        return ""
    known = {
        one.candidate.record.cell.group
        for one in advice.assessments
        if one.candidate.amounts[Quantity.ACCURACY].known is not None
    }
    if known >= groups:
        return ""
    models = counted(len(groups), "model")
    return (
        f"{models} are compared by {OF_LIMITS[advice.objective]} alone, as their accuracy is not "
        "known of each: --model takes one."
    )


def _full_name(candidate: Candidate, among: Sequence[Candidate]) -> str:
    models = {other.record.cell.group for other in among}
    name = cell_words(candidate, among)
    if len(models) < 2:
        return name
    return f"{model_words(candidate, among)} {name}"


def _beside_others(advice: Advice, best: Assessment) -> list[str]:
    """What is as good as it, and what it is better than."""
    candidates = advice.choice.candidates
    meeting = len(advice.rivals) + 1
    if meeting == 1:
        others = len(advice.assessments) - 1
        if not others:
            return ["It is the only candidate: there is nothing to choose between."]
        reason = "meets what was asked" if advice.constraints else "has a figure that is known"
        return [f"It is the only one of {counted(others + 1, 'candidate')} that {reason}."]
    name = _full_name(best.candidate, candidates)
    of_all = f"of {meeting} that meet all" if advice.constraints else f"of {meeting}"
    lines = []
    if advice.as_good:
        same = [_same_words(rival, best, candidates) for rival in advice.as_good]
        lines.append(f"As good, as far as is known: {several(same)}.")
    else:
        lines.append(f"{name} is {BEST_BY[advice.objective]} {of_all}.")
    following = advice.next_best
    if following is not None:
        text = f"The next, {_full_name(following.assessment.candidate, candidates)}, is behind"
        if following.ratio is not None:
            ratio = following.ratio
            reach = f"{ratio.low:.2f} to {ratio.high:.2f}"
            text += f": {name} is {ratio.value:.2f} times as fast ({reach})"
        lines.append(f"{text}.")
    return lines


def _same_words(rival: Rival, best: Assessment, candidates: Sequence[Candidate]) -> str:
    other = rival.assessment.candidate
    parts = []
    if rival.ratio is not None:
        ratio = rival.ratio
        reach = f"{1 / ratio.high:.2f} to {1 / ratio.low:.2f}"
        words = f"{1 / ratio.value:.2f} times its speed, {reach}"
        if rival.standing is Standing.NOT_KNOWN:
            words += ", not settled"
        parts.append(words)
    mine = best.candidate.amounts[Quantity.MEMORY].value
    theirs = other.amounts[Quantity.MEMORY].value
    if mine and theirs and max(mine / theirs, theirs / mine) > LIKE_AMOUNTS:
        amounts = f"{three_digits(theirs / MIB)} MB of memory instead of {three_digits(mine / MIB)}"
        parts.append(amounts)
    name = _full_name(other, candidates)
    if not parts:
        return name
    return f"{name} ({'; '.join(parts)})"


def _close(best: Assessment, kind: str) -> list[str]:
    """The limits that another run might land beyond, as whole runs shift."""
    words = []
    for judged in best.judged:
        known, limit = judged.amount.known, judged.constraint.limit
        if known is None or not judged.constraint.quantity.of_time or not limit:
            continue
        end = known.low if judged.constraint.quantity.more_is_better else known.high
        if abs(end - limit) <= CLOSE_TO_THE_LIMIT * limit:
            name = OF_LIMITS[judged.constraint.quantity]
            asked = plain_limit(judged.constraint, kind)
            words.append(f"its {name} is within 3 % of {asked}, and whole runs shift by as much")
    return words


def _reason(point: OpenPoint, kind: str) -> str:
    quantity = point.quantity
    amount = point.candidate.amounts[quantity]
    if point.judged is not None:
        text = doubt_words(point.judged, kind)
    else:
        shown = amount_words(quantity, amount, kind)
        text = f"{OF_LIMITS[quantity]}: {in_doubt(shown, amount.doubt)}"
    verdict = amount.doubt.partition(":")[0]
    if verdict in VERDICTS:
        # The figures stand in the table, and why they decide nothing below it.
        return f"{OF_LIMITS[quantity]}: it is {verdict}"
    if point.too_close:
        return f"{text}; too close for any time of measuring that anybody waits for"
    if point.images is not None:
        return f"{text}; about {point.images:,} images would tell"
    return text


def machine_title(advice: Advice) -> str:
    """The machine, as a heading."""
    words = machine_words(advice.choice.machine)
    return f"{words[0].upper()}{words[1:]}"
