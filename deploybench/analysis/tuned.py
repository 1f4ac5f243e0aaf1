"""What a tuning found: the best configuration, how it stands to each other one, and why each lost.

The time of two configurations is compared by the rounds in which both were measured side by side.
A verdict is not asked for: what disturbs the machine disturbs both sides of a pair. What is shown
of a single time still depends on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from deploybench.analysis.advice import Advice, Rival, Standing, advise, assess
from deploybench.analysis.amounts import (
    Amount,
    Quantity,
    amounts_of_quality,
    amounts_of_time,
    exactly,
    size_of,
    usual_accuracy,
)
from deploybench.analysis.candidates import Candidate, Choice, Machine, why_unusable
from deploybench.analysis.comparison import answer_of, compare_pair
from deploybench.analysis.constraints import Assessment, Constraint, Fit, judged_by
from deploybench.analysis.matching import ALLOWABLE
from deploybench.analysis.orders import Known
from deploybench.analysis.qualities import alike
from deploybench.results.quality import ITSELF, REFERENCE_ITSELF, Quality
from deploybench.results.record import Record
from deploybench.statistics.ratios import Answer, Ratio

AGREEMENT = "agreement"
"""What the accuracy is of where images have no labels: the share with fp32 eager's class."""
CLOSE = 1.1
"""What is further behind by its figure is not asked whether it is the better one after all."""
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
    if quality is not None and quality.no_eager == REFERENCE_ITSELF:
        # An adopted file, which the others are made of: it loses nothing beside itself.
        of_quality[Quantity.DROP] = exactly(0.0)
    return Candidate(
        record=record,
        quality=quality,
        accuracy_of=kind,
        amounts={
            **amounts_of_time(record),
            **of_quality,
            Quantity.SIZE: size_of(record),
        },
        unusable=why_unusable(record),
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
    if value is not None:
        return -value if objective.more_is_better else value
    if objective in (Quantity.P50, Quantity.P99):
        # Too few visits for an estimate: what they met still tells 9 ms from 2 s.
        return _met_ms(candidate.record)
    return float("inf")


def _met_ms(record: Record) -> float:
    """The median of the calls as the machine was; infinite where none was visited."""
    states = () if record.summary is None else record.summary.states
    met = [state.visited.experienced_p50_ms for state in states if state.visited is not None]
    return min(met, default=float("inf"))


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


class Pairs:
    """How configurations stand to each other by one objective. Each pair is compared once: it takes
    a good part of a second where there are many visits."""

    def __init__(self, objective: Quantity, margin: float) -> None:
        self.objective = objective
        self.margin = margin
        self._known: dict[tuple[object, ...], Beside] = {}

    def beside(self, best: Candidate, other: Candidate) -> Beside:
        """As :func:`beside`. The record of a cell in a run has to be its last one."""
        key = tuple(
            part
            for record in (best.record, other.record)
            for part in (record.run, record.measures, record.cell.key)
        )
        if key not in self._known:
            self._known[key] = beside(best, other, self.objective, self.margin)
        return self._known[key]


def tuned(
    choice: Choice,
    constraints: Sequence[Constraint],
    pairs: Pairs,
    *,
    winner: Candidate | None,
    finalists: Sequence[Candidate],
    eager: tuple[Candidate, Candidate] | None,
) -> Tuned:
    """The outcome where ``winner`` leads the ``finalists`` of the last round.

    ``eager``: the winner and fp32 eager, by the last round in which both were measured.
    None: nothing is known to be within the constraints; the advice then has what is nearest.
    """
    objective = pairs.objective
    if winner is None:
        nothing = advise(choice, constraints, objective, pairs.margin)
        return Tuned(replace(nothing, recommended=None, rivals=(), contenders=()))
    assessments = assess(choice, constraints)
    by_candidate = {id(one.candidate): one for one in assessments}
    rivals = []
    for other in finalists:
        assessment = by_candidate[id(other)]
        if other is winner or assessment.fit is not Fit.MEETS:
            continue
        found = pairs.beside(winner, other)
        rivals.append(Rival(assessment, found.standing, found.ratio))
    rivals.sort(key=lambda rival: guess_of(rival.assessment.candidate, objective))
    advice = Advice(
        choice,
        objective,
        tuple(constraints),
        tuple(assessments),
        recommended=by_candidate[id(winner)],
        rivals=tuple(rivals),
    )
    over_eager = None
    if eager is not None:
        over_eager = beside(*eager, Quantity.P50, pairs.margin).ratio
    return Tuned(
        advice=advice,
        same=tuple(one for one in rivals if one.standing is Standing.SAME),
        untold=tuple(one for one in rivals if one.standing in (Standing.NOT_KNOWN, Standing.WORSE)),
        runner_up=rivals[0] if rivals else None,
        over_eager=over_eager,
    )


def leader_of(candidates: Sequence[Candidate], pairs: Pairs) -> Candidate | None:
    """The one that none is known to be better than: the best figure, unless a pair with one whose
    figure is close says otherwise."""
    ordered = sorted(candidates, key=lambda one: guess_of(one, pairs.objective))
    if not ordered:
        return None
    leader = ordered[0]
    reach = abs(guess_of(leader, pairs.objective)) * (CLOSE - 1)
    limit = guess_of(leader, pairs.objective) + reach
    close = [one for one in ordered[1:] if guess_of(one, pairs.objective) <= limit]
    led: set[int] = set()
    while id(leader) not in led:
        led.add(id(leader))
        for other in close:
            if other is leader or id(other) in led:
                continue
            if pairs.beside(leader, other).standing is Standing.WORSE:
                leader = other
                break
    return leader
