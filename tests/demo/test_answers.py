"""What the page shows of two sides: scores, facts, differences, and whether they agree."""

from __future__ import annotations

import numpy as np
import pytest

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.preprocess import ImageInput
from deploybench.demo.answers import NOT_THERE, difference_rows, shown, verdict_words
from deploybench.demo.questions import Seen, SeenClass
from deploybench.demo.worker import png_of


def seen(**scores: float) -> Seen:
    classes = tuple(SeenClass(name=name, score=score) for name, score in scores.items())
    return Seen(classes=classes, call_ms=12.34, calls=20)


def test_differences_come_largest_first_and_a_class_of_one_side_has_no_difference() -> None:
    rows = difference_rows(seen(cat=0.7, dog=0.2, fox=0.1), seen(cat=0.65, dog=0.3, elk=0.05))
    assert rows == [
        ["dog", "20.00%", "30.00%", "-10.00 points"],
        ["cat", "70.00%", "65.00%", "+5.00 points"],
        ["fox", "10.00%", NOT_THERE, NOT_THERE],
        ["elk", NOT_THERE, "5.00%", NOT_THERE],
    ]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            seen(cat=0.70001, dog=0.3),
            "Both sides have the same first class; probabilities differ by < 0.01 points at most.",
        ),
        (
            seen(dog=0.8, cat=0.2),
            "The sides have different first classes; probabilities differ by "
            "-50.00 points at most.",
        ),
        (seen(elk=1.0), "The sides have different first classes."),
        (Seen(error="no"), ""),
    ],
)
def test_a_sentence_says_whether_the_sides_agree(other: Seen, words: str) -> None:
    assert verdict_words(seen(cat=0.7, dog=0.3), other) == words


def test_facts_have_the_time_of_now_and_the_measured_one() -> None:
    facts = shown(seen(cat=1.0), "measured: 11.9 ms").facts
    assert (
        facts == "12.3 ms a call (median of 20 calls just now: no measurement); measured: 11.9 ms"
    )
    assert shown(Seen(classes=(SeenClass(name="age", value=61.25),))).facts == "age: 61.25"


def test_names_and_errors_of_others_do_nothing() -> None:
    side = shown(seen(**{"\x1b[31m<script>": 0.5}))
    assert list(side.scores) == [r"\x1b[31m<script>"]
    assert shown(Seen(error="a\x1b]0;title\x07b")).facts == r"No answer: a\x1b]0;title\x07b"
    assert difference_rows(seen(**{"=cmd|x": 0.5}), seen())[0][0] == "'=cmd|x"


@pytest.mark.parametrize("color", ["rgb", "bgr"])
def test_the_picture_is_what_the_model_saw_with_the_normalisation_taken_back(color: str) -> None:
    import io

    from PIL import Image

    pixels = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(4, 5, 3) * 4
    spec = Preprocessing(
        height=4,
        width=5,
        channels=3,
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.4),
        color=color,
        crop_fraction=1.0,
        interpolation="bicubic",
    )
    levels = pixels.astype(np.float32) / 255
    if color == "bgr":
        levels = levels[:, :, ::-1]
    normalised = (levels - np.array(spec.mean, np.float32)) / np.array(spec.std, np.float32)
    png = png_of(ImageInput(normalised.transpose(2, 0, 1).astype(np.float32), ()), spec)
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), pixels)
