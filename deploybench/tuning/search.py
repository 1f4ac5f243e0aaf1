"""The search of a tuning: evaluations, and rounds that halve, until it is settled or time is up.

Everything that was decided follows from the records, so that a tuning that goes on decides again as
it did.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from time import monotonic

from deploybench.analysis.advice import Standing
from deploybench.analysis.amounts import Quantity
from deploybench.analysis.candidates import Candidate
from deploybench.analysis.constraints import Fit
from deploybench.analysis.tuned import (
    Beside,
    NotTried,
    Outcome,
    Pairs,
    Tuned,
    candidate_of,
    choice_of,
    fit_of,
    guess_of,
    leader_of,
    tuned,
)
from deploybench.children import deadlines
from deploybench.hardware.precisions import BYTES, arithmetic
from deploybench.plan.cells import Planned
from deploybench.plurals import counted
from deploybench.results.record import Record
from deploybench.tuning.evaluating import Evaluations
from deploybench.tuning.events import RoundEnded, TuneEvent, TuneRemarked
from deploybench.tuning.halving import LEAST_EACH_S, Halved, Look, halve
from deploybench.tuning.images import TuneImages
from deploybench.tuning.journal import JournalFile
from deploybench.tuning.measuring import Surroundings
from deploybench.tuning.rewriting import Rewriting
from deploybench.tuning.rounds import Rounds
from deploybench.tuning.space import (
    INT8,
    combined,
    fp32_eager_of,
    in_groups,
    name_of,
    variants_of,
)

FINALISTS = 3
"""So many get the options of their runtimes tried: the product of all explodes."""

EVALUATING_SHARE = 0.5
"""Of the time that is left, for the first images of every configuration."""
SIDE_BY_SIDE = 2
"""One configuration by itself is faster than nothing."""

Tell = Callable[[TuneEvent], None]


class Search:
    """One tuning's search. ``records`` is the latest of each configuration that was measured."""

    def __init__(
        self,
        surroundings: Surroundings,
        images: TuneImages,
        planned: Sequence[Planned],
        journal: JournalFile,
        tell: Tell,
        rewriting: Rewriting | None = None,
    ) -> None:
        self._rewriting = rewriting
        self.not_tried: list[NotTried] = []
        self._surroundings = surroundings
        self._request = surroundings.request
        self._rounds_made = Rounds(surroundings, journal, tell)
        self._tell = tell
        self._planned = {name_of(plan.cell): plan for plan in planned}
        self._base: dict[str, str] = {}
        self._eager: str | None = None
        eager = fp32_eager_of(planned)
        if eager is not None:
            self._eager = name_of(eager.cell)
        self._pairs = Pairs(self._request.objective, self._request.margin)
        self._rounds: list[dict[str, Record]] = []
        self._last: Look | None = None
        self._halved: Halved | None = None
        self._spent_s = 0.0
        self.records: dict[str, Record] = {}
        self.evaluations = Evaluations(images, surroundings, journal, tell)
        self.constraints = self._request.constraints

    def carry_out(self) -> None:
        """Evaluate, and measure in rounds.

        Raises KeyboardInterrupt, and DeployBenchError where nothing can be evaluated or kept.
        """
        self._spent_s = self._evaluate_all()
        able = [name for name, plan in self._planned.items() if self._is_able(plan)]
        if not able:
            return
        left_s = min(self._request.budget_s - self._spent_s, deadlines.left_s())
        able = self._affordable(able, left_s)
        if not able:
            return
        trying = self._request.runtime_options or self._rewriting is not None
        widen = self._widen if trying else None
        self._halved = halve(able, left_s, self._look, widen, deadlines.left_s)

    def _affordable(self, names: list[str], left_s: float) -> list[str]:
        """Those that one round has time for, the allowed and the ones of fewer bits first; none
        where the time is too short for two side by side."""
        count = int(left_s / LEAST_EACH_S)
        if count >= len(names):
            return names
        if count < SIDE_BY_SIDE:
            return []

        def usefulness(name: str) -> tuple[bool, bool, int]:
            plan = self._planned[name]
            quality = self.evaluations.record_of(plan.cell)
            allowed = quality is not None and self._fits(self._candidate(quality, plan))
            return (name != self._eager, not allowed, BYTES[arithmetic(plan.cell.precision)])

        chosen = set(sorted(names, key=usefulness)[:count])
        words = f"{count} of {counted(len(names), 'configuration')} can be measured"
        self._tell(TuneRemarked(f"{left_s:.0f} s of the budget are left: {words}"))
        return [name for name in names if name in chosen]

    def _evaluate_all(self) -> float:
        """The first images for every configuration, runner by runner; the seconds that it took.

        Some runtimes take minutes to start. Once half of the time is spent the rest is not
        evaluated, and what is under way is ended: it may be measured, and may not win.
        """
        share_s = min(self._request.budget_s, deadlines.left_s()) * EVALUATING_SHARE
        ends = monotonic() + share_s
        groups = in_groups(self._planned, self._eager)
        spent_s = 0.0
        skipped = []
        for title, planned in groups.items():
            if spent_s > share_s:
                skipped.append(title)
                continue
            spent_s += self.evaluations.evaluate(0, planned, ends)
            if any(self.evaluations.record_of(plan.cell) is None for plan in planned):
                skipped.append(title)
        if skipped:
            words = f"evaluating took {spent_s:.0f} s, half of the time that was left: not all of "
            words += f"{', '.join(skipped)} could be evaluated, and what was not cannot win"
            self._tell(TuneRemarked(words))
        return spent_s

    def outcome(self) -> Tuned | None:
        """What is known by now; None before anything was measured."""
        if self._last is None:
            return None
        candidates = self._candidates()
        finalists = [name for name in self._last.order if name in candidates]
        allowed = [name for name in finalists if self._fits(candidates[name])]
        winner = leader_of([candidates[name] for name in allowed], self._pairs)
        best = next((name for name in allowed if candidates[name] is winner), None)
        eager = None
        if self._eager is not None and best is not None and best != self._eager:
            eager = self._side_by_side(best, self._eager)
        choice = choice_of(list(candidates.values()))
        found = tuned(
            choice,
            self.constraints,
            self._pairs,
            winner=winner,
            finalists=[candidates[name] for name in allowed],
            eager=eager,
        )
        names = list(candidates)
        outcomes = []
        for name, assessment in zip(names, found.advice.assessments, strict=True):
            outcomes.append(
                Outcome(
                    assessment=assessment,
                    beside=self._beside_best(best, name),
                    rounds=sum(name in seen for seen in self._rounds),
                )
            )
        unseen = [
            NotTried(plan.cell.title(), deadlines.WORDS)
            for name, plan in self._planned.items()
            if name not in candidates
        ]
        return replace(
            found,
            not_tried=(*self.not_tried, *unseen),
            outcomes=tuple(outcomes),
            rounds=len(self._rounds),
            spent_s=self._spent_s,
            settled=self._halved is not None and self._halved.settled,
        )

    def _is_able(self, plan: Planned) -> bool:
        """Whether it answers at all: what broke in its evaluation breaks again."""
        record = self.evaluations.record_of(plan.cell)
        return record is None or not self._candidate(record, plan).unusable

    def _look(self, number: int, names: Sequence[str], each_s: float) -> Look | None:
        """Measure, and evaluate what is not known to be right; None: there was no time for any."""
        looked_at = list(names)
        if self._eager is not None and self._eager not in looked_at:
            looked_at.append(self._eager)  # what all others are held against
        planned = {name: self._planned[name] for name in looked_at}
        records, spent_s = self._rounds_made.made(number, planned, each_s)
        self._spent_s += spent_s
        if not records:
            return None
        self._rounds.append(records)
        self.records |= records
        seen = self._order(names)
        evaluated_s = self._more_images([name for name in seen.order if name not in seen.worse])
        if evaluated_s:
            self._spent_s += evaluated_s
            seen = self._order(names)
        order = seen.order
        self._last = replace(seen, spent_s=spent_s + evaluated_s)
        best = self._planned[order[0]].cell.title() if order else "nothing"
        self._tell(RoundEnded(number + 1, len(names), len(order), best))
        return self._last

    def _order(self, names: Sequence[str]) -> Look:
        """Who is in the race, the best first, and who is clearly worse or the same.

        The first is the best of those that are known to be allowed: what may turn out to be too
        wrong drives nobody out.
        """
        objective = self._request.objective
        candidates = {}
        for name in names:
            if name not in self.records:
                continue
            candidate = self._candidate(self.records[name], self._planned[name])
            if not candidate.unusable and fit_of(candidate, self.constraints) is not Fit.FAILS:
                candidates[name] = candidate
        order = sorted(candidates, key=lambda name: guess_of(candidates[name], objective))
        allowed = [candidates[name] for name in order if self._fits(candidates[name])]
        leader = leader_of(allowed, self._pairs)
        if leader is None:
            return Look(tuple(order))
        first = next(name for name in order if candidates[name] is leader)
        order = [first, *(name for name in order if name != first)]
        worse: set[str] = set()
        same: set[str] = set()
        told: set[str] = set()
        for name in order[1:]:
            standing = self._pairs.beside(leader, candidates[name]).standing
            if standing is Standing.BETTER:
                worse.add(name)
            elif standing is Standing.SAME and self._fits(candidates[name]):
                same.add(name)
            elif standing is Standing.WORSE and not self._fits(candidates[name]):
                told.add(name)
        return Look(tuple(order), frozenset(worse), frozenset(same), frozenset(told))

    def _more_images(self, names: Sequence[str]) -> float:
        """Evaluate on more images what is not known to lose too much; the seconds that it took."""
        spent_s = 0.0
        while True:
            steps: dict[int, list[Planned]] = {}
            for name in names:
                plan = self._planned[name]
                candidate = self._candidate(self.records[name], plan)
                step = self.evaluations.next_step(plan.cell)
                drop = self.constraints[0].judge(candidate.amounts[Quantity.DROP])
                if drop.fit is Fit.NOT_KNOWN and step is not None:
                    steps.setdefault(step, []).append(plan)
            if not steps:
                return spent_s
            step = min(steps)
            left_s = min(self._request.budget_s - self._spent_s - spent_s, deadlines.left_s())
            count = len(steps[step])
            if not self.evaluations.affordable(step, count, left_s):
                self._tell(
                    TuneRemarked(
                        f"whether {counted(count, 'configuration')} may be used is not known by "
                        "the images seen; more images take more than half of the time that is left"
                    )
                )
                return spent_s
            spent_s += self.evaluations.evaluate(step, steps[step])
            if any(self.evaluations.next_step(plan.cell) == step for plan in steps[step]):
                return spent_s  # the deadline ended it, and would end it again

    def _widen(self, number: int, kept: Sequence[str]) -> list[str]:
        """Who joins after a round: options of the finalists, then all that helped together."""
        if number == 0:
            found: list[str] = []
            if self._request.runtime_options:
                found += self._variants(kept[:FINALISTS])
            if self._rewriting is not None:
                found += self._rewritten(self._rewriting, kept[:FINALISTS])
            return found
        if number == 1 and kept and self._request.runtime_options:
            return self._combination(kept[0])
        return []

    def _variants(self, names: Sequence[str]) -> list[str]:
        streams = self._request.objective is Quantity.THROUGHPUT
        found = []
        for name in names:
            for varied in variants_of(self._planned[name], streams=streams):
                self._base[name_of(varied.cell)] = name
                self._planned[name_of(varied.cell)] = varied
                found.append(name_of(varied.cell))
        return found

    def _rewritten(self, rewriting: Rewriting, leaders: Sequence[str]) -> list[str]:
        """The leaders in other forms; and int8 that loses too much, with layers in float."""
        over = []
        for plan in self._planned.values():
            record = self.evaluations.record_of(plan.cell)
            if record is None or plan.cell.precision != INT8:
                continue
            drop = self._candidate(record, plan).amounts[Quantity.DROP]
            if self.constraints[0].judge(drop).fit is not Fit.MEETS:
                over.append(plan)
        made = rewriting.of([self._planned[name] for name in leaders], over)
        self.not_tried += made.not_tried
        found = []
        for base, plan in made.planned:
            name = name_of(plan.cell)
            self._base[name] = name_of(base.cell)
            self._planned[name] = plan
            found.append(name)
        return found

    def _combination(self, leader: str) -> list[str]:
        """The options that each made the leader's configuration better, together."""
        base = self._base.get(leader, leader)
        if base not in self._rounds[-1]:
            return []
        plain = self._candidate(self._rounds[-1][base], self._planned[base])
        better = []
        for name, of in self._base.items():
            if of != base or name not in self._rounds[-1]:
                continue
            varied = self._candidate(self._rounds[-1][name], self._planned[name])
            found = self._pairs.beside(varied, plain)
            if not varied.unusable and found.standing is Standing.BETTER:
                better.append(self._planned[name])
        together = combined(self._planned[base], better)
        if together is None:
            return []
        name = name_of(together.cell)
        self._base[name] = base
        self._planned[name] = together
        return [name]

    def _candidate(self, record: Record, plan: Planned) -> Candidate:
        quality = self.evaluations.quality_of(plan.cell)
        return candidate_of(record, quality, labelled=self._surroundings.labelled)

    def _candidates(self) -> dict[str, Candidate]:
        """All configurations, by the latest that is known of each."""
        found = {}
        for name, plan in self._planned.items():
            record = self.records.get(name)
            if record is None and name not in self._base:
                # It broke when it was evaluated, or there was no time to measure it.
                record = self.evaluations.record_of(plan.cell)
            if record is not None:
                found[name] = self._candidate(record, plan)
        return found

    def _fits(self, candidate: Candidate) -> bool:
        return fit_of(candidate, self.constraints) is Fit.MEETS

    def _side_by_side(self, one: str, other: str) -> tuple[Candidate, Candidate] | None:
        """The two by the last round in which both were measured; None where there is none."""
        for seen in reversed(self._rounds):
            if one in seen and other in seen:
                ours = self._candidate(seen[one], self._planned[one])
                theirs = self._candidate(seen[other], self._planned[other])
                return ours, theirs
        return None

    def _beside_best(self, best: str | None, name: str) -> Beside | None:
        """How the best stands to another, by the last round in which both were measured.

        Of an option that joined later the round of the configuration that it was tried on counts.
        """
        if best is None or name == best:
            return None
        for mine in (best, self._base.get(best, best)):
            pair = self._side_by_side(mine, name)
            if pair is not None:
                return self._pairs.beside(*pair)
        return None
