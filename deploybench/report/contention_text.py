"""Times undisturbed and as the machine was, in sentences."""

from __future__ import annotations

from deploybench.analysis.answers import Lead
from deploybench.analysis.visit_verdicts import too_far
from deploybench.report.figures import three_digits
from deploybench.report.run_cells import NOT_SEEN
from deploybench.results.record import Record, StateSummary
from deploybench.statistics.ratios import Answer


def contention_text(lead: Lead, faster: Record, slower: Record, names: tuple[str, str]) -> str:
    """That ``faster`` is so only undisturbed, and what the machine as it was made of it.

    ``lead`` is its lead over ``slower``; ``names`` are of both, in this order.
    """
    assert lead.undisturbed_ratio is not None  # of a lead that contention decides
    first, second = names
    undisturbed = [three_digits(_state(record).p50_ms) for record in (faster, slower)]
    met = [_met(record) for record in (faster, slower)]
    text = (
        f"Undisturbed, {first} is {lead.undisturbed_ratio.value:.2f} times as fast as {second} "
        f"({undisturbed[0]} and {undisturbed[1]} ms); as the machine was, "
    )
    if lead.experienced_answer is Answer.SLOWER:
        return f"{text}{second} was the faster one ({met[1]} and {met[0]} ms)."
    if met[0] == met[1]:
        return f"{text}both took {met[0]} ms."
    return f"{text}they were equally fast ({met[0]} and {met[1]} ms)."


def of_calls(state: StateSummary) -> str:
    """What a call takes; of visits, undisturbed and as met."""
    milliseconds = three_digits(state.p50_ms)
    if state.visited is None:
        return f"takes {milliseconds} ms a call"
    met = three_digits(state.visited.experienced_p50_ms)
    if state.visited.basis == "no canary":
        return f"took {met} ms a call"
    if too_far(state.visited):
        return f"took {met} ms a call as the machine was; what it takes undisturbed is not known"
    about = ""
    if state.visited.basis in NOT_SEEN:
        about = "perhaps "
    return (
        f"takes {about}{milliseconds} ms a call undisturbed, and took {met} ms as the machine was"
    )


def _state(record: Record) -> StateSummary:
    assert record.summary is not None  # answers are of records with a number
    return record.summary.states[0]


def _met(record: Record) -> str:
    visited = _state(record).visited
    assert visited is not None  # contention is told of visits alone
    return three_digits(visited.experienced_p50_ms)
