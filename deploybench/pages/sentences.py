"""The answer in three sentences: who is the fastest, what it costs or predicts, what to rely on.

They are about all machines of the page together and name none as better than another: runners
compete within one run on one job (:mod:`deploybench.analysis.answers`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from deploybench.analysis.answers import ModelAnswer
from deploybench.analysis.ranking import Ranking
from deploybench.pages.machines import Machine
from deploybench.plurals import counted
from deploybench.report.figures import CAUSES
from deploybench.results.verdict import Verdict
from deploybench.statistics.proportions import QualityAnswer

FEW = 3
"""More names than these are counted instead."""
OPEN = ""
"""Stands before runners of which one is the fastest, and nothing tells which."""


def sentences_of(
    machines: Sequence[Machine], answers: Sequence[ModelAnswer], ranked: Sequence[Ranking]
) -> tuple[str, str, str]:
    return (_fastest(answers), _quality(machines) or _macs(ranked), _trust(machines))


def _fastest(answers: Sequence[ModelAnswer]) -> str:
    contested = [answer for answer in answers if answer.contested]
    if not answers:
        return "Nothing was measured: the rows below say why."
    if not contested:
        return (
            f"{counted(len(answers), 'job')} measured, each by one runner alone: there is nothing "
            f"to compare."
        )
    winners: dict[tuple[str, ...], list[ModelAnswer]] = {}
    unknown = []
    for answer in contested:
        if answer.fastest is None:
            unknown.append(answer)
            continue
        runners = [cell.runner for cell in (*answer.as_fast, *answer.undecided)]
        first = answer.fastest.cell.runner
        if answer.undecided:
            rivals = sorted({first, *runners})
            winners.setdefault((OPEN, *rivals), []).append(answer)
        else:
            winners.setdefault(tuple(dict.fromkeys([first, *runners])), []).append(answer)
    parts = []
    ordered = sorted(winners.items(), key=lambda item: (OPEN in item[0], -len(item[1])))
    for names, won in ordered[:FEW]:
        parts.append(_won(names, won, contested))
    rest = sum(len(won) for _, won in ordered[FEW:])
    if rest:
        parts.append(f"another {_for_count(rest, contested)}")
    if unknown:
        parts.append(f"not known {_for(unknown, contested)}")
    return f"The fastest is {'; '.join(parts)}."


def _won(
    runners: tuple[str, ...], won: Sequence[ModelAnswer], contested: Sequence[ModelAnswer]
) -> str:
    where = _for(won, contested)
    if runners[0] == OPEN:
        return f"not known {where}: {_and(runners[1:], 'or')}"
    if len(runners) > 1:
        return f"{_and(runners)} alike {where}{_lead(won)}"
    return f"{runners[0]} {where}{_lead(won)}"


def _for(some: Sequence[ModelAnswer], of: Sequence[ModelAnswer]) -> str:
    """``for vit and resnet50`` where that is short, else ``in 9 of 12 comparisons``."""
    names = list(dict.fromkeys(answer.cell.model for answer in some))
    all_names = [answer.cell.model for answer in of]
    if len(some) == len(of) and len(of) > 1:
        return f"in all {counted(len(of), 'comparison')}"
    if len(names) <= FEW and len(set(all_names)) == len(all_names):
        return f"for {_and(names)}"
    return _for_count(len(some), of)


def _for_count(count: int, of: Sequence[ModelAnswer]) -> str:
    return f"in {count} of {counted(len(of), 'comparison')}"


def _and(names: Sequence[str], word: str = "and") -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} {word} {names[-1]}"


def _lead(won: Sequence[ModelAnswer]) -> str:
    """How many times as fast as the baseline: the least and the most."""
    ratios = []
    baselines = set()
    for answer in won:
        lead = answer.over_baseline
        if lead is not None:
            ratios.append(lead.ratio.value)
            baselines.add(lead.cell.runner)
    if not ratios or len(baselines) > 1:
        return ""
    low, high = f"{min(ratios):.2f}", f"{max(ratios):.2f}"
    span = low if low == high else f"{low} to {high}"
    return f" ({span} times as fast as {baselines.pop()})"


def _quality(machines: Sequence[Machine]) -> str:
    """How many give the answers of fp32 eager; empty where no accuracy is known."""
    answers: Counter[QualityAnswer] = Counter()
    evaluated = set()
    best: float | None = None
    for machine in machines:
        for entry in machine.entries:
            row = entry.row
            cell = (row.artifact_key, row.runner, row.device, row.precision)
            if row.accuracy is None or cell in evaluated:
                continue
            evaluated.add(cell)
            best = max(best or 0.0, row.accuracy)
            if row.accuracy_answer is not None:
                answers[row.accuracy_answer] += 1
    if best is None:
        return ""
    text = f"The best accuracy of {counted(len(evaluated), 'evaluated artifact')} is {best:.1%}"
    told = ", ".join(f"{count} {answer.value}" for answer, count in answers.most_common())
    if told:
        text += f"; beside fp32 eager, image by image: {told}"
    return f"{text}."


def _macs(ranked: Sequence[Ranking]) -> str:
    """Whether MACs put the models in the order of their times."""
    trusted = [ranking for ranking in ranked if ranking.trusted and ranking.pairs]
    if not trusted:
        return (
            "Whether MACs predict latency cannot be told here: that needs two models or more with "
            "times that are VALID on one runner."
        )
    parts = []
    for ranking in trusted[:FEW]:
        parts.append(
            f"on {ranking.runner} in {ranking.agreeing} of {counted(ranking.pairs, 'pair')} of "
            f"models"
        )
    return f"The model with fewer MACs was the faster one {_and(parts)}."


def _trust(machines: Sequence[Machine]) -> str:
    rows = [entry.row for machine in machines for entry in machine.entries]
    verdicts = Counter(row.verdict for row in rows)
    valid = verdicts.pop(Verdict.VALID, 0)
    runs = {row.run for row in rows}
    from_where = f"{counted(len(runs), 'run')} on {counted(len(machines), 'machine')}"
    if len(machines) == 1:
        from_where = f"{counted(len(runs), 'run')} on {machines[0].name}"
    text = f"Of {counted(len(rows), 'row')} from {from_where}, {valid} can be relied on (VALID)"
    if verdicts:
        others = []
        for verdict, count in verdicts.most_common(FEW):
            told = f"{count} {verdict.value}"
            if verdict in CAUSES:
                told += f", as {CAUSES[verdict]}"
            others.append(told)
        text += f"; {'; '.join(others)}"
    return f"{text}."
