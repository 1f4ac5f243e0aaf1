"""What parity lets through and what it stops."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploybench.artifacts.parity import BUDGETS, ParityReport, compare_outputs, plain_images


def logits(scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng(0).standard_normal((4, 100)) * scale).astype(np.float32)


def test_parity_passes_when_outputs_are_the_same() -> None:
    report = compare_outputs(logits(), logits(), "fp32")
    assert report.passed
    assert report.max_error == 0
    assert report.top1_agreement == 1


@given(st.floats(1e-3, 1e3))
def test_parity_does_not_depend_on_the_scale_of_the_outputs(scale: float) -> None:
    noise = np.random.default_rng(1).standard_normal((4, 100)).astype(np.float32)
    for size, passes in ((2e-4, True), (1e-2, False)):
        report = compare_outputs(
            logits(scale), logits(scale) + np.float32(size * scale) * noise, "fp32"
        )
        assert report.passed is passes


def test_parity_is_weak_where_one_answer_for_every_image_would_pass() -> None:
    reference = np.tile(logits()[:1], (4, 1))
    assert "one and the same answer" in compare_outputs(reference, reference, "fp32").weak
    assert compare_outputs(logits(1e-9), logits(1e-9), "fp32").weak == ""


def test_outputs_that_hardly_differ_are_not_held_to_less_than_their_own_roundings() -> None:
    reference = np.float32(0.5) + logits(1e-5)
    rounded_otherwise = np.nextafter(reference, np.float32(1))
    report = compare_outputs(reference, rounded_otherwise, "fp32")
    assert report.passed
    assert not compare_outputs(reference, np.flip(reference, 0), "fp32").passed


def test_outputs_that_are_all_zero_are_compared() -> None:
    zeros = np.zeros((4, 10), np.float32)
    assert compare_outputs(zeros, zeros, "fp32").passed
    assert not compare_outputs(zeros, zeros + 1, "fp32").passed


def test_an_image_with_huge_outputs_is_no_excuse_for_errors_on_the_others() -> None:
    reference = logits()
    reference[3] *= 1000
    candidate = reference.copy()
    candidate[0] += 0.02
    assert not compare_outputs(reference, candidate, "fp32").passed


def test_a_reduced_precision_may_cost_more_on_an_image_of_one_colour() -> None:
    images = np.random.default_rng(0).standard_normal((4, 3, 8, 8)).astype(np.float32)
    images[2] = 0.5
    plain = plain_images(images)
    assert plain.tolist() == [False, False, True, False]
    candidate = logits()
    candidate[2, 0] += 0.5
    assert compare_outputs(logits(), candidate, "bf16", plain).passed
    assert not compare_outputs(logits(), candidate, "bf16").passed
    assert not compare_outputs(logits(), candidate, "fp32", plain).passed


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_parity_fails_when_an_output_is_not_finite(bad: float) -> None:
    candidate = logits()
    candidate[1, 7] = bad
    report = compare_outputs(logits(), candidate, "int8")
    assert not report.passed
    assert "1 of 400 outputs are NaN or Inf" in report.reason


def test_report_of_a_reference_with_nan_survives_being_written_and_read() -> None:
    reference = logits()
    reference[0, 0] = np.nan
    report = compare_outputs(reference, logits(), "fp32")
    assert not report.passed
    assert "reference itself holds NaN" in report.reason
    assert ParityReport.model_validate_json(report.model_dump_json()) == report


def test_parity_fails_when_the_shape_differs() -> None:
    assert not compare_outputs(logits(), logits()[:, :50], "fp32").passed


def test_parity_fails_when_a_clear_top1_flips_although_the_error_is_in_budget() -> None:
    reference = np.zeros((1, 1000), np.float32)
    reference[0, :500] = 1.0
    reference[0, 3], reference[0, 4] = 2.0, 1.0
    candidate = reference.copy()
    candidate[0, 3], candidate[0, 4] = 1.4, 1.6
    report = compare_outputs(reference, candidate, "int8")
    assert "another top-1 class on 1 of 1 image" in report.reason


def test_parity_forgives_a_flip_between_classes_that_the_reference_ties() -> None:
    reference = logits()
    best = int(reference[0].argmax())
    rival = (best + 1) % 100
    reference[0, rival] = reference[0, best] - 1e-5
    candidate = reference.copy()
    candidate[0, rival] += 2e-5
    report = compare_outputs(reference, candidate, "fp32")
    assert report.passed
    assert report.top1_agreement == 0.75


def test_every_precision_has_a_budget_with_a_reason() -> None:
    assert all(budget.reason and budget.max_error > 0 for budget in BUDGETS.values())
    ordered = [BUDGETS[name].max_error for name in ("fp32", "tf32", "fp16", "bf16", "int8")]
    assert ordered == sorted(ordered)


def noise(size: float, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((4, 100)) * size
    return drawn.astype(np.float32)


@pytest.mark.trust(
    item=10,
    case="a bf16 artifact with errors of 0.03 of the spread, where bf16 costs 0.008 on the model",
    before="verified: the budget of all models is 0.2",
    now="refused: more than 1.7 times what the precision costs on this model",
)
def test_error_that_the_precision_does_not_cost_on_this_model_fails() -> None:
    reference = logits()
    rounded = reference + noise(0.008, seed=1)
    wrong = reference + noise(0.03, seed=2)
    assert compare_outputs(reference, wrong, "bf16").passed
    report = compare_outputs(reference, wrong, "bf16", rounded=rounded)
    assert not report.passed
    assert "times what the precision costs on this model, at most 1.7" in report.reason
    assert report.cost_ratio is not None
    assert 2 < report.cost_ratio < 0.03 / 0.008 * 1.2
    assert ParityReport.model_validate_json(report.model_dump_json()) == report


def test_other_rounding_of_the_same_cost_passes() -> None:
    reference = logits()
    rounded = reference + noise(0.008, seed=1)
    report = compare_outputs(reference, reference + noise(0.012, seed=2), "bf16", rounded=rounded)
    assert report.passed
    assert report.budget_cost_ratio == 1.7


def test_cost_is_never_taken_for_less_than_what_rounding_the_outputs_takes() -> None:
    reference = logits()
    report = compare_outputs(reference, reference + noise(1e-3, 2), "bf16", rounded=reference)
    assert report.passed
    assert report.cost_ratio is not None
    assert 0.5 < report.cost_ratio < 1.2


def test_cost_that_overflowed_leaves_the_budget_of_all_models() -> None:
    reference = logits()
    overflowed = reference.copy()
    overflowed[0, 0] = np.inf
    report = compare_outputs(reference, reference, "fp16", rounded=overflowed)
    assert report.passed
    assert report.cost_ratio is None


def test_int8_is_held_to_the_budget_of_all_models() -> None:
    report = compare_outputs(logits(), logits(), "int8", rounded=logits())
    assert report.cost_ratio is None


@pytest.mark.trust(
    item=10,
    case="a layer 5 % too large in fp32, which moves the outputs by 0.1 % of their spread",
    before="within the budget of all models, verified",
    now="refused: float32 rounds a thousand times less on the model",
)
def test_fp32_is_held_to_what_float32_rounds_on_the_model() -> None:
    reference = logits()
    in_float64 = reference + noise(1e-6, seed=1)
    wrong = compare_outputs(reference, reference + noise(3e-4, 2), "fp32", rounded=in_float64)
    assert not wrong.passed
    other_kernels = reference + noise(3e-6, seed=2)
    assert compare_outputs(reference, other_kernels, "fp32", rounded=in_float64).passed


def test_an_error_that_all_images_share_is_held_to_its_own_cost() -> None:
    """What rounding does averages out over the images; what a lost bias does, does not."""
    reference = np.random.default_rng(0).normal(0, 1, (16, 1000)).astype(np.float32)
    rounded = reference + np.random.default_rng(1).normal(0, 0.01, (16, 1000)).astype(np.float32)
    lost = np.random.default_rng(2).normal(0, 0.01, 1000).astype(np.float32)
    assert not compare_outputs(reference, reference + lost, "bf16", rounded=rounded).passed


def test_weights_of_8_bits_may_cost_less_than_int8_and_more_than_bf16() -> None:
    off = logits()
    off[0, 0] += np.float32(0.4)
    assert compare_outputs(logits(), off, "int8").passed
    assert not compare_outputs(logits(), off, "int8-weights").passed
    off[0, 0] -= np.float32(0.15)
    assert compare_outputs(logits(), off, "int8-weights").passed
    assert not compare_outputs(logits(), off, "bf16").passed
