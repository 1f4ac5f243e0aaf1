"""The canary does the same work each time, and answers one line with one line."""

from __future__ import annotations

import itertools
from mmap import PAGESIZE
from resource import RUSAGE_SELF, getrusage

import pytest

from deploybench.children.resident import CAN_REST, Resident
from deploybench.results.visit import NEW_PAGES, CanaryReading
from deploybench.telemetry import canary as module
from deploybench.telemetry.canary import (
    LONGEST_NS,
    MATRIX_SIZE,
    STREAM_BYTES,
    STREAM_BYTES_A_THREAD,
    STREAM_PASSES,
    THREAD_VARIABLES,
    Canary,
    _touch_new_pages,
    environment_of,
    serve,
    threads_told,
)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_reading_has_all_pieces_of_work(threads: int) -> None:
    reading = Canary(threads).read()
    assert reading.compute_us > 0
    assert reading.memory_us > 0
    assert reading.faults_us is not None
    assert reading.faults_us > 0


@pytest.mark.parametrize(("threads", "products"), [(1, 2), (2, 4), (16, 32)])
def test_more_threads_are_busy_about_as_long(
    threads: int, products: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the work is in large products, half in small ones."""
    sizes: list[int] = []
    made = Canary(threads)
    monkeypatch.setattr(module.np, "matmul", lambda first, *_, **__: sizes.append(len(first)))
    made._multiply()
    assert sum(size**3 for size in sizes) == products * MATRIX_SIZE**3
    assert sizes.count(MATRIX_SIZE) == products / 2


def test_beside_others_a_reading_ends_early_and_counts_for_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Canary(2)
    clock_ns = itertools.count(0, LONGEST_NS)
    sizes: list[int] = []
    monkeypatch.setattr(module, "perf_counter_ns", lambda: next(clock_ns))
    monkeypatch.setattr(module.np, "matmul", lambda first, *_, **__: sizes.append(len(first)))

    took_ns = made._multiply()

    # After the first of four it had taken no more than the limit, after the second it had.
    assert sum(size**3 for size in sizes) == 2 * MATRIX_SIZE**3
    assert took_ns == 2 * LONGEST_NS * 2


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
def test_every_thread_copies_its_own_part_of_all_of_it(threads: int) -> None:
    made = Canary(threads)
    for part in made._parts:
        for target, source in part:
            target[:] = 0
            source[:] = 2
    made._stream(passes=1)
    total_bytes = 0
    for part in made._parts:
        for target, source in part:
            assert (target == 2).all()
            total_bytes += target.nbytes + source.nbytes
    assert len(made._parts) == threads
    assert total_bytes == max(STREAM_BYTES, STREAM_BYTES_A_THREAD * threads)


def test_what_wakes_the_machine_up_is_not_in_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the copy, the first pass; of the products, a small one."""
    made = Canary(2)
    done: list[object] = []
    took = iter([5_000_000, 2_000_000, 9_000_000])

    def stream(passes: int) -> int:
        done.append(passes)
        return next(took)

    def multiply() -> int:
        done.append("products")
        return next(took)

    monkeypatch.setattr(made, "_stream", stream)
    monkeypatch.setattr(made, "_multiply", multiply)
    monkeypatch.setattr(module.np, "matmul", lambda *_: done.append("small product"))
    monkeypatch.setattr(module, "_touch_new_pages", lambda: 3_000_000)
    assert made.read() == CanaryReading(compute_us=9000, memory_us=2000, faults_us=3000)
    assert done == [1, STREAM_PASSES, "small product", "products"]


def test_new_pages_are_touched_and_given_back() -> None:
    before = getrusage(RUSAGE_SELF)
    held_kb = before.ru_maxrss
    took_ns = [_touch_new_pages() for _ in range(20)]
    after = getrusage(RUSAGE_SELF)

    assert min(took_ns) > 0
    assert after.ru_minflt - before.ru_minflt >= 20 * NEW_PAGES
    assert after.ru_maxrss - held_kb < 3 * NEW_PAGES * PAGESIZE / 1024


def test_each_request_is_answered_by_one_line_whatever_it_says() -> None:
    answers: list[str] = []
    serve(Canary(1), ["{}", "", "anything"], answers.append)
    assert len(answers) == 3
    for answer in answers:
        assert "\n" not in answer
        CanaryReading.model_validate_json(answer)


@pytest.mark.skipif(not CAN_REST, reason="this system stops no processes")
def test_child_answers_as_a_resident() -> None:
    with Resident("deploybench.telemetry.canary", environment_of(1)) as child:
        for _ in range(2):
            reading = CanaryReading.model_validate_json(child.ask("read", 60))
            assert reading.compute_us > 0
            assert reading.memory_us > 0


def test_the_budget_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(3).items():
        monkeypatch.setenv(name, value)
    assert threads_told() == 3
    assert set(environment_of(3)) == set(THREAD_VARIABLES)


@pytest.mark.parametrize("told", ["", "two", "0"])
def test_a_budget_that_is_none_is_not_followed(told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THREAD_VARIABLES[0], told)
    assert threads_told() >= 1
