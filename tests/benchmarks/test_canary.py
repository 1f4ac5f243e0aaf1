"""The trace of the canary: a reading for each turn, and words for what was delivered."""

from __future__ import annotations

import pytest

from benchmarks.canary import ALONE, Timed, readings_beside, report, trace_text
from deploybench.results.visit import CanaryReading
from deploybench.telemetry.canary_memory import best_of


def timed(at_s: float, compute_us: float, beside: str = ALONE) -> Timed:
    return Timed(at_s, beside, CanaryReading(compute_us=compute_us, memory_us=compute_us / 10))


@pytest.mark.measures
def test_canary_is_read_alone_and_beside_a_neighbour_in_turn() -> None:
    found = readings_beside([ALONE, "half"], threads=1, seconds=0.2, pause_s=0.0, turn_s=0.1)
    kinds = [one.beside for one in found]
    changes = [kind for kind, before in zip(kinds, [None, *kinds], strict=False) if kind != before]
    assert changes == [ALONE, "half", ALONE, "half"]


def test_trace_shows_when_half_of_the_speed_was_delivered() -> None:
    found = [timed(number, 1000 if number < 30 else 2000) for number in range(61)]
    best = best_of(None, [one.reading for one in found], 2)
    assert trace_text(found, best) == "█" * 30 + "▄" * 30


def test_report_tells_what_was_delivered_beside_each_neighbour() -> None:
    found = [timed(number, 1000) for number in range(20)]
    found += [timed(number, 4000, "half") for number in range(20, 40)]
    best = best_of(None, [one.reading for one in found[:20]], 2)
    lines = report(found, [ALONE, "half"], best).splitlines()
    assert "100 / 100 / 100 %" in lines[3]
    assert lines[4].startswith("half of one core")
    assert " 25 /  25 /  25 %     25%     25%" in lines[4]
