"""What is worth choosing from: the front, and by whom the rest is dominated."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deploybench.analysis.orders import Known
from deploybench.analysis.pareto import Point, dominates, dominators, fewer_is_worse

VALUES = st.integers(1, 6).map(float)
REACHES = st.sampled_from([0.0, 0.3, 1.2])


@st.composite
def figures(draw: st.DrawFn) -> Known:
    value = draw(VALUES)
    return Known(value, value - draw(REACHES), value + draw(REACHES))


@st.composite
def points(draw: st.DrawFn) -> Point:
    """Two axes that are known, and one that may not be."""
    last = draw(st.one_of(st.none(), figures()))
    return Point((draw(figures()), draw(figures()), last), draw(st.sampled_from([None, "a", "b"])))


SETS = st.lists(points(), min_size=1, max_size=9).map(lambda found: dict(enumerate(found)))


def exactly(*values: float | None, kin: str | None = None) -> Point:
    return Point(tuple(None if value is None else Known.of(value) for value in values), kin)


@given(SETS)
def test_something_is_always_on_the_front(made: dict[int, Point]) -> None:
    assert None in dominators(made).values()


@given(SETS)
def test_the_front_is_what_nothing_dominates_and_the_rest_names_what_does(
    made: dict[int, Point],
) -> None:
    for name, by in dominators(made).items():
        above = {other for other, rival in made.items() if dominates(rival, made[name])}
        if by is None:
            assert not above
        else:
            assert by in above


@given(SETS)
def test_what_is_worse_in_everything_changes_nothing_for_the_others(made: dict[int, Point]) -> None:
    before = dominators(made)
    # Clearly behind the first along every axis: it can dominate nothing that the first does not.
    worse = Point(
        tuple(
            None if one is None else Known(one.value + 9, one.low + 9, one.high + 9)
            for one in made[0].axes
        ),
        made[0].kin,
    )
    after = dominators({**made, "worse": worse})
    assert {name: by is None for name, by in after.items() if name != "worse"} == {
        name: by is None for name, by in before.items()
    }


@given(points(), points())
def test_two_never_dominate_each_other(one: Point, other: Point) -> None:
    assert not (dominates(one, other) and dominates(other, one))


@given(SETS, st.floats(0.1, 10))
def test_another_unit_makes_no_other_front(made: dict[int, Point], factor: float) -> None:
    scaled = {
        name: Point(
            tuple(
                None
                if one is None
                else Known(one.value * factor, one.low * factor, one.high * factor)
                for one in point.axes
            ),
            point.kin,
        )
        for name, point in made.items()
    }
    assert dominators(scaled) == dominators(made)


def test_better_along_one_axis_and_worse_along_another_both_stay() -> None:
    assert dominators({"fast": exactly(1, 9), "small": exactly(2, 3)}) == {
        "fast": None,
        "small": None,
    }


def test_intervals_that_overlap_dominate_nothing() -> None:
    fast = Point((Known(5.0, 4.8, 5.2), Known.of(100.0)))
    slow = Point((Known(5.1, 4.9, 5.3), Known.of(100.0)))
    assert dominators({"fast": fast, "slow": slow}) == {"fast": None, "slow": None}
    much_slower = Point((Known(5.5, 5.3, 5.7), Known.of(100.0)))
    assert dominators({"fast": fast, "slow": much_slower})["slow"] == "fast"


def test_an_unknown_figure_cannot_be_compared_unless_both_are_of_one_kin() -> None:
    apart = {"one": exactly(1, 1, None, kin="a"), "other": exactly(2, 2, None, kin="b")}
    assert set(dominators(apart).values()) == {None}
    nobody = {"one": exactly(1, 1, None), "other": exactly(2, 2, None)}
    assert set(dominators(nobody).values()) == {None}
    kin = {"one": exactly(1, 1, None, kin="a"), "other": exactly(2, 2, 0.5, kin="a")}
    assert dominators(kin) == {"one": None, "other": "one"}


def test_more_is_better_turns_an_axis_round() -> None:
    turned = fewer_is_worse(Known(0.8, 0.7, 0.85))
    assert (turned.low, turned.value, turned.high) == (-0.85, -0.8, -0.7)
    assert fewer_is_worse(Known.of(0.9)).below(turned)


def test_the_dominator_that_is_named_is_one_of_the_front_where_it_can_be() -> None:
    made = {"middle": exactly(2, 2), "last": exactly(3, 3), "first": exactly(1, 1)}
    assert dominators(made) == {"middle": "first", "last": "first", "first": None}
