"""The rounds of a tuning: measured now, or read where an earlier call measured them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from deploybench.children import deadlines
from deploybench.errors import DeployBenchError
from deploybench.plan.cells import Planned
from deploybench.results.record import Record
from deploybench.results.store import new_run_name, read_records
from deploybench.tuning.events import RoundBegun, TuneEvent, TuneRemarked
from deploybench.tuning.journal import JournalFile, TuneRound
from deploybench.tuning.measuring import Surroundings, is_enough, measured
from deploybench.tuning.space import name_of


@dataclass(frozen=True)
class Rounds:
    """Measures rounds, and keeps in the journal which are done."""

    surroundings: Surroundings
    journal: JournalFile
    tell: Callable[[TuneEvent], None]

    def made(
        self, number: int, planned: Mapping[str, Planned], each_s: float
    ) -> tuple[dict[str, Record], float]:
        """The records of a round of the configurations by name, and the seconds that it took:
        measured now, or before. What the deadline did not let begin has no record; where that is
        all of them, no round was made, and none is kept."""
        names = list(planned)
        known = self._known(number, names)
        if known is not None:
            return known
        run = new_run_name()
        made = TuneRound(number=number, run=run, names=tuple(sorted(names)), seconds_each=each_s)
        self.journal.put_round(made)
        self.tell(RoundBegun(number + 1, len(names), each_s))
        began = monotonic()
        records = measured(list(planned.values()), run, each_s, self.surroundings, self.tell)
        spent_s = monotonic() - began
        found = {name_of(record.cell): record for record in records if not _was_cut(record)}
        if not found:
            self.journal.forget_round(number)
            words = f"the budget was spent before round {number + 1} showed anything"
            self.tell(TuneRemarked(words))
            return {}, spent_s
        # Of a round that the deadline cut the journal keeps no more than it showed.
        seen = tuple(sorted(name for name in names if name in found))
        self.journal.put_round(made.replaced(names=seen, spent_s=spent_s, finished=True))
        return found, spent_s

    def _known(self, number: int, names: Sequence[str]) -> tuple[dict[str, Record], float] | None:
        """A round that an earlier call measured; one that was cut short, if it tells enough."""
        for made in self.journal.document.rounds:
            if made.number != number or made.names != tuple(sorted(names)):
                continue
            try:
                records = read_records(self.surroundings.workspace.records_folder / made.run)
            except DeployBenchError:
                return None
            if not made.finished and not is_enough(records, names):
                return None
            spent_s = made.spent_s
            if not made.finished:
                spent_s = _seconds_of(records)
                self.journal.put_round(made.replaced(spent_s=spent_s, finished=True))
            self.tell(
                TuneRemarked(f"round {number + 1} was measured before, in the run {made.run}")
            )
            return {name_of(record.cell): record for record in records}, spent_s
        return None


def _was_cut(record: Record) -> bool:
    """Whether the deadline came before its process could be looked at."""
    if record.visits or record.summary is not None:
        return False
    errors = [launch.error for launch in record.launches]
    return bool(errors) and all(error and error.startswith(deadlines.WORDS) for error in errors)


def _seconds_of(records: Sequence[Record]) -> float:
    """About how long a round took that nobody saw the end of."""
    ends = [visit.end_s for record in records for visit in record.visits]
    return max(ends, default=0.0)
