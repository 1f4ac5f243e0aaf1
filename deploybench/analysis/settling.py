"""What would settle a comparison that is not known yet: how many rounds, and what to ask for.

Fresh launches are asked for by their number (``--rounds``). Visits are asked for by time
(``--budget``): a number of rounds would be of fresh launches.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deploybench.analysis.speedups import MOST_ROUNDS_OF_VISITS, Speedup
from deploybench.plurals import counted
from deploybench.results.record import Record
from deploybench.statistics.dependence import FEWEST_INDEPENDENT, FEWEST_VALUES
from deploybench.statistics.ratios import (
    DEFAULT_MARGIN,
    MOST_ROUNDS,
    half_width_that_settles,
    more_rounds,
)
from deploybench.statistics.samples import CONFIDENCE, median

USUAL_BUDGET_S = 60
"""For a cell that is visited: the default of the command."""
TIMES_ITS_WINDOW = 2.0
"""What a visit takes in all: the untimed calls and the canary take about as long as its samples."""
NS_PER_S = 1e9


def rounds_to_settle(speedup: Speedup, margin: float = DEFAULT_MARGIN) -> int | None:
    """How many more rounds would give the speed-up an answer that is not AMBIGUOUS.

    None where their number is not what is missing: the halves of the run contradict each other, or
    one of the two cells has modes of its own.
    """
    ratio = speedup.ratio
    wanted = half_width_that_settles(ratio, margin)
    pairs = speedup.pairs
    if pairs is None:
        return max(more_rounds(ratio.count, ratio.half_width, wanted), 1)
    enough_for_halves = pairs.count >= FEWEST_VALUES
    if enough_for_halves and not pairs.halves_agree and not speedup.rests_on_undisturbed:
        return None
    surely = max(pairs.surely, 1.0)
    until_known = math.ceil(pairs.count * (FEWEST_INDEPENDENT / surely - 1))
    needed = max(until_known, more_rounds(pairs.count, ratio.half_width, wanted))
    if needed <= 0 and ratio.coverage < CONFIDENCE:
        return None
    return max(needed, 1)


def most_rounds(speedup: Speedup) -> int:
    """More rounds than this settle nothing: the two are too close."""
    if speedup.pairs is None:
        return MOST_ROUNDS
    return MOST_ROUNDS_OF_VISITS


def what_settles(speedup: Speedup, rounds: int | None, records: Sequence[Record]) -> str:
    """In words what would answer an AMBIGUOUS speed-up of these two records.

    ``rounds`` as :func:`rounds_to_settle` tells.
    """
    if rounds is None:
        return "the two differ by other amounts at other times: measure again, longer"
    if rounds > most_rounds(speedup):
        return "too close for any number"
    if speedup.pairs is None:
        return f"about {counted(rounds, 'more round')} would settle it"
    budget_s = budget_for(records, speedup.pairs.count + rounds)
    return f"about {counted(rounds, 'more visit')} of each would settle it: --budget {budget_s}s"


def budget_for(records: Sequence[Record], rounds: int) -> int:
    """The time for a cell in which so many rounds visit it, in whole steps of ten seconds."""
    slowest_s = 0.0
    for record in records:
        visit_s = median([visit.window_ns / NS_PER_S for visit in record.visits])
        slowest_s = max(slowest_s, TIMES_ITS_WINDOW * visit_s)
    return max(USUAL_BUDGET_S, math.ceil(rounds * slowest_s / 10) * 10)
