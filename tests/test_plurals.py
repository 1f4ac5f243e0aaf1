"""Whatever is counted, one of it is said as one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploybench.plurals import counted, counted_of, read_percent

ROOT = Path(__file__).parents[1]
COUNTS = re.compile(r"\{len\([^{}]*\)\} [a-z]+s\b")
NEVER_ONE = {
    "models/checkpoint_states.py",  # states that rival each other
    "artifacts/naming.py",  # a name that means several artifacts
    "artifacts/output_parity.py",  # of several outputs the worst
    "models/character.py",  # reference images
    "models/described_images.py",  # one number of several
    "models/transformers_images.py",
    "report/prediction_table.py",  # one image is named
    "errors.py",  # more names than can be listed
}


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 launches"),
        (1, "1 launch"),
        (2, "2 launches"),
        (1.0, "1 launch"),
        (1.5, "1.5 launches"),
        (4 / 3, "1.33333 launches"),
        (1_234_567, "1234567 launches"),
    ],
)
def test_a_number_has_the_word_that_belongs_to_it(count: float, words: str) -> None:
    assert counted(count, "launch", "launches") == words


def test_the_plural_has_an_s_where_none_is_given() -> None:
    assert counted(2, "more round") == "2 more rounds"


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [(1, 6, "1 of 6 launches was"), (2, 6, "2 of 6 launches were"), (1, 1, "1 of 1 launch was")],
)
def test_a_part_has_the_verb_that_belongs_to_it(part: int, whole: int, words: str) -> None:
    assert counted_of(part, whole, "launch", "launches") == words


def test_no_length_is_printed_with_a_word_that_is_always_a_plural() -> None:
    found = []
    for path in sorted((ROOT / "deploybench").rglob("*.py")):
        name = path.relative_to(ROOT / "deploybench")
        if name.as_posix() in NEVER_ONE:
            continue
        found += [f"{name}: {words}" for words in COUNTS.findall(path.read_text())]
    assert found == []


def test_percentage_has_its_sign() -> None:
    assert read_percent(" 99.5% ") == pytest.approx(0.995)
    for wrong in ("0.99", "99", "%", "most%", "5 % of it"):
        assert read_percent(wrong) is None
