"""The experiment of a run: the launches of each cell so far, and whether it needs more."""

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
    """Why a cell had its last launch.

    ``more_rounds``: how many more its precision would have taken; 0 where it was reached.
    """

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
        self._partners = [partners_of(index, cells, baseline) for index in range(len(cells))]

    def add(self, index: int, launch: Launch) -> None:
        """Note one launch of a cell; the cell may have ended with it.

        A lost launch is tried again in the next round, and is not counted as a round.
        """
        launches = self.launches[index]
        launches.append(launch)
        lost = lost_launches(launches)
        rounds = len(launches) - len(lost)
        if not launch.measured and launch not in lost:
            self._endings[index] = Ending.FAILED
        elif launch.measured and rounds == self._rule.max_rounds:
            self._endings[index] = Ending.ROUNDS

    def wants_more(self, index: int) -> bool:
        """Whether the cell is launched in the round that begins now."""
        if self._endings[index] is None and not self._owes_a_retry(index):
            # A partner that has ended gets no more launches, so waiting for it settles nothing.
            alive = [partner for partner in self._partners[index] if self._endings[partner] is None]
            progress = self._progress(index, alive)
            self._endings[index] = self._rule.ending(progress)
        return self._endings[index] is None

    def _owes_a_retry(self, index: int) -> bool:
        """Whether the latest launch was lost: it is tried again even beyond the time budget."""
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
        progress = self._progress(index, partners)
        return Stopped(ending, _more_rounds(progress, self._rule.half_width))

    def _progress(self, index: int, partners: Sequence[int]) -> Progress:
        """How far the cell is: its own intervals, and those of its speed-ups with ``partners``."""
        launches = without_lost(self.launches[index])
        seconds = [launch.seconds for launch in launches]
        typical_seconds = 0.0
        if seconds:
            typical_seconds = median(seconds)
        widths = state_widths(launches)
        for partner in partners:
            widths += self._ratio_widths(index, partner)
        return Progress(len(launches), sum(seconds), typical_seconds, tuple(widths))

    def _ratio_widths(self, index: int, partner: int) -> list[float | None]:
        """The half-widths of the speed-up over the partner, one a state of the machine.

        The state that gave most pairs counts in any case, the others from three pairs on. None
        stands for an interval that does not cover 95 % yet.
        """
        widths: list[float | None] = []
        speedups = paired_speedups(self.launches[partner], self.launches[index])
        for position, speedup in enumerate(speedups):  # the one with most pairs comes first
            ratio = speedup.ratio
            if position > 0 and ratio.count < FEWEST_LAUNCHES:
                continue
            if ratio.coverage >= CONFIDENCE:
                widths.append(ratio.half_width)
            else:
                widths.append(None)
        return widths or [None]


def state_widths(launches: Sequence[Launch]) -> list[float | None]:
    """The relative half-width of the estimate in each state seen in at least three launches.

    None stands for an interval that does not cover 95 % yet.
    """
    widths: list[float | None] = []
    for state in states_of(launches):
        if len(state.launches) < FEWEST_LAUNCHES:
            continue
        medians = [launch.median_ms for launch in state.counted]
        interval = median_interval(medians)
        if interval is None or interval.coverage < CONFIDENCE:
            widths.append(None)
        else:
            widths.append(interval.half_width(median(medians)))
    return widths or [None]


def partners_of(index: int, cells: Sequence[Cell], baseline: str | None) -> list[int]:
    """The cells that this one is compared with.

    For a baseline these are all that do the same job; for any other cell they are its baselines.
    """
    if baseline is None:
        return []
    same_job = [
        other for other, cell in enumerate(cells) if other != index and cell.same_job(cells[index])
    ]
    if is_baseline(cells[index], baseline):
        return same_job
    return [other for other in same_job if is_baseline(cells[other], baseline)]


def is_baseline(cell: Cell, baseline: str) -> bool:
    """Whether others are compared with this cell: the baseline's runner in fp32."""
    return cell.runner == baseline and cell.precision == BASELINE_PRECISION


def _more_rounds(progress: Progress, half_width: float | None) -> int | None:
    """The most that any interval needs; None when no precision was asked for."""
    if half_width is None:
        return None
    rounds = []
    for width in progress.half_widths:
        if width is None:
            # There is no interval to extrapolate from: as many as the first one takes.
            rounds.append(max(FEWEST_FOR_INTERVAL - progress.rounds, 1))
        else:
            rounds.append(more_rounds(progress.rounds, width, half_width))
    return max(rounds)
