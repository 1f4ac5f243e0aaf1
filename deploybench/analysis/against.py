"""How many times faster than the baseline a cell is, and what that says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.settling import rounds_to_settle, what_settles
from deploybench.analysis.speedups import Speedup
from deploybench.analysis.verdicts import judge_speedup
from deploybench.results.record import Record, StateSummary
from deploybench.results.verdict import Judgement
from deploybench.statistics.levels import same_state
from deploybench.statistics.ratios import Answer, Ratio, answer


@dataclass(frozen=True)
class AgainstBaseline:
    """How many times faster than the baseline a cell is.

    ``more_rounds`` would settle an AMBIGUOUS answer, and ``settled_by`` says so in words; None for
    other answers, and where rounds are not what is missing. ``experienced_answer`` and
    ``undisturbed_answer`` are those of the two ratios of visits.
    """

    runner: str
    speedup: Speedup
    answer: Answer
    judgement: Judgement
    more_rounds: int | None
    settled_by: str = ""
    experienced_answer: Answer | None = None
    undisturbed_answer: Answer | None = None

    @property
    def ranking_differs(self) -> bool:
        """Whether both answers of visits are known, and undisturbed it is another one."""
        answers = {self.experienced_answer, self.undisturbed_answer}
        if None in answers or Answer.AMBIGUOUS in answers:
            return False
        return len(answers) > 1

    @property
    def reason(self) -> str:
        """The judgement's reason, and what would settle the answer."""
        if not self.settled_by:
            return self.judgement.reason
        return f"{self.judgement.reason}; {self.settled_by}"


def against_baseline(
    record: Record,
    baseline: Record | None,
    speedups: Sequence[Speedup],
    state: StateSummary,
    margin: float,
) -> AgainstBaseline | None:
    """None for the baseline itself, and where the two never met in that state of the machine."""
    if baseline is None:
        return None
    for speedup in speedups:
        if same_state(speedup.hop_ns, state.hop_ns):
            return _judged(record, baseline, speedup, margin)
    return None


def _judged(record: Record, baseline: Record, speedup: Speedup, margin: float) -> AgainstBaseline:
    faster_or_not = answer(speedup.ratio, margin)
    more_rounds = None
    settled_by = ""
    if faster_or_not is Answer.AMBIGUOUS:
        more_rounds = rounds_to_settle(speedup, margin)
        settled_by = what_settles(speedup, more_rounds, (baseline, record))
    return AgainstBaseline(
        runner=baseline.cell.runner,
        speedup=speedup,
        answer=faster_or_not,
        judgement=judge_speedup(speedup),
        more_rounds=more_rounds,
        settled_by=settled_by,
        experienced_answer=answer_if_any(speedup.experienced, margin),
        undisturbed_answer=answer_if_any(speedup.undisturbed, margin),
    )


def answer_if_any(ratio: Ratio | None, margin: float) -> Answer | None:
    """What the interval of one of a speed-up's two ratios says; None where there is none."""
    if ratio is None:
        return None
    return answer(ratio, margin)
