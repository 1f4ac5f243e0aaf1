"""The rank correlation of MACs with latency ranks only like rows."""

from __future__ import annotations

import pytest

from deploybench.analysis.findings import findings_of
from deploybench.analysis.ranking import rankings
from deploybench.report.ranking_text import ranking_lines
from deploybench.results.launch import Facts, Launch
from deploybench.results.record import Record
from tests.records import launch, record
from tests.rows.test_rows import FAR, NEAR, launches, two_states


def records_at(*points: tuple[int, float], **changes: object) -> list[Record]:
    """One model a point of (MACs, ms)."""
    return [
        record(launches(ms), macs=macs, model=f"net{number}", **changes)
        for number, (macs, ms) in enumerate(points)
    ]


def taus(records: list[Record]) -> dict[str, tuple[object, int]]:
    return {
        found.runner if found.device == "cpu" else f"{found.runner} on {found.device}": (
            pytest.approx(found.tau),
            len(found.by_time),
        )
        for found in rankings(findings_of(records))
    }


def lines_of(records: list[Record]) -> list[str]:
    return ranking_lines(rankings(findings_of(records)))


def scattered(centre: float, *, apart: float) -> list[Launch]:
    """Launches whose medians lie so far on both sides of the centre: an interval as wide."""
    return [launch([centre + apart * (-1) ** number] * 20, number=number) for number in range(12)]


def test_correlation_is_one_when_more_macs_always_take_longer() -> None:
    assert taus(records_at((1, 10.0), (2, 20.0), (3, 30.0))) == {"pytorch": (1.0, 3)}
    assert taus(records_at((1, 30.0), (2, 20.0), (3, 10.0))) == {"pytorch": (-1.0, 3)}


def test_correlation_is_absent_for_one_model() -> None:
    assert taus(records_at((1, 10.0))) == {}
    assert taus([]) == {}


@pytest.mark.parametrize(
    "changes", [{"batch": 8}, {"streams": 2}, {"precision": "bf16"}, {"timing": "engine-only"}]
)
def test_rows_that_are_unlike_the_others_take_no_part(changes: dict[str, object]) -> None:
    records = records_at((1, 10.0), (2, 20.0))
    facts = Facts(
        precision=str(changes.get("precision", "fp32")), threads=2, provider="x", device="cpu"
    )
    odd = record(launches(1.0, facts=facts), macs=3, model="odd", **changes)
    assert taus([*records, odd]) == {"pytorch": (1.0, 2)}


def test_models_are_ranked_within_the_state_that_most_of_them_met() -> None:
    """In the far state the small model is slower than the large one in the near state."""
    small = two_states(10.0, 25.0, model="small")
    large = record(launches(20.0, hop_ns=NEAR), model="large", macs=2 * 10**9)
    largest = record(launches(30.0, hop_ns=NEAR), model="largest", macs=3 * 10**9)
    assert taus([small, large, largest]) == {"pytorch": (1.0, 3)}
    apart = record(launches(20.0, hop_ns=FAR), model="large", macs=2 * 10**9)
    near_only = record(launches(10.0, hop_ns=NEAR), model="small")
    assert taus([near_only, apart]) == {}


def test_both_orders_are_told_and_how_often_fewer_macs_were_faster() -> None:
    lines = lines_of(records_at((1, 30.0), (2, 10.0), (3, 40.0)))
    assert lines[0].endswith("over 3 models: pytorch +0.33")
    assert lines[1] == "MACs predict: net0 < net1 < net2"
    assert lines[2] == "pytorch gives: net1 < net0 < net2; fewer MACs were faster in 2 of 3 pairs"


def test_models_whose_intervals_overlap_are_not_put_in_an_order() -> None:
    records = [
        record(scattered(ms, apart=0.28), macs=macs, model=f"net{macs - 1}")
        for macs, ms in ((1, 60.0), (2, 20.0), (3, 60.5))
    ]
    assert (
        lines_of(records)[2]
        == "pytorch gives: net1 < net0 ≈ net2; fewer MACs were faster in 1 of 2 pairs"
    )


def test_model_in_several_sizes_is_told_with_its_size() -> None:
    sized = [
        record(launches(10.0), macs=1, model="vit", patch_size=16),
        record(launches(20.0), macs=2, model="vit", patch_size=16, image_size=(384, 384)),
        record(launches(30.0), macs=3, model="net2"),
    ]
    assert lines_of(sized)[1] == "MACs predict: vit@224/16 < vit@384/16 < net2"


def test_order_of_times_that_are_not_valid_is_not_told() -> None:
    drifting = [launch([10.0 * (1 + 0.1 * number)] * 20, number=number) for number in range(6)]
    known = records_at((1, 10.0), (2, 20.0))
    doubted = [
        record(drifting, macs=1, model="net0", runner="openvino"),
        record(launches(20.0), macs=2, model="net1", runner="openvino"),
    ]
    assert lines_of([*known, *doubted]) == [
        "Kendall tau of MACs with p50 latency over 2 models: pytorch +1.00, openvino n/a (not all "
        "times are VALID)"
    ]
    assert lines_of(doubted) == [
        "Kendall tau of MACs with p50 latency: n/a (needs times that are VALID; with these the "
        "order is chance)"
    ]


def test_two_models_have_a_correlation_and_one_has_none() -> None:
    assert len(lines_of(records_at((1, 10.0), (2, 20.0)))) == 1
    assert "n/a" in lines_of(records_at((1, 10.0)))[0]


def test_each_device_has_its_own_ranking() -> None:
    """Few MACs are fast on the CPU; on the GPU it is the other way round."""
    on_cpu, on_gpu = (
        records_at((1, 10.0), (2, 20.0)),
        records_at((1, 20.0), (2, 10.0), device="cuda"),
    )
    assert taus([*on_cpu, *on_gpu]) == {"pytorch": (1.0, 2), "pytorch on cuda": (-1.0, 2)}
