"""Inputs that were never meant: no parser raises, hangs or writes elsewhere."""

from __future__ import annotations

import pytest

from benchmarks.fuzz import PARSERS, fuzz

INPUTS = 10_000


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", PARSERS)
def test_parser_bears_what_it_is_given(name: str) -> None:
    fuzz(name, int(INPUTS * PARSERS[name].share))
