"""Which of the candidates to deploy: the best by the objective of those that meet all constraints.

What may be recommended meets every constraint with its whole interval, and its figure of the
objective is known. Whether it is really better than another one is asked of both times together: of
one run their speed-up paired by round, of two runs one that knows that whole runs shift
(:mod:`deploybench.analysis.comparison`); accuracies are paired by image; whatever else is better
only where the intervals have no point in common. What is not better is the same, as far as is
known.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from deploybench.analysis.amounts import Quantity
from deploybench.analysis.candidates import Candidate, Choice
from deploybench.analysis.comparison import answer_of, compare_pair
from deploybench.analysis.constraints import Assessment, Constraint, Fit, judged_by
from deploybench.analysis.matching import ALLOWABLE
from deploybench.analysis.orders import Known
from deploybench.analysis.pareto import Point, dominators, fewer_is_worse
from deploybench.statistics.proportions import (
    DEFAULT_QUALITY_MARGIN,
    QualityAnswer,
    paired_difference,
    quality_answer,
)
from deploybench.statistics.ratios import DEFAULT_MARGIN, Answer, Ratio

OBJECTIVES = (
    Quantity.P50,
    Quantity.P99,
    Quantity.THROUGHPUT,
    Quantity.MEMORY,
    Quantity.SIZE,
    Quantity.ACCURACY,
)
PAIRED_ACCURACIES = ("top-1", "all labels")
"""What the marks of a quality tell of each image."""


class Standing(str, Enum):
    """The recommended one beside another that meets all as well."""

    BETTER = "better"
    SAME = "the same"
    NOT_KNOWN = "not known"
    WORSE = "worse"


@dataclass(frozen=True)
class Rival:
    """Another candidate that meets all constraints; ``ratio`` is by how much the recommended one is
    faster, where the two were timed so that it can be told."""

    assessment: Assessment
    standing: Standing
    ratio: Ratio | None = None


@dataclass(frozen=True)
class Advice:
    """What is known of one machine.

    ``recommended`` is None where nothing is known to meet all constraints, or of nothing that does
    the figure of the objective is known. Then ``promising`` may meet them (of several the one with
    the fewest open questions, then the best), and ``nearest`` is what fails by the least.
    ``rivals`` meet all as well, the best first. ``contenders`` are what might be better than the
    recommended one, or might meet all where there is none: more measuring would tell.
    """

    choice: Choice
    objective: Quantity
    constraints: tuple[Constraint, ...]
    assessments: tuple[Assessment, ...]
    recommended: Assessment | None = None
    rivals: tuple[Rival, ...] = ()
    promising: Assessment | None = None
    nearest: Assessment | None = None
    contenders: tuple[Assessment, ...] = ()

    @property
    def settled(self) -> bool:
        """Whether more measuring could find nothing else: no usable candidate is left open."""
        return all(one.fit is not Fit.NOT_KNOWN for one in self.assessments if one.usable)

    @property
    def as_good(self) -> tuple[Rival, ...]:
        """The rivals that the recommended one is not known to be better than."""
        return tuple(rival for rival in self.rivals if rival.standing is not Standing.BETTER)

    @property
    def next_best(self) -> Rival | None:
        """The best of those that it is known to be better than."""
        for rival in self.rivals:
            if rival.standing is Standing.BETTER:
                return rival
        return None


def advise(
    choice: Choice,
    constraints: Sequence[Constraint] = (),
    objective: Quantity = Quantity.P50,
    margin: float = DEFAULT_MARGIN,
) -> Advice:
    """The advice for the candidates of one machine; ``margin`` is what counts as the same speed."""
    assessments = assess(choice, constraints)
    advice = Advice(choice, objective, tuple(constraints), tuple(assessments))
    usable = [assessment for assessment in assessments if assessment.usable]
    meeting = [one for one in usable if one.fit is Fit.MEETS and _known(one, objective)]
    if meeting:
        best, rivals = _best(meeting, objective, margin)
        contenders = [one for one in usable if _might_beat(one, best, objective)]
        return replace(advice, recommended=best, rivals=tuple(rivals), contenders=tuple(contenders))
    possible = [one for one in usable if one.fit is not Fit.FAILS and not one.unlikely]
    failing = [one for one in usable if one.fit is Fit.FAILS]
    if not possible and not failing:
        # Better a faint hope than none.
        possible = list(usable)
    possible.sort(
        key=lambda one: (
            len(one.open),
            _known(one, objective) is None,
            _guess(one, objective),
        )
    )
    return replace(
        advice,
        promising=possible[0] if possible else None,
        nearest=min(
            failing, key=lambda one: (one.largest_miss, _guess(one, objective)), default=None
        ),
        contenders=tuple(possible),
    )


def assess(choice: Choice, constraints: Sequence[Constraint]) -> list[Assessment]:
    """Every candidate held against the constraints, each with what makes it needless."""
    plain = [
        Assessment(candidate, judged_by(candidate, constraints)) for candidate in choice.candidates
    ]
    return _with_front(plain)


def _known(assessment: Assessment, objective: Quantity) -> Known | None:
    """The figure of the objective, the less the better; None where it decides nothing."""
    known = assessment.candidate.amounts[objective].known
    if known is not None and objective.more_is_better:
        return fewer_is_worse(known)
    return known


def _guess(assessment: Assessment, objective: Quantity) -> float:
    """The figure of the objective as it was met, the less the better: an order, and no more."""
    value = assessment.candidate.amounts[objective].value
    if value is None:
        return float("inf")
    return -value if objective.more_is_better else value


def _might_beat(one: Assessment, best: Assessment, objective: Quantity) -> bool:
    """Whether something that is not known of it could make it the one to recommend."""
    if one is best or one.fit is Fit.FAILS or one.unlikely:
        return False
    known = _known(one, objective)
    if one.fit is Fit.MEETS and known is not None:
        return False
    ours = _known(best, objective)
    assert ours is not None  # of what is recommended it is known
    if known is not None:
        return known.low < ours.value
    amount = one.candidate.amounts[objective]
    if amount.value is None:
        return True
    # A figure in doubt is a guess: it counts where the guess is the better one.
    return _guess(one, objective) < ours.value


def _best(
    meeting: Sequence[Assessment], objective: Quantity, margin: float
) -> tuple[Assessment, list[Rival]]:
    """The one that none is known to be better than, and how it stands to each other one.

    That is nearly always the one of the best figure. Where the two were compared more closely and
    that says otherwise, it counts.
    """

    def value(one: Assessment) -> float:
        known = _known(one, objective)
        assert known is not None  # only those are asked
        return known.value

    by_value = sorted(meeting, key=value)
    leader = by_value[0]
    led: list[Assessment] = []
    while True:
        led.append(leader)
        rivals = [
            _rival(leader, other, objective, margin) for other in by_value if other is not leader
        ]
        better = [rival.assessment for rival in rivals if rival.standing is Standing.WORSE]
        # Nobody is better; or they beat each other in a circle, which has no end.
        if not better or better[0] in led:
            return leader, rivals
        leader = better[0]


def _rival(leader: Assessment, other: Assessment, objective: Quantity, margin: float) -> Rival:
    mine, others = leader.candidate, other.candidate
    if objective is Quantity.P50 or (objective is Quantity.THROUGHPUT and _same_load(mine, others)):
        ratio, answer = _speedup(mine, others, margin)
        if answer is not None:
            return Rival(other, STANDINGS[answer], ratio)
    if objective is Quantity.ACCURACY:
        found = _accuracy_answer(mine, others)
        if found is not None:
            return Rival(other, QUALITY_STANDINGS[found])
    ours, theirs = _known(leader, objective), _known(other, objective)
    assert ours is not None  # only those are compared
    assert theirs is not None
    if ours.below(theirs):
        return Rival(other, Standing.BETTER)
    if theirs.below(ours):
        return Rival(other, Standing.WORSE)
    if ours == theirs:
        return Rival(other, Standing.SAME)
    return Rival(other, Standing.NOT_KNOWN)


STANDINGS = {
    Answer.FASTER: Standing.BETTER,
    Answer.SAME: Standing.SAME,
    Answer.AMBIGUOUS: Standing.NOT_KNOWN,
    Answer.SLOWER: Standing.WORSE,
}
QUALITY_STANDINGS = {
    QualityAnswer.BETTER: Standing.BETTER,
    QualityAnswer.SAME: Standing.SAME,
    QualityAnswer.AMBIGUOUS: Standing.NOT_KNOWN,
    QualityAnswer.WORSE: Standing.WORSE,
}


def _same_load(one: Candidate, other: Candidate) -> bool:
    """Whether the rates are to each other as the times of a call are."""
    mine, others = one.record.cell, other.record.cell
    return (mine.batch, mine.streams) == (others.batch, others.streams)


def _speedup(
    mine: Candidate, others: Candidate, margin: float
) -> tuple[Ratio | None, Answer | None]:
    """How many times faster the first is; None where nothing tells.

    All that the two differ in is allowed: it is what there is to choose between.
    """
    for row in compare_pair(others.record, mine.record, allowed=ALLOWABLE, free=ALLOWABLE):
        if row.ratio is not None:
            return row.ratio, answer_of(row, margin)
    return None, None


def _accuracy_answer(mine: Candidate, others: Candidate) -> QualityAnswer | None:
    """Whether the first is more accurate, image by image; None where that does not tell."""
    one, other = mine.quality, others.quality
    if one is None or other is None or mine.accuracy_of not in PAIRED_ACCURACIES:
        return None
    if one.right is None or other.right is None or one.data.sha256 != other.data.sha256:
        return None
    both = one.seen.values & other.seen.values
    if not both.any():
        return None
    difference = paired_difference(other.right.values[both], one.right.values[both])
    return quality_answer(difference, DEFAULT_QUALITY_MARGIN)


def _with_front(assessments: Sequence[Assessment]) -> list[Assessment]:
    """The same, each with what makes it needless: by p50, memory and accuracy, of what is VALID.

    Only cells of one device, load and thread budget are held against each other: a batch of eight
    is no slower than one image, and fewer threads are worth something.
    """
    rooms: dict[Hashable, dict[int, Point]] = defaultdict(dict)
    for number, assessment in enumerate(assessments):
        point = _point(assessment)
        if point is not None:
            cell = assessment.candidate.record.cell
            room = (cell.device, cell.batch, cell.streams, cell.threads)
            rooms[room][number] = point
    above: dict[int, int | None] = {}
    for points in rooms.values():
        above |= dominators(points)
    found = []
    for number, assessment in enumerate(assessments):
        if number not in above:
            found.append(assessment)
            continue
        dominator = above[number]
        by = None if dominator is None else assessments[dominator].candidate
        found.append(replace(assessment, on_front=by is None, dominated_by=by))
    return found


def _point(assessment: Assessment) -> Point | None:
    """None for what is no VALID time."""
    candidate = assessment.candidate
    time = candidate.amounts[Quantity.P50].known
    memory = candidate.amounts[Quantity.MEMORY].known
    if not assessment.usable or time is None or memory is None:
        return None
    accuracy = candidate.amounts[Quantity.ACCURACY].known
    kin = None
    if candidate.answers_as_eager:
        # The same model in the same arithmetic: what runs it makes no difference to its answers.
        kin = (candidate.record.cell.group, candidate.record.cell.precision)
    return Point((time, memory, None if accuracy is None else fewer_is_worse(accuracy)), kin)


def by_model(advice: Advice, margin: float = DEFAULT_MARGIN) -> list[Advice]:
    """The advice for each model with its weights by itself, in the order of the candidates."""
    groups: dict[Hashable, list[Candidate]] = defaultdict(list)
    for candidate in advice.choice.candidates:
        groups[candidate.record.cell.group].append(candidate)
    found = []
    for members in groups.values():
        choice = replace(advice.choice, candidates=tuple(members))
        found.append(advise(choice, advice.constraints, advice.objective, margin))
    return found
