"""Several labels an image, against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from deploybench.statistics.multi_label import NOT_KNOWN, multi_label


def made_up(images: int = 400) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    truth = (generator.random((images, 4)) < [0.5, 0.3, 0.2, 0.1]).astype(np.int64)
    scores = 1 / (1 + np.exp(-generator.normal(size=truth.shape) - 2 * truth + 1))
    return scores, truth


def test_figures_are_those_of_scikit_learn() -> None:
    scores, truth = made_up()
    found = multi_label(scores, truth)
    given = scores >= 0.5
    assert found.area is not None
    assert found.f1 is not None
    assert found.sensitivity is not None
    assert found.area.value == pytest.approx(metrics.roc_auc_score(truth, scores))
    assert found.f1.value == pytest.approx(metrics.f1_score(truth, given, average="macro"))
    recall = metrics.recall_score(truth, given, average="macro")
    assert found.sensitivity.value == pytest.approx(recall)
    assert found.exact_match.value == pytest.approx(metrics.accuracy_score(truth, given))
    assert found.label_accuracy.value == pytest.approx(1 - metrics.hamming_loss(truth, given))
    for index, figures in enumerate(found.classes):
        (spared, wrong), _ = metrics.confusion_matrix(truth[:, index], given[:, index])
        assert figures.specificity is not None
        assert figures.specificity.value == pytest.approx(spared / (spared + wrong))
    for figure in (found.area, found.f1, found.exact_match, found.label_accuracy):
        assert figure.by == "bootstrap"
        assert figure.low is not None
        assert figure.high is not None
        assert figure.low < figure.value < figure.high


def test_label_that_no_image_has_is_named_and_left_out_of_the_means() -> None:
    scores, truth = made_up()
    truth[:, 2] = 0
    found = multi_label(scores, truth)
    kept = [0, 1, 3]
    assert found.without_area == (2,)
    assert found.area is not None
    assert found.area.value == pytest.approx(metrics.roc_auc_score(truth[:, kept], scores[:, kept]))
    assert found.f1 is not None
    f1 = metrics.f1_score(truth[:, kept], scores[:, kept] >= 0.5, average="macro")
    assert found.f1.value == pytest.approx(f1)


def test_what_is_not_known_of_an_image_is_neither_right_nor_wrong() -> None:
    scores, truth = made_up()
    truth[:150, 1] = NOT_KNOWN
    found = multi_label(scores, truth)
    of_known = metrics.roc_auc_score(truth[150:, 1], scores[150:, 1])
    assert found.classes[1].area is not None
    assert found.classes[1].area.value == pytest.approx(of_known)
    assert found.classes[1].images == int((truth[150:, 1] == 1).sum())
    known = truth != NOT_KNOWN
    right = ((scores >= 0.5) == (truth == 1))[known]
    assert found.label_accuracy.value == pytest.approx(right.mean())


def test_image_of_which_no_label_is_known_is_not_among_those_that_are_all_right() -> None:
    scores, truth = made_up()
    truth[:100] = NOT_KNOWN
    found = multi_label(scores, truth)
    of_known = metrics.accuracy_score(truth[100:], scores[100:] >= 0.5)
    assert found.exact_match.value == pytest.approx(of_known)
    assert not found.right[:100].any()


def test_labels_of_which_nothing_is_known_are_refused() -> None:
    scores, truth = made_up(10)
    with pytest.raises(ValueError, match="do not go with"):
        multi_label(scores, np.full_like(truth, NOT_KNOWN))
