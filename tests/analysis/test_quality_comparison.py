"""Accuracies of two sides, paired by image; what the gate says of them; which quality is whose."""

from __future__ import annotations

import numpy as np
import pytest

from deploybench.analysis.gate import Outcome
from deploybench.analysis.matching import read_axis
from deploybench.analysis.qualities import answer_beside_eager, with_qualities
from deploybench.analysis.quality_comparison import (
    check_qualities,
    compare_qualities,
    quality_summary,
)
from deploybench.results.quality import Marks
from deploybench.statistics.proportions import QualityAnswer
from tests.comparisons import record
from tests.qualities import evaluation, quality

STEADY = [10.0, 10.1, 9.9, 10.05, 9.95, 10.02]


def right(images: int, wrong: int, first: int = 0) -> np.ndarray:
    """All right but ``wrong`` of them, from the image ``first`` on."""
    marks = np.ones(images, bool)
    marks[first : first + wrong] = False
    return marks


@pytest.mark.parametrize("images", [1, 7, 8, 9, 1000])
def test_marks_come_back_as_they_were(images: int) -> None:
    values = np.random.default_rng(images).random(images) < 0.5
    kept = Marks.of(values)
    assert (kept.values == values).all()
    assert Marks.model_validate_json(kept.model_dump_json()) == kept


def test_sides_are_paired_by_image_and_other_weights_are_no_obstacle() -> None:
    old = evaluation(quality(right(1000, 100)), "old", weights="a", weights_identity="a")
    new = evaluation(quality(right(1000, 110, first=50)), "new", weights="b", weights_identity="b")
    (row,) = compare_qualities([old], [new])
    assert row.difference is not None
    assert (row.difference.only_baseline, row.difference.only_candidate) == (60, 50)
    assert row.difference.value == pytest.approx(-0.01)


def test_images_that_one_side_could_not_read_are_left_out() -> None:
    seen = right(100, 10)
    old = evaluation(quality(right(100, 0)), "old")
    new = evaluation(quality(right(100, 20, first=5), seen=seen), "new")
    (row,) = compare_qualities([old], [new])
    assert row.difference is not None
    assert row.difference.images == 90
    assert row.difference.only_baseline == 15


def test_other_images_are_not_compared() -> None:
    old = evaluation(quality(right(100, 5)), "old")
    new = evaluation(quality(right(100, 5), sha256="6" * 64), "new")
    (row,) = compare_qualities([old], [new])
    assert row.difference is None
    assert "other images or labels" in row.reason
    (check,) = check_qualities([row], 0.01)
    assert check.outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("wrong", "images", "outcome"),
    [
        (0, 5000, Outcome.PASS),
        (15, 5000, Outcome.PASS),
        (400, 5000, Outcome.REGRESSION),
        (1, 100, Outcome.INCONCLUSIVE),
        (0, 50, Outcome.INCONCLUSIVE),
    ],
)
def test_gate_follows_the_interval_of_the_difference(
    wrong: int, images: int, outcome: Outcome
) -> None:
    old = evaluation(quality(right(images, 0)), "old")
    new = evaluation(quality(right(images, wrong)), "new")
    (check,) = check_qualities(compare_qualities([old], [new]), 0.01)
    assert check.outcome is outcome, check.reason


def test_cells_of_one_side_only_are_told_and_a_new_one_passes_over() -> None:
    old = evaluation(quality(right(100, 5)), "old", runner="openvino")
    new = evaluation(quality(right(100, 5)), "new")
    checks = check_qualities(compare_qualities([old], [new]), 0.01)
    assert [check.outcome for check in checks] == [Outcome.INCONCLUSIVE, Outcome.SKIPPED]
    assert "1 inconclusive" in quality_summary(checks, 0.01)
    assert "deploybench evaluate" in quality_summary([], 0.01)


def test_latest_quality_of_the_same_artifact_goes_with_every_batch_that_was_timed() -> None:
    timed = [record(STEADY, "timed"), record(STEADY, "timed", batch=8)]
    other = record(STEADY, "timed", runner="openvino")
    first = evaluation(quality(right(100, 5)), created="2026-01-01T00:00:00")
    latest = evaluation(quality(right(100, 7)), created="2026-01-02T00:00:00")
    joined = with_qualities([*timed, other], [latest, first])
    assert [one.quality for one in joined] == [latest.quality, latest.quality, None]
    # An evaluation among the records themselves is theirs, whatever others there are.
    joined = with_qualities([*timed, first], [latest])
    assert [one.quality for one in joined] == [first.quality, first.quality]


def test_two_precisions_of_one_run_are_paired_by_image() -> None:
    records = [
        evaluation(quality(right(1000, 100)), "one"),
        evaluation(quality(right(1000, 130)), "one", precision="bf16", form="bf16-dynamic"),
    ]
    (row,) = compare_qualities(records, records, read_axis("precision=fp32,bf16"))
    assert row.difference is not None
    assert row.difference.value == pytest.approx(-0.03)
    assert compare_qualities(records, records, read_axis("precision=fp16,int8")) == []


class TestBesideEager:
    def test_same_answers_with_hardly_another_probability_are_the_same(self) -> None:
        marks = right(30, 3)
        assert answer_beside_eager(quality(marks, eager=marks)) is QualityAnswer.SAME

    def test_thirty_images_whose_probabilities_moved_cannot_tell(self) -> None:
        found = quality(right(30, 3), eager=right(30, 3), shift=0.05)
        assert answer_beside_eager(found) is QualityAnswer.AMBIGUOUS

    def test_margin_decides_what_is_the_same(self) -> None:
        found = quality(right(2000, 60), eager=right(2000, 20), shift=0.3)
        assert answer_beside_eager(found, 0.01) is QualityAnswer.WORSE
        assert answer_beside_eager(found, 0.04) is QualityAnswer.SAME

    def test_without_eager_there_is_no_answer(self) -> None:
        assert answer_beside_eager(quality(right(30, 3))) is None
