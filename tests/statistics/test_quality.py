"""The figures of a classifier against scikit-learn's, with what is awkward: absent classes, ties,
one class only."""

from __future__ import annotations

import math
import warnings

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics
from sklearn.calibration import calibration_curve

from deploybench.statistics.areas import area_of, newcombe
from deploybench.statistics.bootstrap import resamples_of
from deploybench.statistics.calibration import calibration, calibration_error
from deploybench.statistics.quality import Classification, classification

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

SEED_COUNTS = (513, 272, 2307, 125, 1259, 751, 1721, 27374, 83, 10266)
"""Images of the ten classes of the brain MRI set that the project was asked about."""


def made_up(
    images: int = 300, classes: int = 8, absent: tuple[int, ...] = (), seed: int = 0
) -> tuple[Floats, Integers]:
    generator = np.random.default_rng(seed)
    present = [index for index in range(classes) if index not in absent]
    true = generator.choice(present, images)
    scores = generator.normal(size=(images, classes))
    scores[np.arange(images), true] += 1.5
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    return probabilities, true


def assert_as_sklearn(found: Classification, probabilities: Floats, true: Integers) -> None:
    """Every figure is what scikit-learn says, where scikit-learn says anything."""
    predicted = probabilities.argmax(axis=1)
    labels = np.arange(probabilities.shape[1])
    present = np.unique(true)
    assert found.top1.value == pytest.approx(metrics.accuracy_score(true, predicted))
    recall = metrics.recall_score(
        true, predicted, labels=labels, average=None, zero_division=math.nan
    )
    for index, figures in enumerate(found.classes):
        if index in present:
            assert figures.sensitivity is not None
            assert figures.sensitivity.value == pytest.approx(recall[index])
        else:
            assert figures.sensitivity is None
        table = metrics.confusion_matrix(true == index, predicted == index, labels=[False, True])
        (spared, wrong), _ = table
        if figures.specificity is not None:
            assert figures.specificity.value == pytest.approx(spared / (spared + wrong))
        if figures.area is not None:
            area = metrics.roc_auc_score(true == index, probabilities[:, index])
            assert figures.area.value == pytest.approx(area)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a class that is predicted and not there
        balanced = metrics.balanced_accuracy_score(true, predicted)
    assert found.balanced_accuracy.value == pytest.approx(balanced)
    matrix = metrics.confusion_matrix(true, predicted, labels=labels)
    of_pairs = np.zeros_like(matrix)
    for row, column, count in found.confusion:
        of_pairs[row, column] = count
    assert (of_pairs == matrix).all()


def test_figures_are_those_of_scikit_learn() -> None:
    probabilities, true = made_up()
    found = classification(probabilities, true)
    assert_as_sklearn(found, probabilities, true)
    predicted = probabilities.argmax(axis=1)
    area = metrics.roc_auc_score(true, probabilities, multi_class="ovr", average="macro")
    assert found.area is not None
    assert found.area.value == pytest.approx(area)
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(metrics.cohen_kappa_score(true, predicted))
    assert found.correlation is not None
    assert found.correlation.value == pytest.approx(metrics.matthews_corrcoef(true, predicted))
    assert found.top5 is not None
    labels = np.arange(probabilities.shape[1])
    top5 = metrics.top_k_accuracy_score(true, probabilities, k=5, labels=labels)
    assert found.top5.value == pytest.approx(top5)
    assert found.without_area == ()


def test_absent_class_is_named_and_never_counted_as_zero() -> None:
    probabilities, true = made_up(absent=(2, 7))
    found = classification(probabilities, true)
    assert_as_sklearn(found, probabilities, true)
    assert found.without_area == (2, 7)
    assert found.classes[2].area is None
    assert found.classes[2].sensitivity is None
    assert found.area is not None
    of_present = [one.area.value for one in found.classes if one.area is not None]
    assert len(of_present) == 6
    assert found.area.value == pytest.approx(np.mean(of_present))
    assert found.area.value > 0.75


def test_ties_go_to_the_first_class_as_predict_prints_them() -> None:
    probabilities = np.full((40, 7), 1 / 7)
    true = np.arange(40) % 7
    found = classification(probabilities, true)
    assert found.top1.value == pytest.approx((true == 0).mean())
    assert found.top5 is not None
    assert found.top5.value == pytest.approx((true < 5).mean())
    assert found.area is not None
    assert found.area.value == pytest.approx(0.5)


def test_ties_among_scores_count_half_in_the_area() -> None:
    generator = np.random.default_rng(1)
    true = generator.integers(0, 2, 200)
    score = np.round(generator.random(200) + 0.3 * true, 1).clip(0, 1)
    probabilities = np.stack([1 - score, score], axis=1)
    found = classification(probabilities, true)
    assert found.area is not None
    assert found.area.value == pytest.approx(metrics.roc_auc_score(true, score))


def test_one_class_only_has_a_sensitivity_and_nothing_that_needs_two() -> None:
    probabilities, _ = made_up(images=50, classes=6)
    found = classification(probabilities, np.full(50, 3))
    hits = (probabilities.argmax(axis=1) == 3).mean()
    assert found.top1.value == pytest.approx(hits)
    assert found.balanced_accuracy.value == pytest.approx(hits)
    assert (found.area, found.kappa, found.correlation) == (None, None, None)
    assert found.classes[3].specificity is None
    assert found.classes[1].specificity is not None
    assert found.without_area == tuple(range(6))


def test_top_five_of_five_classes_says_nothing() -> None:
    probabilities, true = made_up(classes=5)
    assert classification(probabilities, true).top5 is None


