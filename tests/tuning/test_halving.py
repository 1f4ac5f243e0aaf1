"""Halving, by simulated looks: the true best wins or is said to be the same, in the time given."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import pytest

from deploybench.tuning.halving import (
    LEAST_EACH_S,
    MOST_LOOKS,
    Halved,
    Look,
    halve,
    is_settled,
    least_budget_s,
    seconds_each,
    survivors,
)

MARGIN = 0.02
SCATTER = 0.2
"""The standard deviation of one second's logarithm; it goes down with the root of the seconds."""


class Simulated:
    """Configurations of known times; a look tells them with an error, and intervals that cover."""

    def __init__(self, times: dict[str, float], seed: int, *, sure: float = 3.0) -> None:
        self.times = times
        self.seconds: dict[str, float] = dict.fromkeys(times, 0.0)
        self.looked_at: list[tuple[str, ...]] = []
        self._random = random.Random(seed)
        self._sure = sure

    def look(self, number: int, names: Sequence[str], each_s: float) -> Look:
        self.looked_at.append(tuple(names))
        error = SCATTER / math.sqrt(each_s) / 10
        seen = {}
        for name in names:
            self.seconds[name] += each_s
            seen[name] = math.log(self.times[name]) + self._random.gauss(0, error)
        order = sorted(names, key=lambda name: seen[name])
        best = seen[order[0]]
        width = self._sure * error * math.sqrt(2)
        worse, same = set(), set()
        for name in order[1:]:
            difference = seen[name] - best
            if difference - width > 0 and difference > math.log1p(MARGIN):
                worse.add(name)
            elif difference + width < math.log1p(MARGIN):
                same.add(name)
        return Look(tuple(order), frozenset(worse), frozenset(same), spent_s=each_s * len(names))


def best_or_same(found: Halved, times: dict[str, float]) -> bool:
    """Whether the fastest leads, or what leads is not told from it."""
    truly = min(times, key=lambda name: times[name])
    first = found.last.order[0]
    told_apart = truly in found.last.order and truly not in found.last.worse
    return first == truly or told_apart or times[first] <= times[truly] * (1 + MARGIN)


@pytest.mark.parametrize("seed", range(200))
def test_true_best_wins_or_is_not_told_from_the_winner(seed: int) -> None:
    generator = random.Random(seed)
    count = generator.choice([2, 3, 5, 9, 17, 30])
    times = {f"c{number}": math.exp(generator.uniform(0, 1.5)) for number in range(count)}
    simulated = Simulated(times, seed)
    budget_s = least_budget_s(count) * generator.uniform(1, 10)
    found = halve(list(times), budget_s, simulated.look)
    assert best_or_same(found, times)


@pytest.mark.parametrize("seed", range(20))
def test_budget_is_held_and_time_goes_to_what_is_hard_to_tell_apart(seed: int) -> None:
    times = {"best": 1.0, "near": 1.03, **{f"far{number}": 2.0 + number for number in range(14)}}
    simulated = Simulated(times, seed)
    budget_s = 4 * least_budget_s(len(times))
    found = halve(list(times), budget_s, simulated.look)
    assert found.spent_s <= budget_s + 1e-9
    assert simulated.seconds["best"] > 3 * simulated.seconds["far13"]
    assert found.gone["far13"] == 0


def test_every_look_gives_each_the_same_time_and_leaves_as_much_for_each_later_one() -> None:
    # 16 take four looks to one: the first has a quarter of the time, for 16.
    assert seconds_each(640, 16) == 10
    # The next, at 8, has a third of the 480 s that are left.
    assert seconds_each(480, 8) == 20


def test_none_goes_whose_interval_reaches_the_best() -> None:
    seen = Look(("a", "b", "c", "d"), worse=frozenset({"d"}))
    assert survivors(seen, 4) == ["a", "b", "c"]
    assert survivors(Look(("a", "b", "c", "d"), worse=frozenset("bcd")), 4) == ["a", "b"]


def test_best_of_many_gets_one_to_be_told_apart_from() -> None:
    seen = Look(("a", "b"), worse=frozenset("b"))
    assert survivors(seen, 8) == ["a", "b"]
    assert not is_settled(seen, ["a", "b"], 8)
    assert is_settled(seen, ["a", "b"], 4)


