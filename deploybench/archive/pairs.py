"""The pairs of a bulk comparison as arrays: which are compared in bulk, and with what ratio."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from deploybench.archive.extra import needed
from deploybench.statistics.levels import SAME_STATE
from deploybench.statistics.many_ratios import (
    Flags,
    Floats,
    Lists,
    ManyRatios,
    Times,
    moved_probes,
    ratios_of_intervals,
    unpaired_ratios,
    widened,
)
from deploybench.statistics.shift import (
    ASSUMED_SHIFT,
    ASSUMED_SHIFT_UNDISTURBED,
    FEWEST_DEGREES,
    assumed_shift,
    half_widths,
)

PROBES = ("probe_compute_us", "probe_memory_ms")
SIDES_OF_A_PAIR = ("baseline", "candidate")
BEST_MOVED = 1e-3
"""As ``analysis/visits_between_runs.py``: bests of the canary closer than this are one."""


class Pairs:
    """The columns of ``pairs`` as arrays."""

    def __init__(self, table: Any) -> None:
        self.table = table

    def floats(self, name: str) -> Floats:
        column = self.table.column(name).cast("float64").fill_null(float("nan"))
        values: Floats = column.to_numpy()
        return values

    def flags(self, name: str) -> Flags:
        values: Flags = self.table.column(name).fill_null(False).to_numpy()
        return values

    def lists(self, name: str) -> Lists:
        column = self.table.column(name).combine_chunks()
        lengths = needed("pyarrow.compute").list_value_length(column).fill_null(0).to_numpy()
        starts = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
        return Lists(column.flatten().to_numpy(), starts)

    def _unpaired(self, name: str, *, only_apart: bool) -> ManyRatios:
        baseline, candidate = self.lists(f"baseline_{name}"), self.lists(f"candidate_{name}")
        return unpaired_ratios(baseline, candidate, only_apart=only_apart)

    def times(self, side: str) -> Times:
        """The undisturbed times of one side with their intervals."""
        return (
            self.floats(f"{side}_p50_ms"),
            self.floats(f"{side}_p50_low_ms"),
            self.floats(f"{side}_p50_high_ms"),
        )

    @property
    def takes_whole(self) -> Flags:
        """Which pairs are compared by the whole records."""
        launches, visits = self.flags("both_launches"), self.flags("both_visits")
        whole: Flags = (
            ~(launches | visits)
            | ((launches | visits) & self._several_states)
            | (visits & self._best_moved)
            | self.flags("same_run")
        )
        return whole

    @property
    def _several_states(self) -> Flags:
        """Whether the hops of both together may be of two states; of unlike hardware none are."""
        lows = np.stack([self.floats("baseline_hop_low_ns"), self.floats("candidate_hop_low_ns")])
        highs = np.stack(
            [self.floats("baseline_hop_high_ns"), self.floats("candidate_hop_high_ns")]
        )
        one_without = np.isnan(lows[0]) != np.isnan(lows[1])
        apart = highs.max(axis=0) > SAME_STATE * lows.min(axis=0)
        several: Flags = self.flags("alike") & (one_without | apart)
        return several

    @property
    def _best_moved(self) -> Flags:
        """Whether a side is to be estimated again with the canary's best of the other."""
        compute = np.stack([self.floats(f"{side}_canary_compute_us") for side in SIDES_OF_A_PAIR])
        memory = np.stack([self.floats(f"{side}_canary_memory_us") for side in SIDES_OF_A_PAIR])
        threads = np.stack([self.floats(f"{side}_canary_threads") for side in SIDES_OF_A_PAIR])
        in_common = (threads[0] == threads[1]) & self.flags("same_host") & self.flags("alike")
        best = compute.min(axis=0) + memory.min(axis=0)
        moved: Flags = in_common & ((compute + memory) / best - 1 >= BEST_MOVED).any(axis=0)
        return moved

    def ratios(self, in_bulk: Flags, shifts: Shifts) -> ManyRatios:
        """The ratios of all pairs that are compared in bulk; NaN of the others."""
        launches = in_bulk & self.flags("both_launches")
        visits = in_bulk & self.flags("both_visits")
        # NumPy lets go of the interpreter while it sorts: the three are worked out at once.
        with ThreadPoolExecutor() as pool:
            ratios_of = [
                pool.submit(self._unpaired, name, only_apart=name in PROBES)
                for name in ("launch_medians_ms", *PROBES)
            ]
        of_launches, *of_probes = [found.result() for found in ratios_of]
        moved = np.max([moved_probes(probes) for probes in of_probes], axis=0)
        moved = np.where(self.flags("alike"), moved, 0.0)
        known = self.flags("baseline_known") & self.flags("candidate_known")
        of_visits = ratios_of_intervals(self.times("baseline"), self.times("candidate"), known)
        of_launches = widened(of_launches, shifts.half_width(ASSUMED_SHIFT), moved)
        of_visits = widened(
            of_visits, shifts.half_width(ASSUMED_SHIFT_UNDISTURBED), np.zeros(len(visits))
        )
        return ManyRatios(
            *(
                np.where(launches, one, np.where(visits, other, np.nan))
                for one, other in zip(of_launches.parts, of_visits.parts, strict=True)
            )
        )


