"""What a tuning says in words: the answer, and why each other configuration lost."""

from __future__ import annotations

from deploybench.analysis.advice import Rival, Standing
from deploybench.analysis.amounts import Quantity
from deploybench.analysis.candidates import Candidate
from deploybench.analysis.constraints import Fit
from deploybench.analysis.tuned import AGREEMENT, Outcome, Tuned
from deploybench.plurals import counted
from deploybench.report.advice_sentence import misses, sentence
from deploybench.report.advice_words import (
    OF_LIMITS,
    amount_words,
    cell_words,
    doubt_words,
    limit_words,
    several,
)
from deploybench.statistics.ratios import Ratio

WINNER = "the best"


def answer(tuned: Tuned) -> list[str]:
    """The sentence for somebody who reads one, then what is known beside the others."""
    lines = [_first(tuned)]
    if tuned.winner is not None:
        lines += _beside_others(tuned)
    lines.append(_effort(tuned))
    return lines


def _first(tuned: Tuned) -> str:
    """With how many times faster than fp32 eager the best is."""
    words = sentence(tuned.advice)
    if tuned.winner is None:
        return words
    if tuned.over_eager is None:
        if _is_eager(tuned):
            return f"{words} It is fp32 eager itself: nothing that may be used is better."
        return words
    return f"{words} {_speed(tuned.over_eager)} fp32 eager."


def _is_eager(tuned: Tuned) -> bool:
    assert tuned.winner is not None  # asked only then
    cell = tuned.winner.candidate.record.cell
    return cell.runner == tuned.winner.candidate.record.baseline and cell.precision == "fp32"


def _speed(ratio: Ratio) -> str:
    """``That is 4.52 times as fast (4.45 to 4.60) as``."""
    return f"That is {ratio.value:.2f} times as fast ({ratio.low:.2f} to {ratio.high:.2f}) as"


def _beside_others(tuned: Tuned) -> list[str]:
    """Which others are as good, or may be; else by how much the next is behind."""
    lines = []
    if tuned.same:
        lines.append(f"SAME: {_names(tuned, tuned.same)} cannot be told from it by any user.")
    if tuned.untold:
        lines.append(
            f"Not told apart in this budget: {_names(tuned, tuned.untold)}. A larger --budget goes "
            "on from here."
        )
    runner_up = tuned.runner_up
    if runner_up is not None and runner_up.standing is Standing.BETTER:
        name = cell_words(runner_up.assessment.candidate, tuned.advice.choice.candidates)
        lines.append(f"The next, {name}, is behind{_by(runner_up.ratio)}.")
    return lines


def _by(ratio: Ratio | None) -> str:
    if ratio is None:
        return ""
    return f": {ratio.value:.2f} times slower ({ratio.low:.2f} to {ratio.high:.2f})"


def _names(tuned: Tuned, rivals: tuple[Rival, ...]) -> str:
    candidates = tuned.advice.choice.candidates
    names = []
    for rival in rivals:
        name = cell_words(rival.assessment.candidate, candidates)
        if rival.ratio is not None:
            ratio = rival.ratio
            name += f" ({1 / ratio.value:.2f} times its speed, "
            name += f"{1 / ratio.high:.2f} to {1 / ratio.low:.2f})"
        names.append(name)
    return several(names)


def _effort(tuned: Tuned) -> str:
    """How many were looked at, and how long."""
    count = counted(len(tuned.outcomes), "configuration")
    rounds = counted(tuned.rounds, "round")
    text = f"{count} in {rounds}, {tuned.spent_s:.0f} s of evaluating and measuring."
    if not tuned.settled and tuned.winner is not None and not tuned.untold:
        text += " The budget was spent before every round was done."
    return text


def reason_words(outcome: Outcome, tuned: Tuned) -> str:
    """Why a configuration is not the best, in one reason."""
    assessment = outcome.assessment
    candidate = assessment.candidate
    kind = tuned.advice.choice.accuracy_of
    winner = tuned.winner
    if winner is not None and candidate is winner.candidate:
        return WINNER
    if candidate.unusable:
        return candidate.unusable
    if candidate.record.measures != "time":
        return "not tried: budget (its answers were seen, its time was not)"
    if assessment.fit is Fit.FAILS:
        return f"over the limit: {several(misses(assessment, kind))}"
    if assessment.fit is Fit.NOT_KNOWN:
        reasons = [doubt_words(judged, kind) for judged in assessment.open]
        return f"not known to be allowed: {'; '.join(reasons)}"
    if winner is None or outcome.beside is None:
        return "it was not measured beside the best"
    return _beside_words(outcome, candidate, tuned)


def _beside_words(outcome: Outcome, candidate: Candidate, tuned: Tuned) -> str:
    beside = outcome.beside
    assert beside is not None  # asked only then
    ratio = beside.ratio
    interval = ""
    if ratio is not None:
        interval = f" ({ratio.low:.2f} to {ratio.high:.2f})"
    if beside.standing is Standing.SAME:
        return f"SAME as the best{interval}"
    if beside.standing is Standing.NOT_KNOWN:
        return f"not told from the best{interval}"
    if ratio is not None and beside.standing is Standing.BETTER:
        return f"slower: {ratio.value:.2f} times the time of the best{interval}"
    if ratio is not None:
        return f"faster where they met, by another round than the last{interval}"
    objective = tuned.advice.objective
    figure = amount_words(objective, candidate.amounts[objective], "")
    return f"behind by {OF_LIMITS[objective]}: {figure}"


def asked_words(tuned: Tuned) -> str:
    """What was allowed, and what looked for."""
    kind = tuned.advice.choice.accuracy_of
    limits = []
    for constraint in tuned.advice.constraints:
        if kind == AGREEMENT and constraint.quantity is Quantity.DROP:
            limits.append(
                f"agreement with fp32 eager of at least {100 * (1 - constraint.limit):g} %"
            )
        else:
            limits.append(limit_words(constraint, kind))
    return f"Best by {OF_LIMITS[tuned.advice.objective]}; allowed: {several(limits)}."
