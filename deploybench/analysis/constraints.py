"""Does a candidate do what is asked of it? With its whole interval, or it is not known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from deploybench.analysis.amounts import Amount, Quantity
from deploybench.analysis.candidates import Candidate
from deploybench.analysis.orders import Known


class Fit(str, Enum):
    """How a figure stands to a limit, and a candidate to all of them."""

    MEETS = "MEETS"
    FAILS = "FAILS"
    NOT_KNOWN = "NOT KNOWN"


@dataclass(frozen=True)
class Constraint:
    """``limit`` in the unit of the quantity: ms, images/s, bytes, a share.

    Of a throughput and an accuracy it is the least that will do, of everything else the most.
    """

    quantity: Quantity
    limit: float

    def judge(self, amount: Amount) -> Judged:
        """MEETS where the whole interval is within the limit, FAILS where all of it is outside.

        NOT KNOWN where the limit lies inside, and for a figure that decides nothing.
        """
        known = amount.known
        if known is None:
            return Judged(self, Fit.NOT_KNOWN, amount)
        if self.quantity.more_is_better:
            within, outside = known.low >= self.limit, known.high < self.limit
        else:
            within, outside = known.high <= self.limit, known.low > self.limit
        if within:
            return Judged(self, Fit.MEETS, amount)
        if outside:
            return Judged(self, Fit.FAILS, amount)
        return Judged(self, Fit.NOT_KNOWN, amount)


@dataclass(frozen=True)
class Judged:
    """One constraint, held against a candidate's figure."""

    constraint: Constraint
    fit: Fit
    amount: Amount

    @property
    def unlikely(self) -> bool:
        """Whether a figure that decides nothing lies outside the limit, as far as it goes."""
        value = self.amount.value
        if self.fit is not Fit.NOT_KNOWN or not self.amount.doubt or value is None:
            return False
        guess = Known.of(value, self.amount.low, self.amount.high)
        if self.constraint.quantity.more_is_better:
            return guess.high < self.constraint.limit
        return guess.low > self.constraint.limit

    @property
    def miss(self) -> float:
        """By how much a figure that FAILS misses the limit, as a share of the limit; else 0."""
        value, limit = self.amount.value, self.constraint.limit
        if self.fit is not Fit.FAILS or value is None:
            return 0.0
        distance = abs(value - limit)
        return distance / limit if limit else float("inf")


@dataclass(frozen=True)
class Assessment:
    """A candidate and what is known of it beside all that is asked.

    ``dominated_by`` is a candidate that makes it needless; ``on_front`` whether none does, and None
    where its time or memory is not known well enough to tell.
    """

    candidate: Candidate
    judged: tuple[Judged, ...]
    on_front: bool | None = None
    dominated_by: Candidate | None = None

    @property
    def fit(self) -> Fit:
        """That of all constraints together: one that fails decides, then one that is not known."""
        fits = {judged.fit for judged in self.judged}
        for fit in (Fit.FAILS, Fit.NOT_KNOWN):
            if fit in fits:
                return fit
        return Fit.MEETS

    @property
    def usable(self) -> bool:
        return not self.candidate.unusable

    @property
    def open(self) -> tuple[Judged, ...]:
        """What is not known."""
        return tuple(judged for judged in self.judged if judged.fit is Fit.NOT_KNOWN)

    @property
    def unlikely(self) -> bool:
        """Whether what is not known of it speaks against it: nothing to put one's hopes on."""
        return any(judged.unlikely for judged in self.judged)

    @property
    def failed(self) -> tuple[Judged, ...]:
        return tuple(judged for judged in self.judged if judged.fit is Fit.FAILS)

    @property
    def largest_miss(self) -> float:
        """Of all constraints, as a share of the limit."""
        return max((judged.miss for judged in self.judged), default=0.0)


def judged_by(candidate: Candidate, constraints: Sequence[Constraint]) -> tuple[Judged, ...]:
    """Every constraint held against the candidate's figure."""
    return tuple(one.judge(candidate.amounts[one.quantity]) for one in constraints)
