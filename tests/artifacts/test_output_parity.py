"""Parity of all outputs: one that is wrong fails the artifact, whichever it is."""

from __future__ import annotations

import numpy as np
import pytest

from deploybench.artifacts.output_parity import compare_all

RANDOM = np.random.default_rng(0)
MAIN = RANDOM.standard_normal((4, 10), dtype=np.float32)
AUX = RANDOM.standard_normal((4, 3, 8, 8), dtype=np.float32)


@pytest.mark.trust(
    item=8,
    case="a further output that is wrong",
    before="not looked at",
    now="the artifact fails parity, naming the output",
)
def test_further_output_that_is_wrong_fails_by_name() -> None:
    good = compare_all({"out": MAIN, "aux": AUX}, {"aux": AUX, "out": MAIN}, "fp32")
    assert good.passed
    wrong = compare_all({"out": MAIN, "aux": AUX}, {"out": MAIN, "aux": AUX * 1.1}, "fp32")
    assert not wrong.passed
    assert wrong.reason.startswith("output aux: max error")
    absent = compare_all({"out": MAIN, "aux": AUX}, {"out": MAIN}, "fp32")
    assert "no such output, but out" in absent.reason


@pytest.mark.parametrize(("changed", "passes"), [(0, True), (1, True), (40, False)])
def test_whole_numbers_are_equal_or_wrong(changed: int, passes: bool) -> None:
    classes = RANDOM.integers(0, 21, (4, 32, 32)).astype(np.float32)
    found = classes.copy()
    found.reshape(-1)[:changed] += 1
    report = compare_all({"out": classes}, {"out": found}, "fp32", integers=["out"])
    assert report.passed == passes
    assert report.max_error == changed / classes.size


def test_further_output_without_spread_is_held_to_its_size() -> None:
    grid = np.full((4, 6), 100, np.float32)
    close = compare_all({"out": MAIN, "grid": grid}, {"out": MAIN, "grid": grid + 0.01}, "fp32")
    far = compare_all({"out": MAIN, "grid": grid}, {"out": MAIN, "grid": grid + 10}, "fp32")
    assert close.passed
    assert not far.passed
