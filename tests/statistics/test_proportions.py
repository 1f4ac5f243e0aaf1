"""Shares, and two predictors on the same images."""

from __future__ import annotations

import numpy as np
import pytest

from deploybench.statistics.proportions import (
    QualityAnswer,
    difference_of_counts,
    mcnemar,
    paired_difference,
    quality_answer,
    share,
)


def test_share_has_wilsons_interval_also_where_nothing_is_wrong() -> None:
    figure = share(9, 10)
    assert (figure.value, figure.by) == (0.9, "wilson")
    # Wilson 1927 by hand: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), z = 1.96
    assert figure.low == pytest.approx(0.5958, abs=1e-4)
    assert figure.high == pytest.approx(0.9821, abs=1e-4)
    assert share(10, 10).low == pytest.approx(0.7225, abs=1e-4)


def test_mcnemars_exact_test_is_the_binomial_one_of_the_discordant_images() -> None:
    # 5 against 15 of 20: twice the sum of C(20, k) / 2^20 for k up to 5
    assert mcnemar(5, 15) == pytest.approx(0.04139, abs=1e-5)
    assert mcnemar(3, 9) == mcnemar(9, 3)
    assert mcnemar(0, 0) == mcnemar(3, 3) == 1


def test_difference_counts_only_images_on_which_the_two_differ() -> None:
    baseline = np.array([True] * 80 + [False] * 20)
    candidate = baseline.copy()
    candidate[:12] = False
    candidate[80:82] = True
    difference = paired_difference(baseline, candidate)
    assert (difference.only_baseline, difference.only_candidate) == (12, 2)
    assert difference.value == pytest.approx(-0.1)
    # Bonett and Price 2012: (3 - 13)/102 ± 1.96 sqrt((16/102 - (10/102)²)/102)
    assert difference.low == pytest.approx(-0.1725, abs=1e-3)
    assert difference.high == pytest.approx(-0.0236, abs=1e-3)


def test_predictors_of_different_images_are_not_paired() -> None:
    with pytest.raises(ValueError, match="none can be paired"):
        paired_difference(np.ones(3, bool), np.ones(4, bool))


@pytest.mark.parametrize(
    ("lost", "won", "images", "wanted"),
    [
        (0, 0, 5000, QualityAnswer.SAME),
        (10, 12, 5000, QualityAnswer.SAME),
        (200, 20, 5000, QualityAnswer.WORSE),
        (20, 200, 5000, QualityAnswer.BETTER),
        (4, 2, 100, QualityAnswer.AMBIGUOUS),
        (0, 0, 20, QualityAnswer.AMBIGUOUS),  # twenty images cannot tell one percent
        (60, 20, 5000, QualityAnswer.AMBIGUOUS),  # sure to be worse, within the margin
    ],
)
def test_answer_follows_the_interval_and_the_margin(
    lost: int, won: int, images: int, wanted: QualityAnswer
) -> None:
    assert quality_answer(difference_of_counts(lost, won, images), margin=0.01) is wanted


def test_predictors_that_say_the_same_of_every_image_are_the_same() -> None:
    difference = difference_of_counts(0, 0, 20)
    assert quality_answer(difference, 0.01, alike=True) is QualityAnswer.SAME
    assert quality_answer(None) is QualityAnswer.AMBIGUOUS
