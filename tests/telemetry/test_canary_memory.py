"""What the canary takes when all is calm: never luck, never lost by a bad file, and of each state
of the machine by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from deploybench.results.visit import (
    FARTHEST_MEMORY,
    MEMORY_WEIGHT,
    CanaryBest,
    CanaryReading,
)
from deploybench.telemetry.canary_memory import (
    CALM_APART,
    FEWEST_READINGS,
    FEWEST_TO_OUTVOTE,
    CanaryRun,
    best_of,
    best_of_runs,
    calm_of,
    in_words,
    outvoted_in_words,
    remember,
    remembered,
)
from deploybench.telemetry.remembered import LONGEST_PROTECTED, MOST_RUNS, kept_of, write_runs
from tests.records import host

CALM_US, SLOW_US, MEMORY_US = 13_000.0, 16_000.0, 2_000.0
times_us = some.floats(min_value=1.0, max_value=1e6)
readings_of_any_machine = some.lists(
    some.builds(CanaryReading, compute_us=times_us, memory_us=times_us), min_size=1, max_size=200
)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def readings(
    compute_us: float, count: int = FEWEST_READINGS, hop_ns: float | None = None
) -> list[CanaryReading]:
    return [CanaryReading(compute_us=compute_us, memory_us=MEMORY_US, hop_ns=hop_ns)] * count


def run(compute_us: float, memory_us: float = MEMORY_US, days_ago: float = 0.0) -> CanaryRun:
    at = datetime(2026, 11, 27, tzinfo=timezone.utc) - timedelta(days=days_ago)
    return CanaryRun(at=at, compute_us=compute_us, memory_us=memory_us, readings=100)


some_runs = some.lists(
    some.builds(
        CanaryRun,
        at=some.datetimes(timezones=some.just(timezone.utc)),
        compute_us=times_us,
        memory_us=times_us,
        readings=some.just(100),
    ),
    min_size=1,
    max_size=30,
)


def computed(runs: Sequence[CanaryRun]) -> float:
    best = best_of_runs(runs, 2)
    assert best is not None
    return best.compute_us


def cache_file(tmp_path: Path) -> Path:
    (path,) = (tmp_path / "cache" / "deploybench").iterdir()
    return path


def test_nothing_is_known_of_a_host_that_was_never_measured() -> None:
    assert remembered(host(), 2) is None


def test_a_slow_run_is_compared_with_what_an_earlier_one_found() -> None:
    """As in 80 s of a real run: slow all the time, and calm by its own measure."""
    remember(host(), 2, readings(CALM_US))
    best = remember(host(), 2, readings(SLOW_US))
    assert best.compute_us == CALM_US
    assert best.runs == 2
    assert best.of_this_run == CanaryReading(compute_us=SLOW_US, memory_us=MEMORY_US)
    assert best.delivered(readings(SLOW_US)[0]) == pytest.approx(CALM_US / SLOW_US)
    assert remembered(host(), 2) == CanaryBest(
        threads=2, compute_us=CALM_US, memory_us=MEMORY_US, runs=2, second_us=SLOW_US
    )


def test_the_best_is_of_this_host_and_thread_budget_alone() -> None:
    remember(host(), 2, readings(CALM_US))
    assert remembered(host(), 1) is None
    assert remembered(host(cpu_model="another"), 2) is None
    assert remembered(host(isa=("avx512f",)), 2) is None
    assert remembered(host(usable_cores=1), 2) is None
    assert remembered(host(versions={"numpy": "3"}), 2) is None
    assert remembered(host(environment_kept={"OPENBLAS_CORETYPE": "Zen"}), 2) is None
    assert remembered(host(hostname="another name of it", load_1m=3.0), 2) is not None


def test_a_run_of_few_readings_is_not_remembered() -> None:
    best = remember(host(), 2, readings(CALM_US, FEWEST_READINGS - 1))
    assert best.compute_us == CALM_US
    assert remembered(host(), 2) is None


def test_what_a_run_found_is_the_middle_of_its_calm_readings() -> None:
    """Of 40 readings four are faster than all others, which is luck; half are slowed."""
    calm = [CALM_US * (1 + number / 1000) for number in range(16)]
    times = [CALM_US / 2] * 3 + calm + [SLOW_US] * 21
    found = calm_of([CanaryReading(compute_us=time_us, memory_us=MEMORY_US) for time_us in times])
    assert found.compute_us == pytest.approx(CALM_US * 1.0075)
    assert found.memory_us == MEMORY_US


@pytest.mark.parametrize("count", [1, 2])
def test_of_few_readings_the_middle_is_one_of_them(count: int) -> None:
    of_a_run = [CanaryReading(compute_us=n, memory_us=n) for n in range(1, count + 1)]
    assert 1 <= calm_of(of_a_run).compute_us <= count


@given(readings_of_any_machine, some.randoms())
def test_order_of_readings_does_not_matter(of_a_run: list[CanaryReading], chance: object) -> None:
    shuffled = list(of_a_run)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert calm_of(shuffled) == calm_of(of_a_run)


@given(some_runs, some.randoms())
def test_order_of_runs_does_not_matter(runs: list[CanaryRun], chance: object) -> None:
    shuffled = list(runs)
    chance.shuffle(shuffled)  # type: ignore[attr-defined]
    assert best_of_runs(shuffled, 2) == best_of_runs(runs, 2)


@given(some_runs, some.floats(min_value=0.01, max_value=1.0))
def test_a_run_faster_than_all_never_makes_the_best_slower(
    runs: list[CanaryRun], share: float
) -> None:
    fastest_us = min(one.compute_us for one in runs)
    assert computed([*runs, run(share * fastest_us)]) <= computed(runs)


@given(some_runs.filter(lambda runs: len(runs) > FEWEST_TO_OUTVOTE), times_us)
def test_a_run_slower_than_all_by_more_than_calm_ones_are_apart_changes_nothing(
    runs: list[CanaryRun], more_us: float
) -> None:
    slowest_us = max(one.compute_us for one in runs)
    slower = run(CALM_APART * slowest_us + more_us)
    assert computed([*runs, slower]) == computed(runs)


@given(some_runs)
def test_what_counts_is_near_the_least_or_the_second_least(runs: list[CanaryRun]) -> None:
    in_order = sorted(one.compute_us for one in runs)
    near_least = in_order[0] <= computed(runs) <= CALM_APART * in_order[0]
    assert near_least or in_order[1] <= computed(runs) <= CALM_APART * in_order[1]


def test_of_calm_runs_the_middle_counts() -> None:
    """Of six hours of one machine the fastest was 4 % faster than the slowest calm one."""
    calm = [7931, 8085, 8233, 8163, 8215, 8146]
    assert computed([run(time_us) for time_us in (*calm, 9950, 12034)]) == (8146 + 8163) / 2


def over_days(times_us: Sequence[float]) -> list[CanaryRun]:
    """A run a day."""
    return [run(time_us, days_ago=number) for number, time_us in enumerate(times_us)]


def test_one_freak_run_does_not_spoil_all_later_ones() -> None:
    freak_us = CALM_US / 2
    agreeing = [CALM_US, 1.01 * CALM_US, 1.02 * CALM_US, 1.03 * CALM_US]
    assert computed(over_days([freak_us, *agreeing])) == pytest.approx(1.015 * CALM_US)
    # Twice is no freak.
    assert computed(over_days([freak_us, freak_us, *agreeing])) == freak_us
    # What lies near the others is one of them.
    assert computed(over_days([0.99 * CALM_US, *agreeing])) == 1.01 * CALM_US


@pytest.mark.parametrize(
    "slow",
    [
        [run(SLOW_US, days_ago=5 * number) for number in range(3)],
        over_days([SLOW_US, 1.01 * SLOW_US, 1.02 * SLOW_US, 1.06 * SLOW_US]),
        [run(SLOW_US, days_ago=0.5 * number) for number in range(6)],
    ],
    ids=["too few", "they do not agree", "of two days and a half"],
)
def test_the_only_calm_run_among_slow_ones_counts(slow: list[CanaryRun]) -> None:
    assert computed([run(CALM_US), *slow]) == CALM_US


def test_what_is_outvoted_is_said(tmp_path: Path) -> None:
    remember(host(), 2, readings(CALM_US))
    assert outvoted_in_words(host(), 2) is None
    runs = over_days([CALM_US / 2, *[CALM_US] * FEWEST_TO_OUTVOTE])
    write_runs(cache_file(tmp_path), runs, [])
    words = outvoted_in_words(host(), 2)
    assert words is not None
    assert words.startswith("the run of 2026-11-27 had 100% faster arithmetic than what counts")


def test_nothing_is_outvoted_on_a_host_without_runs() -> None:
    assert outvoted_in_words(host(), 2) is None


@given(readings_of_any_machine, readings_of_any_machine)
def test_a_run_that_was_faster_than_all_before_counts_for_itself(
    before: list[CanaryReading], own: list[CanaryReading]
) -> None:
    own = own * FEWEST_READINGS
    earlier_us = calm_of(before).compute_us
    best = best_of(best_of(None, before, 2), own, 2)
    assert best.of_this_run == calm_of(own)
    assert best.delivered(calm_of(own)) <= CALM_APART * FARTHEST_MEMORY**MEMORY_WEIGHT * (1 + 1e-9)
    own_us = calm_of(own).compute_us
    assert best.compute_us == (own_us if CALM_APART * own_us < earlier_us else earlier_us)


def test_without_readings_the_best_is_the_remembered_one() -> None:
    before = best_of(None, readings(CALM_US), 2)
    assert best_of(before, [], 2) == before
    with pytest.raises(ValueError, match="no readings"):
        best_of(None, [], 2)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"{}",
        b"null",
        b"\xff\xfe",
        b'[{"at": "2026-11-27T00:00:00Z", "compute_us": NaN, "memory_us": 1, "readings": 99}]',
        b'[{"at": "2026-11-27T00:00:00Z", "compute_us": 0, "memory_us": 1, "readings": 99}]',
        b'[{"at": "2026-11-27T00:00:00Z", "compute_us": -5, "memory_us": 1, "readings": 99}]',
        b'[{"at": "yesterday", "compute_us": 5, "memory_us": 1, "readings": 99}]',
        b'[{"at": "2026-11-27T00:00:00", "compute_us": 5, "memory_us": 1, "readings": 99}]',
    ],
)
def test_a_broken_file_is_nothing_known_and_is_mended(content: bytes, tmp_path: Path) -> None:
    remember(host(), 2, readings(CALM_US))
    cache_file(tmp_path).write_bytes(content)
    assert remembered(host(), 2) is None
    best = remember(host(), 2, readings(SLOW_US))
    assert (best.compute_us, best.runs) == (SLOW_US, 1)
    assert remembered(host(), 2) == best.replaced(of_this_run=None)


def test_a_cache_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert remember(host(), 2, readings(CALM_US)).compute_us == CALM_US
    assert remembered(host(), 2) is None


def test_a_folder_in_place_of_the_file_is_no_error(tmp_path: Path) -> None:
    remember(host(), 2, readings(CALM_US))
    path = cache_file(tmp_path)
    path.unlink()
    path.mkdir()
    assert remember(host(), 2, readings(SLOW_US)).compute_us == SLOW_US
    assert list(path.parent.iterdir()) == [path]


def test_runs_that_others_slowed_do_not_make_the_best_forgotten() -> None:
    for _ in range(2):
        remember(host(), 2, readings(CALM_US))
    for _ in range(MOST_RUNS + 5):
        best = remember(host(), 2, readings(SLOW_US))
    assert best.compute_us == CALM_US
    assert best.runs <= MOST_RUNS + 5


def test_last_runs_are_kept_and_protected_ones_for_some_months() -> None:
    now = run(1).at
    recent = [run(1) for _ in range(MOST_RUNS)]
    fast, fast_and_old, slow = (
        run(2, days_ago=2),
        run(3, days_ago=LONGEST_PROTECTED.days + 1),
        run(4, days_ago=3),
    )
    kept = kept_of([fast_and_old, slow, fast, *recent], [fast, fast_and_old], now)
    assert kept == (fast, *recent)


def test_words_on_the_first_run_of_a_host() -> None:
    best = best_of(None, readings(CALM_US), 2)
    assert in_words(best, None) == "the machine's own speed is known from this run alone"


def test_words_on_a_machine_that_was_slow_all_the_time() -> None:
    before = best_of(None, readings(CALM_US), 2)
    best = best_of(before, readings(SLOW_US), 2)
    assert in_words(best, before) == (
        "the machine never came near its own speed in this run: at best 81% of it"
    )


def test_words_on_a_machine_that_was_faster_than_ever() -> None:
    before = best_of(None, readings(SLOW_US), 2)
    best = best_of(before, readings(CALM_US), 2)
    assert in_words(best, before) == (
        "the machine was faster than ever seen: by 23% than in the one before"
    )
    again = best_of(before.replaced(runs=4), readings(CALM_US), 2)
    assert str(in_words(again, before.replaced(runs=4))).endswith("than in the 4 before")


def test_words_on_a_best_that_no_other_run_came_near() -> None:
    """The first runs on a shared machine may all meet it slowed, one less than the other."""
    before = best_of_runs([run(CALM_US), run(CALM_US * 1.07)], 2)
    assert before is not None
    far = best_of(before, readings(CALM_US * 1.052), 2)
    assert str(in_words(far, before)).startswith("the machine's own speed was seen in one run")
    near = best_of(before, readings(CALM_US * 1.02), 2)
    assert in_words(near, before) is None


def test_there_are_no_words_where_all_is_well() -> None:
    before = best_of(None, readings(CALM_US), 2)
    assert in_words(best_of(before, readings(CALM_US * 1.015), 2), before) is None
    assert in_words(best_of(before, [], 2), before) is None


NEAR_NS, FAR_NS = 83.0, 186.0


def test_each_state_of_the_machine_has_a_speed_of_its_own() -> None:
    """A run that was in both states leaves both; one that was in one of them knows the other."""
    both = readings(CALM_US, hop_ns=NEAR_NS) + readings(SLOW_US, hop_ns=FAR_NS)
    best = remember(host(), 2, both)
    assert (best.compute_us, best.hop_ns) == (CALM_US, NEAR_NS)
    (far,) = best.others
    assert (far.compute_us, far.hop_ns) == (SLOW_US, FAR_NS)
    assert best.delivered(both[0]) == best.delivered(both[-1]) == 1.0
    assert remember(host(), 2, readings(1.01 * SLOW_US, hop_ns=FAR_NS)).in_state(170.0) == (
        far.replaced(
            runs=2, second_us=1.01 * SLOW_US, of_this_run=readings(1.01 * SLOW_US, 1, FAR_NS)[0]
        )
    )
    known = remembered(host(), 2)
    assert known is not None
    assert [state.runs for state in known.states] == [1, 2]


def test_a_state_that_was_never_met_before_is_not_judged_by_another() -> None:
    before = best_of(None, readings(CALM_US, hop_ns=NEAR_NS), 2)
    best = best_of(before, readings(SLOW_US, hop_ns=FAR_NS), 2)
    assert best.delivered(readings(SLOW_US, hop_ns=FAR_NS)[0]) == 1.0
    assert in_words(best, before) == (
        "while a hop takes 186 ns the machine's own speed is known from this run alone"
    )


def test_a_moment_in_another_state_tells_nothing_of_it() -> None:
    before = best_of(None, readings(CALM_US, hop_ns=NEAR_NS), 2)
    moment = readings(SLOW_US, FEWEST_READINGS - 1, hop_ns=FAR_NS)
    assert best_of(before, [*readings(CALM_US, hop_ns=NEAR_NS), *moment], 2).others == ()


def test_a_run_of_moments_alone_is_known_by_the_longest_of_them() -> None:
    """A short run on a machine that changes all the time: there is nothing better to go by."""
    near = readings(CALM_US, FEWEST_READINGS - 5, hop_ns=NEAR_NS)
    far = readings(SLOW_US, FEWEST_READINGS - 1, hop_ns=FAR_NS)
    best = best_of(None, [*near, *far], 2)
    assert (best.compute_us, best.hop_ns, best.others) == (SLOW_US, FAR_NS, ())
    assert remember(host(), 2, [*near, *far]) == best
    assert remembered(host(), 2) is None


def test_what_a_run_was_given_has_its_way_to_memory_in_it() -> None:
    """By a half of its distance from the usual one, and of a tenth of it at most."""
    best = best_of(None, readings(CALM_US), 2)
    for memory_us, counts in ((1.04, 1.04), (0.96, 0.96), (3.0, 1.1)):
        own = CanaryReading(compute_us=CALM_US, memory_us=memory_us * MEMORY_US)
        of_now = best.replaced(of_this_run=own)
        reading = CanaryReading(compute_us=CALM_US, memory_us=MEMORY_US)
        assert of_now.delivered(reading) == pytest.approx(counts**-MEMORY_WEIGHT)
