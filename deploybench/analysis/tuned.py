"""What a tuning found: the best configuration, how it stands to each other one, and why each lost.

The time of two configurations is compared by the rounds in which both were measured side by side.
A verdict is not asked for: what disturbs the machine disturbs both sides of a pair. What is shown
of a single time still depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deploybench.analysis.advice import Advice, Rival, Standing, advise
from deploybench.analysis.amounts import (
    Amount,
    Quantity,
    amounts_of_quality,
    amounts_of_time,
    exactly,
    size_of,
    usual_accuracy,
)
from deploybench.analysis.candidates import UNUSABLE, Candidate, Choice, Machine
from deploybench.analysis.comparison import answer_of, compare_pair
from deploybench.analysis.constraints import Assessment, Constraint, Fit, judged_by
from deploybench.analysis.matching import ALLOWABLE
from deploybench.analysis.orders import Known
from deploybench.analysis.qualities import alike
from deploybench.results.quality import ITSELF, Quality
from deploybench.results.record import Record
from deploybench.statistics.ratios import Answer, Ratio

AGREEMENT = "agreement"
"""What the accuracy is of where images have no labels: the share with fp32 eager's class."""
STANDINGS = {
    Answer.FASTER: Standing.BETTER,
    Answer.SAME: Standing.SAME,
    Answer.AMBIGUOUS: Standing.NOT_KNOWN,
    Answer.SLOWER: Standing.WORSE,
}


@dataclass(frozen=True)
class Beside:
    """How one configuration stands to another; ``ratio`` is how many times faster the first is,
    where their times tell."""

    standing: Standing
    ratio: Ratio | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of one configuration: ``beside`` is how the best stands to it, by the last round
    in which both were; ``rounds`` is in how many it was looked at."""

    assessment: Assessment
    beside: Beside | None = None
    rounds: int = 0


@dataclass(frozen=True)
class NotTried:
    """What was never measured: an export that failed, a precision that the host does not have."""

    title: str
    reason: str
    failed: bool = False


@dataclass(frozen=True)
class Tuned:
    """The outcome of a tuning.

    ``advice`` holds all configurations and the best one, if there is one. ``same`` are known to be
    as good as it, ``untold`` may be; ``runner_up`` is the best of the others. ``over_eager`` is how
    many times faster than fp32 eager the best is. ``outcomes`` are of all configurations, in the
    advice's order. ``spent_s`` went into evaluating and measuring, in ``rounds``; ``settled`` says
    that more time would tell nothing more.
    """

    advice: Advice
    same: tuple[Rival, ...] = ()
    untold: tuple[Rival, ...] = ()
    runner_up: Rival | None = None
    over_eager: Ratio | None = None
    outcomes: tuple[Outcome, ...] = ()
    not_tried: tuple[NotTried, ...] = ()
    notes: tuple[str, ...] = ()
    rounds: int = 0
    spent_s: float = 0.0
    settled: bool = False
    bundle: str = ""
    no_bundle: str = ""

    @property
    def winner(self) -> Assessment | None:
        return self.advice.recommended


def candidate_of(record: Record, quality: Quality | None, *, labelled: bool) -> Candidate:
    """One configuration with its figures; without labels its agreement stands for accuracy."""
    kind = AGREEMENT
    if labelled:
        kind = usual_accuracy(quality)
    missing = "its accuracy was not measured"
    if labelled:
        of_quality = amounts_of_quality(quality, kind, missing)
    else:
        of_quality = _amounts_of_agreement(quality, missing)
    unusable = ""
    judgement = record.judgement
    if record.provenance == "simulated":
        unusable = "simulated: a double stood in for the device, its figures are nobody's"
    elif judgement.verdict in UNUSABLE:
        unusable = f"{judgement.verdict.value}: {judgement.reason}"
    return Candidate(
        record=record,
        quality=quality,
        accuracy_of=kind,
        amounts={
            **amounts_of_time(record),
            **of_quality,
            Quantity.SIZE: size_of(record),
        },
        unusable=unusable,
    )


def _amounts_of_agreement(quality: Quality | None, missing: str) -> dict[Quantity, Amount]:
    """The share of images with fp32 eager's class, and what is lacking to all of them."""
    if quality is None:
        nothing = Amount(doubt=missing)
        return {Quantity.ACCURACY: nothing, Quantity.DROP: nothing}
    if quality.eager is None:
        if quality.no_eager == ITSELF:
            return {Quantity.ACCURACY: exactly(1.0), Quantity.DROP: exactly(0.0)}
        nothing = Amount(doubt=f"it was not held against fp32 eager: {quality.no_eager}")
        return {Quantity.ACCURACY: nothing, Quantity.DROP: nothing}
    if alike(quality.eager):
        return {Quantity.ACCURACY: exactly(1.0), Quantity.DROP: exactly(0.0)}
    share = quality.eager.agreement.top1
    if share.low is None or share.high is None:
        doubt = "its agreement has no interval"
        return {
            Quantity.ACCURACY: Amount(share.value, doubt=doubt),
            Quantity.DROP: Amount(1 - share.value, doubt=doubt),
        }
    return {
        Quantity.ACCURACY: Amount(share.value, share.low, share.high),
        Quantity.DROP: Amount(1 - share.value, 1 - share.high, 1 - share.low),
    }