class Shifts:
    """By how much whole runs of each pair's things shift, as ``analysis/run_shifts.py`` has it."""

    def __init__(self, degrees: Floats, squares: Floats, odd: Flags, given: float | None) -> None:
        self.degrees = degrees
        self.squares = squares
        self.odd = odd
        self.given = given

    @classmethod
    def none_of(cls, pairs: int, given: float | None) -> Shifts:
        """Where there are too few runs for any of them to be estimated."""
        return cls(np.zeros(pairs), np.zeros(pairs), np.zeros(pairs, dtype=np.bool_), given)

    @classmethod
    def of(cls, table: Any, given: float | None) -> Shifts:
        """From the runs of both sides' things, a line a pair."""
        columns = Pairs(table)
        runs = np.stack([columns.floats(f"{side}_runs") for side in SIDES_OF_A_PAIR])
        squares = np.stack([columns.floats(f"{side}_squares") for side in SIDES_OF_A_PAIR])
        same = columns.flags("same_thing")

        # Both sides are one thing: it counts once, and without the candidate's own run, whose
        # difference from the others is what is asked for.
        own = columns.floats("candidate_log_time")
        without = same & ~np.isnan(own) & (runs[0] > 0)
        left = np.where(without, runs[0] - 1, runs[0])
        mean = columns.floats("baseline_mean")
        with np.errstate(divide="ignore", invalid="ignore"):
            mean_without = (runs[0] * mean - own) / left
            less = np.where(without & (left > 0), (own - mean) * (own - mean_without), 0.0)
        squares[0] = np.maximum(squares[0] - less, 0.0)
        runs[0] = left
        runs[1] = np.where(same, 0, runs[1])
        enough = runs >= 2
        degrees = np.where(enough, runs - 1, 0).sum(axis=0).astype(np.float64)
        pooled = np.where(enough, squares, 0.0).sum(axis=0)
        return cls(degrees, pooled, columns.flags("odd"), given)

    @property
    def estimated(self) -> Flags:
        enough: Flags = self.degrees >= FEWEST_DEGREES
        return enough if self.given is None else np.zeros_like(enough)

    @property
    def takes_whole(self) -> Flags:
        """Where times of other runs count, and what they are depends on the pair."""
        whole: Flags = self.odd & (self.estimated | (self.degrees >= FEWEST_DEGREES - 1))
        return whole if self.given is None else np.zeros_like(whole)

    def half_width(self, assumed: float) -> Floats:
        """Of the interval of each pair, as a logarithm."""
        given = assumed if self.given is None else self.given
        widths = np.full(len(self.degrees), assumed_shift(given).half_width)
        estimated = self.estimated
        if estimated.any():
            widths[estimated] = half_widths(self.squares[estimated], self.degrees[estimated])
        return widths
