"""The states of two records side by side: which are common, and whether the machine moved.

A state has one name, its level of the hop probe, on both sides: the level of both records' readings
together. None where no hop probe ran, and for unlike hardware, whose hops do not compare.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from deploybench.analysis.matching import hardware
from deploybench.analysis.states import (
    State,
    all_hops,
    probe_readings,
    states_of,
)
from deploybench.results.launch import Launch
from deploybench.results.record import Record
from deploybench.statistics.levels import levels_of, nearest
from deploybench.statistics.ratios import unpaired_ratio
from deploybench.statistics.samples import CONFIDENCE

StatesByLevel = dict[float | None, State]


def states_of_both(old: Record, new: Record) -> tuple[StatesByLevel, StatesByLevel]:
    """The states of two records, with one set of levels for both."""
    measured = [launch for launch in (*old.launches, *new.launches) if launch.measured]
    levels = levels_of(all_hops(measured))
    alike = hardware(old) == hardware(new)
    return states_by_level(old, levels, alike), states_by_level(new, levels, alike)


def states_by_level(record: Record, levels: Sequence[float], alike: bool) -> StatesByLevel:
    """The record's states by the level of both records together.

    The hops of unlike hardware do not compare: there the state that was seen most stands for the
    machine.
    """
    states = states_of(record.launches)
    if not states:
        return {}
    if not alike:
        return {None: states[0]}
    by_level: StatesByLevel = {}
    for state in states:
        level = None
        if state.hop_ns is not None:
            level = nearest(levels, state.hop_ns)
        # two states of one record may be one beside the levels of both
        same = by_level.get(level, State(level, (), ()))
        by_level[level] = State(level, same.launches + state.launches, same.counted + state.counted)
    return by_level


def state_at(states: StatesByLevel, hop: float | None) -> State | None:
    """The state of a level; a cell of one thread has no hop probe, and one state."""
    levels = [level for level in states if level is not None]
    if not levels or hop is None:
        return states.get(None)
    return states[nearest(levels, hop)]


def machine_shift(first: Sequence[Launch], second: Sequence[Launch]) -> tuple[str, float]:
    """The probe that moved most between two runs in one state, and by how much (log of the ratio).

    ("", 0) where none moved beyond chance: where the 95 % interval of the rank-sum test holds 1.
    """
    most_moved = ""
    largest = 0.0
    for name, field in (("compute", "compute_us"), ("memory", "memory_ms")):
        ratio = unpaired_ratio(probe_readings(first, field), probe_readings(second, field))
        if ratio is None or ratio.coverage < CONFIDENCE or ratio.low <= 1 <= ratio.high:
            continue
        shift = abs(math.log(ratio.value))
        if shift > largest:
            most_moved = name
            largest = shift
    return most_moved, largest


def names_of(states: StatesByLevel) -> str:
    if not states:
        return "changed state during every launch"
    return " and ".join(_name(level) for level in states)


def _name(level: float | None) -> str:
    if level is None:
        return "without a hop probe"
    return f"{level:.0f} ns"
