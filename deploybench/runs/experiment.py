"""The experiment of a run: what is known of each cell so far, and whether it needs more
launches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.lost_launches import lost_launches, without_lost
from deploybench.analysis.speedups import paired_speedups
from deploybench.analysis.states import FEWEST_LAUNCHES, states_of
from deploybench.measure.stopping import Ending, ExperimentRule, Progress
from deploybench.results.cell import BASELINE_PRECISION, Cell
from deploybench.results.launch import Launch
from deploybench.statistics.ratios import more_rounds
from deploybench.statistics.samples import CONFIDENCE, FEWEST_FOR_INTERVAL, median, median_interval


@dataclass(frozen=True)
class Stopped:
    """Why a cell had its last launch, and how many more rounds its precision would have taken (0:
    it is there)."""

    ending: Ending
    more_rounds: int | None


class Experiment:
    """Collects launches and asks the rule after each round.

    ``baseline``: the runner that others are compared with.
    """

    def __init__(
        self, cells: Sequence[Cell], rule: ExperimentRule, baseline: str | None = None
    ) -> None:
        self.launches: list[list[Launch]] = [[] for _ in cells]
        self._rule = rule
        self._endings: list[Ending | None] = [None] * len(cells)
        self._partners = [_partners(index, cells, baseline) for index in range(len(cells))]

    def add(self, index: int, launch: Launch) -> None:
        """Note one launch of a cell; the cell may have ended with it.

        A lost launch is tried again in the next round, and counts to no number of rounds.
        """
        launches = self.launches[index]
        launches.append(launch)
        lost = lost_launches(launches)
        if not launch.measured and launch not in lost:
            self._endings[index] = Ending.FAILED
        elif launch.measured and self._rule.max_rounds == len(launches) - len(lost):
            self._endings[index] = Ending.ROUNDS

    def wants_more(self, index: int) -> bool:
        """Whether the cell is launched in the round that begins now."""
        if self._endings[index] is None and not self._owes_a_retry(index):
            alive = [partner for partner in self._partners[index] if self._endings[partner] is None]
            self._endings[index] = self._rule.ending(self._progress(index, alive))
        return self._endings[index] is None

    def _owes_a_retry(self, index: int) -> bool:
        """Whether the latest launch was lost: a time budget does not save it the retry."""
        launches = self.launches[index]
        return bool(launches) and not launches[-1].measured

    def stopped(self, index: int) -> Stopped | None:
        """How the cell ended, or None while it may be launched again."""
        ending = self._endings[index]
        if ending is None:
            return None
        partners = [
            partner
            for partner in self._partners[index]
            if self._endings[partner] is not Ending.FAILED
        ]
        return Stopped(ending, _more_rounds(self._progress(index, partners), self._rule.half_width))

    def _progress(self, index: int, partners: Sequence[int]) -> Progress:
        launches = without_lost(self.launches[index])
        seconds = [launch.seconds for launch in launches]
        widths = state_widths(launches)
        for partner in partners:
            widths += self._ratio_widths(index, partner)
        return Progress(
            len(launches), sum(seconds), median(seconds) if seconds else 0.0, tuple(widths)
        )

    def _ratio_widths(self, index: int, partner: int) -> list[float | None]:
        """The widths of the speed-up in each state that gave at least three pairs, and in the one
        that gave most."""
        ratios = [
            speedup.ratio
            for speedup in paired_speedups(self.launches[partner], self.launches[index])
        ]
        wanted = ratios[:1] + [ratio for ratio in ratios[1:] if ratio.count >= FEWEST_LAUNCHES]
        return [ratio.half_width if ratio.coverage >= CONFIDENCE else None for ratio in wanted] or [
            None
        ]


def state_widths(launches: Sequence[Launch]) -> list[float | None]:
    """The relative half-width of the estimate in each state that was seen in at least three
    launches."""
    widths: list[float | None] = []
    for state in states_of(launches):
        medians = [launch.median_ms for launch in state.counted]
        interval = median_interval(medians)
        if len(state.launches) >= FEWEST_LAUNCHES:
            known = interval is not None and interval.coverage >= CONFIDENCE
            widths.append(interval.half_width(median(medians)) if interval and known else None)
    return widths or [None]


def _partners(index: int, cells: Sequence[Cell], baseline: str | None) -> list[int]:
    """The cells that this one is compared with: its baseline, or those that it is the baseline
    of."""
    if baseline is None:
        return []
    alike = [
        other for other, cell in enumerate(cells) if other != index and cell.same_job(cells[index])
    ]
    named = [cell.runner == baseline and cell.precision == BASELINE_PRECISION for cell in cells]
    return alike if named[index] else [other for other in alike if named[other]]


def _more_rounds(progress: Progress, half_width: float | None) -> int | None:
    """The most that any interval needs; None when no precision was asked for."""
    if half_width is None:
        return None
    shortest = max(FEWEST_FOR_INTERVAL - progress.rounds, 1)
    return max(
        shortest if width is None else more_rounds(progress.rounds, width, half_width)
        for width in progress.half_widths
    )
