"""The placement: which cell goes to which node, and what becomes of those that are lost."""

from __future__ import annotations

import functools
import random
from collections import Counter

import pytest

from deploybench.fleet.placement import Assignment, GivenUp, Lost, Node, Placement, Task

ALPHA, BETA = Node("alpha", "xeon"), Node("beta", "xeon")
GPU = Node("gamma", "k80")


placement_of = functools.partial(Placement, pause_s=0.0)
"""Without a rest after a loss, but where that is looked at."""


def started(placement: Placement, *nodes: Node, now_s: float = 0.0) -> dict[str, str]:
    """What starts on these nodes, task by node."""
    placement.seen(nodes, now_s)
    return {start.node.name: start.task.name for start in placement.assignments(now_s)}


def tasks(*names: str, profile: str = "xeon") -> list[Task]:
    return [Task(name, profile) for name in names]


def test_a_node_has_one_cell_at_a_time_and_only_those_of_its_profile() -> None:
    placement = placement_of([*tasks("a", "b", "c"), *tasks("g", profile="k80")])

    assert started(placement, ALPHA, BETA, GPU) == {"alpha": "a", "beta": "b", "gamma": "g"}
    assert started(placement, ALPHA, BETA, GPU) == {}
    placement.finished("a")
    assert started(placement, ALPHA, BETA, GPU) == {"alpha": "c"}


def test_the_longest_cells_start_first() -> None:
    placement = placement_of([Task("short", "xeon", 10.0), Task("long", "xeon", 90.0)])

    assert started(placement, ALPHA) == {"alpha": "long"}


def test_a_cell_of_a_lost_node_goes_elsewhere_before_all_others() -> None:
    placement = placement_of(tasks("a", "b", "c", "d"))
    started(placement, ALPHA, BETA)

    losses = placement.seen([BETA], 1.0)
    assert [(lost.task.name, lost.cause) for lost in losses] == [("a", "node alpha left the fleet")]
    assert placement.assignments(1.0) == []
    placement.finished("b")

    assert started(placement, BETA) == {"beta": "a"}


def test_a_cell_waits_for_a_node_that_has_not_lost_it_while_there_is_one() -> None:
    placement = placement_of(tasks("a", "b"))
    started(placement, ALPHA, BETA)
    placement.lost(Lost(Task("a", "xeon"), ALPHA, "killed"), 0.0)

    assert started(placement, ALPHA, BETA) == {}
    placement.finished("b")
    assert started(placement, ALPHA, BETA) == {"beta": "a"}


def test_a_cell_that_is_lost_three_times_is_given_up_with_its_causes() -> None:
    placement = placement_of(tasks("a"))
    for number in range(3):
        assert started(placement, ALPHA) == {"alpha": "a"}
        placement.lost(Lost(Task("a", "xeon"), ALPHA, f"cause {number}"), 0.0)

    assert not placement.done
    assert placement.given_up() == [GivenUp(Task("a", "xeon"), ("cause 0", "cause 1", "cause 2"))]
    assert placement.done


def test_causes_of_an_earlier_driver_count() -> None:
    placement = placement_of(tasks("a"), earlier={"a": ["one", "two"]})
    started(placement, ALPHA)
    placement.lost(Lost(Task("a", "xeon"), ALPHA, "three"), 0.0)

    assert placement.given_up()[0].causes == ("one", "two", "three")


def test_a_profile_that_no_node_carries_is_given_up_after_the_patience() -> None:
    placement = placement_of([*tasks("a"), *tasks("g", profile="k80")], patience_s=10.0)
    started(placement, ALPHA, now_s=0.0)
    placement.seen([ALPHA], 9.0)
    assert placement.given_up() == []

    placement.seen([ALPHA], 10.0)

    assert placement.given_up() == [GivenUp(Task("g", "k80"), (), homeless=True)]