def test_prior_only_predictor_is_told_from_a_good_one() -> None:
    counts = np.array(SEED_COUNTS)
    true = np.repeat(np.arange(10), counts)
    probabilities = np.tile(counts / counts.sum(), (len(true), 1))
    found = classification(probabilities, true, resamples=200)
    assert found.top1.value == pytest.approx(0.613, abs=5e-4)
    assert found.balanced_accuracy.value == pytest.approx(0.10)
    assert found.kappa is not None
    assert found.kappa.value == pytest.approx(0, abs=1e-12)
    assert found.correlation is not None
    assert found.correlation.value == pytest.approx(0, abs=1e-12)
    assert found.area is not None
    assert found.area.value == pytest.approx(0.5)
    assert found.top5 is not None
    assert found.top5.value == pytest.approx(0.961, abs=1e-3)
    assert found.calibration_error is not None
    assert found.calibration_error.value == pytest.approx(0, abs=1e-9)


def test_calibration_error_is_that_of_the_curve() -> None:
    probabilities, true = made_up(images=2000)
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == true
    observed, mean = calibration_curve(right, confidence, n_bins=15)
    weights = np.histogram(confidence, bins=15, range=(0, 1))[0]
    weights = weights[weights > 0] / len(true)
    wanted = float((weights * np.abs(observed - mean)).sum())
    assert calibration_error(confidence, right) == pytest.approx(wanted)


def test_calibration_interval_leaves_out_what_chance_adds() -> None:
    """A classifier that is right as often as it says: its error of 300 images is all chance."""
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.2, 1, 300)
    right = generator.random(300) < confidence
    found = calibration(confidence, right, resamples=500, seed=0)
    assert found.value == calibration_error(confidence, right) > 0.03
    assert found.low is not None
    assert found.low < 0.01


def test_every_resample_is_what_scikit_learn_says_of_it() -> None:
    """The fast sums over classes are the figures themselves."""
    from deploybench.statistics import quality

    probabilities, true = made_up(images=60, classes=6, absent=(4,))
    predicted = probabilities.argmax(axis=1)
    right = predicted == true
    sums = quality._resampled(true, predicted, right, right, 6, resamples=20, seed=3)
    (times,) = resamples_of(60, 20, seed=3)
    assert (times.sum(axis=1) == 60).all()
    for number, drawn in enumerate(times):
        images = np.repeat(np.arange(60), drawn.astype(int))
        a, b = true[images], predicted[images]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            balanced = metrics.balanced_accuracy_score(a, b)
        assert sums.top1[number] == pytest.approx((a == b).mean())
        assert sums.balanced[number] == pytest.approx(balanced)
        assert sums.kappa[number] == pytest.approx(metrics.cohen_kappa_score(a, b))
        assert sums.correlation[number] == pytest.approx(metrics.matthews_corrcoef(a, b))


def test_same_seed_gives_the_same_intervals_and_another_one_others() -> None:
    probabilities, true = made_up()
    first = classification(probabilities, true, seed=1)
    again = classification(probabilities, true, seed=1)
    other = classification(probabilities, true, seed=2)
    assert first.kappa == again.kappa
    assert first.area == again.area
    assert first.kappa != other.kappa
    assert first.top1.by == "bootstrap"
    assert first.top1.low is not None
    assert first.top1.high is not None
    assert first.top1.low < first.top1.value < first.top1.high


def test_nothing_wrong_has_wilsons_interval_and_no_bootstrap_of_no_width() -> None:
    true = np.arange(60) % 6
    found = classification(np.eye(6)[true], true)
    assert found.top1.value == 1
    assert found.top1.by == "wilson"
    assert found.top1.low == pytest.approx(0.94, abs=0.005)
    assert found.balanced_accuracy.low is None
    assert found.kappa is not None
    assert (found.kappa.value, found.kappa.low) == (1, None)


def test_area_of_few_images_has_newcombes_interval_also_where_it_is_perfect() -> None:
    # 5 of 10 pairs in order, ten of either side: the ends solve (A - x)² = z² V(x)
    half = newcombe(0.5, 10, 10)
    assert half.low == pytest.approx(0.2735, abs=1e-4)
    assert half.high == pytest.approx(1 - 0.2735, abs=1e-4)
    perfect = newcombe(1.0, 20, 980)
    assert (perfect.low, perfect.high) == (pytest.approx(0.9501, abs=1e-4), 1)
    assert newcombe(0.0, 980, 20).high == pytest.approx(1 - 0.9501, abs=1e-4)


def test_area_of_images_that_all_stand_at_one_place_has_no_scatter() -> None:
    """Seven of the nine others are below each of the 13: the mean of 13 times 7/9 is rounded."""
    scores = np.array([5.0] * 13 + [1.0] * 7 + [9.0] * 2)
    positive = np.arange(22) < 13
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = area_of(scores, positive)
    assert found is not None
    assert found.figure.value == pytest.approx(7 / 9)
    assert found.scatter[0] == (0.0, 0.0)


def test_classifier_that_only_names_a_class_has_nothing_that_needs_to_know_how_sure_it_is() -> None:
    probabilities, true = made_up()
    named = np.eye(8)[probabilities.argmax(axis=1)]
    found = classification(named, true, sure=False)
    assert found.top1.value == pytest.approx((named.argmax(axis=1) == true).mean())
    assert (found.top5, found.area, found.calibration_error) == (None, None, None)


def test_scores_that_do_not_go_with_the_classes_are_refused() -> None:
    probabilities, true = made_up()
    with pytest.raises(ValueError, match="do not go with"):
        classification(probabilities[:, :3], true)
    with pytest.raises(ValueError, match="do not go with"):
        classification(probabilities[:0], true[:0])