def test_it_ends_where_all_that_are_left_are_the_same() -> None:
    looks = []

    def look(number: int, names: Sequence[str], each_s: float) -> Look:
        looks.append(tuple(names))
        return Look(tuple(names), same=frozenset(names[1:]), spent_s=1.0)

    found = halve(["a", "b", "c"], 1000, look)
    assert found.settled
    assert looks == [("a", "b", "c")]


def test_two_that_cannot_be_told_apart_take_the_whole_budget_and_no_more() -> None:
    def look(number: int, names: Sequence[str], each_s: float) -> Look:
        return Look(tuple(names), spent_s=each_s * len(names))

    found = halve(["a", "b"], 100, look)
    assert not found.settled
    assert found.spent_s == 100
    assert set(found.last.order) == {"a", "b"}


def test_who_joins_is_looked_at_and_is_left_out_where_there_is_no_time() -> None:
    def look(number: int, names: Sequence[str], each_s: float) -> Look:
        seen.append(tuple(names))
        worse = frozenset(names[1:])
        return Look(tuple(names), worse=worse, spent_s=each_s * len(names))

    def widen(number: int, kept: Sequence[str]) -> list[str]:
        return ["a with an option"] if number == 0 else []

    seen: list[tuple[str, ...]] = []
    halve(["a", "b"], 100 * LEAST_EACH_S, look, widen)
    assert seen[1] == ("a", "a with an option")
    seen.clear()
    found = halve(["a", "b"], least_budget_s(2), look, widen)
    assert seen == [("a", "b")]
    assert found.settled


def test_time_that_others_take_to_join_is_gone_and_no_look_is_planned_beyond_the_deadline() -> None:
    def look(number: int, names: Sequence[str], each_s: float) -> Look:
        nonlocal now_s
        seen.append(tuple(names))
        now_s += each_s * len(names)
        return Look(tuple(names), spent_s=each_s * len(names))

    def widen(number: int, kept: Sequence[str]) -> list[str]:
        nonlocal now_s
        now_s += takes_s
        return ["a in another form"] if number == 0 else []

    seen: list[tuple[str, ...]] = []
    now_s, takes_s = 0.0, 30.0
    halve(["a", "b"], 100.0, look, widen, lambda: max(100.0 - now_s, 0.0))
    assert seen == [("a", "b"), ("a", "b", "a in another form")]
    seen.clear()
    now_s, takes_s = 0.0, 45.0  # 5 s are left: not enough to look at two
    found = halve(["a", "b"], 100.0, look, widen, lambda: max(100.0 - now_s, 0.0))
    assert seen == [("a", "b")]
    assert not found.settled


def test_look_that_the_deadline_forestalled_is_none_and_settles_nothing() -> None:
    def look(number: int, names: Sequence[str], each_s: float) -> Look | None:
        if number == 1:
            return None
        return Look(("a",), spent_s=10.0)

    def widen(number: int, kept: Sequence[str]) -> list[str]:
        return ["a with an option"]

    found = halve(["a"], 100.0, look, widen)
    assert (found.looks, found.last.order, found.settled) == (1, ("a",), False)


def test_what_fell_out_of_the_race_is_not_looked_at_again() -> None:
    def look(number: int, names: Sequence[str], each_s: float) -> Look:
        seen.append(tuple(names))
        order = [name for name in names if name != "broken"]
        return Look(tuple(order), spent_s=each_s * len(names))

    seen: list[tuple[str, ...]] = []
    found = halve(["broken", "a", "b", "c", "d"], 400, look)
    assert "broken" not in seen[1]
    assert found.gone["broken"] == 0


def test_nothing_in_the_race_ends_it() -> None:
    found = halve(["a"], 100, lambda number, names, each_s: Look((), spent_s=1.0))
    assert found.last.order == ()
    assert found.looks == 1


def test_one_that_is_faster_and_may_be_wrong_takes_no_more_looks() -> None:
    """What is not known of it is its accuracy: measuring it again would tell nothing."""
    looks = []

    def look(number: int, names: Sequence[str], each_s: float) -> Look:
        looks.append(number)
        return Look(("allowed", "faster"), told=frozenset({"faster"}), spent_s=0.001)

    assert halve(["allowed", "faster"], 1000, look).settled
    assert looks == [0]


def test_looks_that_end_early_are_not_made_for_ever() -> None:
    found = halve(["a", "b"], 1000, lambda number, names, each_s: Look(("a", "b"), spent_s=0.001))
    assert found.looks == MOST_LOOKS
    assert not found.settled
