"""One small set for all tests of training."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.training.small import coloured


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes that differ in their colour; 36 images to train on, 15 to judge by."""
    return coloured(tmp_path_factory.mktemp("colours") / "data")


@pytest.fixture(autouse=True)
def python_interrupts() -> Iterator[None]:
    """Ctrl-C as Python has it: a shell starts what it puts in the background with it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
