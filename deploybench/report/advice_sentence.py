"""The one sentence that an advice begins with: it needs no legend."""

from __future__ import annotations

from collections.abc import Mapping

from deploybench.analysis.advice import Advice
from deploybench.analysis.amounts import Quantity
from deploybench.analysis.candidates import Candidate
from deploybench.analysis.constraints import Assessment, Fit, Judged
from deploybench.plurals import counted
from deploybench.report.advice_words import (
    OF_LIMITS,
    amount_words,
    cell_words,
    doubt_words,
    is_on_gpu,
    limit_words,
    model_words,
    plain_limit,
    processor_words,
    several,
    with_model,
)
from deploybench.report.quality_cells import agreement_share

EXACT = ("fp32", "tf32")
"""Precisions in which parity says that the answers are the model's own."""
FIGURE_WORDS = {
    Quantity.P50: "in {}",
    Quantity.P99: "99 of 100 calls in at most {}",
    Quantity.THROUGHPUT: "{}",
    Quantity.MEMORY: "in {} of memory",
    Quantity.SIZE: "from a file of {}",
}


def sentence(advice: Advice) -> str:
    """What there is to say to somebody who reads one sentence."""
    if advice.recommended is not None:
        return _recommendation(advice, advice.recommended)
    place = where(advice, advice.promising or advice.nearest)
    asked = several([limit_words(one, advice.choice.accuracy_of) for one in advice.constraints])
    if advice.promising is not None:
        return _nothing_yet(advice, advice.promising, place, asked)
    if advice.nearest is not None:
        return _nothing(advice, advice.nearest, place, asked)
    count = counted(len(advice.assessments), "candidate")
    return f"On {place}, nothing can be deployed: of {count} none could be used, the rows say why."


def where(advice: Advice, shown: Assessment | None) -> str:
    """The processor that computes, in the words of people."""
    if shown is not None and is_on_gpu(shown.candidate):
        return f"the {processor_words(shown.candidate.processor)}"
    machine = advice.choice.machine
    return f"the {processor_words(machine.cpu_model)} ({counted(machine.usable_cores, 'core')})"


def _recommendation(advice: Advice, best: Assessment) -> str:
    candidate, kind = best.candidate, advice.choice.accuracy_of
    candidates = advice.choice.candidates
    limits = {judged.constraint.quantity: judged for judged in best.judged}
    text = (
        f"On {where(advice, best)}, {cell_words(candidate, candidates)} runs "
        f"{model_words(candidate, candidates)}"
    )
    if not is_on_gpu(candidate) and candidate.timed:
        text += f" with {counted(candidate.record.cell.threads, 'thread')}"
    parts = []
    for quantity in FIGURE_WORDS:
        asked = quantity in limits or quantity is advice.objective
        if asked or quantity is Quantity.P50:
            parts.append(_figure_words(candidate, quantity, limits.get(quantity), kind))
    text += f" {', '.join(part for part in parts if part)}"
    text += f"{_answers(candidate)}; {_accuracy(candidate, limits, kind)}."
    return text


def _figure_words(
    candidate: Candidate, quantity: Quantity, judged: Judged | None, kind: str
) -> str:
    amount = candidate.amounts[quantity]
    if amount.doubt:
        return f"(its {OF_LIMITS[quantity]} is not known)"
    words = FIGURE_WORDS[quantity].format(amount_words(quantity, amount, kind))
    if judged is None:
        return words
    limit = plain_limit(judged.constraint, kind)
    if quantity.more_is_better:
        return f"{words}, at least the {limit} asked for"
    return f"{words}, within the {limit} asked for"


def _answers(candidate: Candidate) -> str:
    """Whose answers it gives: that is what parity told."""
    parity = candidate.record.parity
    precision = candidate.record.cell.precision
    if parity is None:
        return "; nobody held its answers against PyTorch's"
    if parity.accepted:
        return f"; its answers are not PyTorch's, and were accepted by accuracy ({parity.accepted})"
    if parity.weak:
        return "; whether it gives the model's own answers parity can hardly tell"
    whose = "the trained model's own answers"
    if candidate.random_weights:
        whose = "PyTorch's answers"
    if precision not in EXACT:
        return f", and gives {whose} within what {precision} may cost"
    return f", and gives {whose}"


