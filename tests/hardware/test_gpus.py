"""A target is the compute capability of a GPU in one word."""

from __future__ import annotations

import pytest

from deploybench.errors import DeployBenchError
from deploybench.hardware.gpus import sm_of, target_of


@pytest.mark.parametrize(
    ("capability", "target", "number"), [("8.6", "sm86", 86), ("12.0", "sm120", 120)]
)
def test_capability_is_a_target_and_a_number(capability: str, target: str, number: int) -> None:
    assert target_of(capability) == target
    assert sm_of(target) == number


@pytest.mark.parametrize("text", ["", "86", "8.6", "sm8.6", "sm_86", "sm8", "sm86a"])
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(DeployBenchError, match="target"):
        sm_of(text)
