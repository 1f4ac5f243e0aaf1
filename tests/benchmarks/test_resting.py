"""What processes that rest do to a neighbour: the arithmetic and the words, not the times."""

from __future__ import annotations

import pytest

from benchmarks.resting import Pair, Phase, conclusion_of, cpu_share_of, ratio_of, report


def pairs(*ratios: float, cpu_s: float = 0.0, resting: int = 3) -> list[Pair]:
    """A p50 of 10 ms without others; beside them so many times that."""
    made = []
    for ratio in ratios:
        without = Phase((9.0, 10.0, 30.0), wall_s=3.0)
        beside = Phase((9.0 * ratio, 10.0 * ratio, 30.0), resting, cpu_s, wall_s=4.0)
        made.append(Pair(without, beside))
    return made


def test_ratio_is_of_the_medians_of_neighbouring_phases() -> None:
    made = pairs(1.001, 0.999, 1.002, 1.0, 1.001, 0.998, 1.0, 1.001)
    assert made[0].ratio == pytest.approx(1.001)
    ratio = ratio_of(made)
    assert ratio.value == pytest.approx(1.0003, abs=3e-4)
    assert 0.998 < ratio.low < 1 < ratio.high < 1.002
    assert ratio.coverage >= 0.95


def test_pairs_cancel_what_moves_both_phases() -> None:
    slow = Pair(Phase((20.0,)), Phase((20.1,), 1, wall_s=1.0))
    fast = Pair(Phase((10.0,)), Phase((10.05,), 1, wall_s=1.0))
    assert ratio_of([slow, fast]).value == pytest.approx(1.005)


@pytest.mark.parametrize(
    ("ratios", "conclusion"),
    [
        ([1.001] * 8, "yes"),
        ([1.02] * 8, "no"),
        ([0.97] * 8, "no"),
        ([0.98, 1.02] * 4, "not known: the interval is too wide, more --pairs"),
        ([1.001] * 3, "not known: too few pairs for an interval, more --pairs"),
    ],
)
def test_conclusion_is_what_the_interval_says(ratios: list[float], conclusion: str) -> None:
    assert conclusion_of(ratio_of(pairs(*ratios))) == conclusion


def test_cpu_time_is_a_share_of_the_phases_beside_others_alone() -> None:
    assert cpu_share_of(pairs(1.0, 1.0, cpu_s=0.02)) == pytest.approx(0.005)


def test_report_says_both_times_the_ratio_and_the_cpu_time() -> None:
    assert report("net/onnxruntime", pairs(*[1.001] * 8, cpu_s=0.01)) == "\n".join(
        [
            "net/onnxruntime: 8 pairs of phases of 3 visits each",
            "p50 without others 10 ms, beside 3 resting processes 10.01 ms",
            "beside them / without: 1.0010 (1.0010 to 1.0010, 96%)",
            "within 0.5%: yes",
            "CPU time of all that rested: 0.08 s in 32 s (0.25% of one CPU)",
        ]
    )


def test_one_resting_process_is_said_as_one() -> None:
    text = report("net/onnxruntime", pairs(1.0, resting=1))
    assert "1 pair of phases" in text
    assert "beside 1 resting process 10 ms" in text