def _accuracy(candidate: Candidate, limits: Mapping[Quantity, Judged], kind: str) -> str:
    amount = candidate.amounts[Quantity.ACCURACY]
    quality = candidate.quality
    if amount.known is not None and quality is not None:
        text = amount_words(Quantity.ACCURACY, amount, kind)
        if Quantity.ACCURACY in limits:
            limit = plain_limit(limits[Quantity.ACCURACY].constraint, kind)
            text += f", at least the {limit} asked for"
        if Quantity.DROP in limits:
            text += f", {_drop(candidate)}"
        return f"{text}, on {counted(quality.data.evaluated, 'image')} of {quality.data.name}"
    if quality is not None and quality.eager is not None:
        share = agreement_share(quality.eager.agreement.top1.value)
        return (
            f"accuracy was not measured, as the images have no labels (agreement with fp32 eager: "
            f"{share} of {counted(quality.data.evaluated, 'image')})"
        )
    if amount.doubt == "its accuracy was not measured":
        return "accuracy was not measured"
    return f"accuracy is not known: {amount.doubt}"


def _drop(candidate: Candidate) -> str:
    """What is lost beside fp32 eager."""
    amount = candidate.amounts[Quantity.DROP]
    if amount.high == amount.low == 0:
        return "as fp32 eager on every image"
    return f"{amount_words(Quantity.DROP, amount)} less than fp32 eager"


def _nothing_yet(advice: Advice, shown: Assessment, place: str, asked: str) -> str:
    kind = advice.choice.accuracy_of
    candidates = advice.choice.candidates
    name = with_model(shown.candidate, candidates)
    objective = OF_LIMITS[advice.objective]
    if not shown.open:
        met = amount_words(advice.objective, shown.candidate.amounts[advice.objective], kind)
        guess = f"perhaps {name}"
        if met:
            guess += f" at {met}, which decides nothing"
        count = counted(len(advice.contenders), "candidate")
        first = f"On {place}, which of {count} is best by {objective} is not known"
        return f"{first}, as it was not measured well enough of any; {guess}."
    meets = [_met_words(judged, kind) for judged in shown.judged if judged.fit is Fit.MEETS]
    reasons = [doubt_words(judged, kind) for judged in shown.open]
    text = f"On {place}, nothing is known to meet {asked}; {name} may"
    if meets:
        text += f", and is within the rest ({several(meets)})"
    return f"{text}. Open: {'; '.join(reasons)}."


def _met_words(judged: Judged, kind: str) -> str:
    quantity = judged.constraint.quantity
    return f"{OF_LIMITS[quantity]} {amount_words(quantity, judged.amount, kind)}"


def _nothing(advice: Advice, nearest: Assessment, place: str, asked: str) -> str:
    candidates = advice.choice.candidates
    name = with_model(nearest.candidate, candidates)
    meets = "meets" if advice.settled else "is known to meet"
    return (
        f"On {place}, nothing {meets} {asked}; the nearest is {name}: "
        f"{several(misses(nearest, advice.choice.accuracy_of))}."
    )


def misses(assessment: Assessment, kind: str) -> list[str]:
    """Each constraint that fails, and by how much."""
    words = []
    for judged in assessment.failed:
        quantity = judged.constraint.quantity
        side = "under" if quantity.more_is_better else "over"
        figure = amount_words(quantity, judged.amount, kind)
        limit = plain_limit(judged.constraint, kind)
        distance = f"{judged.miss:.0%} {side} {limit}"
        if judged.miss > 1:
            distance = f"{1 + judged.miss:.1f} times {limit}"
        words.append(f"{OF_LIMITS[quantity]} {figure}, {distance}")
    return words
