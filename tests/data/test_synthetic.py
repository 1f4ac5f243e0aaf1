"""Reference inputs look like photographs, and are always the same."""

from __future__ import annotations

import numpy as np

from deploybench.data.synthetic import reference_inputs
from tests.models.test_initialise import SPEC


def test_reference_inputs_are_reproducible_and_normalised() -> None:
    first, again = reference_inputs(SPEC), reference_inputs(SPEC)
    assert first.shape == (4, 3, 160, 160)
    assert first.dtype == np.float32
    assert np.array_equal(first, again)
    assert first.min() >= -1
    assert first.max() <= 1
    assert not np.array_equal(first[0], first[1])