def test_a_node_that_comes_in_time_ends_the_patience() -> None:
    placement = placement_of(tasks("g", profile="k80"), patience_s=10.0)
    placement.seen([ALPHA], 0.0)

    assert started(placement, ALPHA, GPU, now_s=9.0) == {"gamma": "g"}
    placement.lost(Lost(Task("g", "k80"), GPU, "killed"), 0.0)
    placement.seen([ALPHA], 12.0)
    assert placement.given_up() == []


def test_a_node_that_only_loses_gets_no_more_while_there_is_another() -> None:
    placement = placement_of(tasks(*"abcdefgh"))
    started(placement, ALPHA, BETA)
    for name in ("a", "c", "d"):
        placement.lost(Lost(Task(name, "xeon"), ALPHA, "killed"), 0.0)
        started(placement, ALPHA, BETA)

    assert [running.node for running in placement.running] == [BETA]
    # By itself it is better than nothing.
    placement.seen([ALPHA], 1.0)
    assert [start.node for start in placement.assignments(1.0)] == [ALPHA]


def test_what_takes_too_long_is_told() -> None:
    task = Task("a", "xeon", limit_s=30.0)
    placement = placement_of([task])
    started(placement, ALPHA)

    assert placement.overdue(30.0) == []
    assert placement.overdue(30.1) == [Assignment(task, ALPHA, 1)]


def test_the_result_of_an_attempt_that_was_lost_is_not_waited_for() -> None:
    placement = placement_of(tasks("a"))
    placement.seen([ALPHA], 0.0)
    first = placement.assignments(0.0)[0]
    placement.lost(Lost(first.task, ALPHA, "late"), 0.0)
    second = placement.assignments(0.0)[0]

    assert not placement.expects(first)
    assert placement.expects(second)


def test_a_cell_that_runs_already_is_adopted() -> None:
    placement = placement_of(tasks("a", "b"))
    placement.seen([ALPHA, BETA], 0.0)
    adopted = placement.adopt(Task("b", "xeon"), ALPHA, 0.0)

    assert placement.expects(adopted)
    assert started(placement, ALPHA, BETA) == {"beta": "a"}
    placement.finished("b")
    placement.finished("a")
    assert placement.done


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same name"):
        placement_of(tasks("a", "a"))


@pytest.mark.parametrize("seed", range(20))
def test_whatever_happens_every_cell_ends_once(seed: int) -> None:
    """Nodes come, go, lose and finish at random: no cell is forgotten, none ends twice."""
    generator = random.Random(seed)
    every = [*tasks(*"abcdefgh"), *tasks(*"uvwxyz", profile="k80")]
    nodes = [ALPHA, BETA, GPU, Node("delta", "k80")]
    placement = placement_of(every, patience_s=5.0)
    ended: Counter[str] = Counter()
    now_s = 0.0
    while not placement.done:
        now_s += 1.0
        placement.seen([node for node in nodes if generator.random() < 0.8], now_s)
        placement.assignments(now_s)
        busy = [running.node.name for running in placement.running]
        assert len(set(busy)) == len(busy)
        for running in placement.running:
            assert running.node.profile == running.task.profile
            if generator.random() < 0.3:
                placement.lost(Lost(running.task, running.node, "killed"), now_s)
            elif generator.random() < 0.5:
                placement.finished(running.task.name)
                ended[running.task.name] += 1
        ended.update(given_up.task.name for given_up in placement.given_up())
        assert now_s < 1000

    assert ended == Counter(task.name for task in every)


def test_a_node_that_lost_a_cell_rests_before_it_gets_another() -> None:
    """A node that dies is known to be dead only later: it must not use up the tries."""
    placement = Placement(tasks("a", "b"), pause_s=30.0)
    started(placement, ALPHA, now_s=0.0)
    placement.lost(Lost(Task("a", "xeon"), ALPHA, "unavailable"), 1.0)

    assert started(placement, ALPHA, now_s=30.0) == {}
    assert started(placement, ALPHA, BETA, now_s=30.0) == {"beta": "a"}
    assert started(placement, ALPHA, BETA, now_s=31.0) == {"alpha": "b"}