def choice_of(candidates: Sequence[Candidate], notes: Sequence[str] = ()) -> Choice:
    """The candidates of one machine; there is at least one."""
    evaluated_on = None
    for candidate in candidates:
        if candidate.quality is not None:
            evaluated_on = candidate.quality
    return Choice(
        machine=Machine.of(candidates[0].record),
        candidates=tuple(candidates),
        accuracy_of=candidates[0].accuracy_of,
        evaluated_on=evaluated_on,
        notes=tuple(notes),
    )


def fit_of(candidate: Candidate, constraints: Sequence[Constraint]) -> Fit:
    """How the candidate stands to all constraints together."""
    return Assessment(candidate, judged_by(candidate, constraints)).fit


def guess_of(candidate: Candidate, objective: Quantity) -> float:
    """The figure of the objective as it was met, the less the better; infinite where there is
    none."""
    value = candidate.amounts[objective].value
    if value is None and objective is Quantity.P99:
        # Too few calls for a p99: the order of the medians is the best guess.
        value = candidate.amounts[Quantity.P50].value
    if value is None:
        return float("inf")
    return -value if objective.more_is_better else value


def beside(best: Candidate, other: Candidate, objective: Quantity, margin: float) -> Beside:
    """How ``best`` stands to ``other`` by the objective."""
    mine, others = best.record.cell, other.record.cell
    of_calls = (mine.batch, mine.streams) == (others.batch, others.streams)
    if objective is Quantity.P50 or (objective is Quantity.THROUGHPUT and of_calls):
        for row in compare_pair(other.record, best.record, allowed=ALLOWABLE, free=ALLOWABLE):
            answer = answer_of(row, margin)
            if row.ratio is not None and answer is not None:
                return Beside(STANDINGS[answer], row.ratio)
    ours, theirs = _known(best, objective), _known(other, objective)
    if ours is None or theirs is None:
        return Beside(Standing.NOT_KNOWN)
    if ours == theirs or _within(ours, theirs, margin):
        return Beside(Standing.SAME)
    if ours.below(theirs):
        return Beside(Standing.BETTER)
    if theirs.below(ours):
        return Beside(Standing.WORSE)
    return Beside(Standing.NOT_KNOWN)


def _known(candidate: Candidate, objective: Quantity) -> Known | None:
    known = candidate.amounts[objective].known
    if known is not None and objective.more_is_better:
        return Known(-known.value, -known.high, -known.low)
    return known


def _within(one: Known, other: Known, margin: float) -> bool:
    """Whether any values in the two intervals are within the margin of each other."""
    ends = sorted(abs(end) for end in (one.low, one.high, other.low, other.high))
    return ends[0] > 0 and ends[-1] / ends[0] <= 1 + margin


def tuned(
    choice: Choice,
    constraints: Sequence[Constraint],
    objective: Quantity,
    margin: float,
    *,
    winner: Candidate | None,
    finalists: Sequence[Candidate],
    eager: Candidate | None,
) -> Tuned:
    """The outcome where ``winner`` leads the ``finalists`` of the last round.

    None: nothing is known to be within the constraints; the advice then has what is nearest.
    """
    advice = advise(choice, constraints, objective, margin)
    by_candidate = {id(one.candidate): one for one in advice.assessments}
    if winner is None:
        return Tuned(replace(advice, recommended=None, rivals=(), contenders=()))
    rivals = []
    for other in finalists:
        assessment = by_candidate[id(other)]
        if other is winner or assessment.fit is not Fit.MEETS:
            continue
        found = beside(winner, other, objective, margin)
        rivals.append(Rival(assessment, found.standing, found.ratio))
    rivals.sort(key=lambda rival: guess_of(rival.assessment.candidate, objective))
    advice = replace(
        advice,
        recommended=by_candidate[id(winner)],
        rivals=tuple(rivals),
        promising=None,
        nearest=None,
        contenders=(),
    )
    over_eager = None
    if eager is not None and eager is not winner:
        over_eager = beside(winner, eager, Quantity.P50, margin).ratio
    return Tuned(
        advice=advice,
        same=tuple(one for one in rivals if one.standing is Standing.SAME),
        untold=tuple(one for one in rivals if one.standing in (Standing.NOT_KNOWN, Standing.WORSE)),
        runner_up=rivals[0] if rivals else None,
        over_eager=over_eager,
    )


def leader_of(
    candidates: Sequence[Candidate], objective: Quantity, margin: float
) -> Candidate | None:
    """The one that none is known to be better than: the best figure, unless a pair says
    otherwise."""
    ordered = sorted(candidates, key=lambda one: guess_of(one, objective))
    if not ordered:
        return None
    leader = ordered[0]
    led: set[int] = set()
    while id(leader) not in led:
        led.add(id(leader))
        for other in ordered:
            if other is leader:
                continue
            if beside(leader, other, objective, margin).standing is Standing.WORSE:
                leader = other
                break
    return leader
