"""One small set for all tests of training."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.small import coloured


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes that differ in their colour; 36 images to train on, 15 to judge by."""
    return coloured(tmp_path_factory.mktemp("colours") / "data")
