"""What augmentation does to a picture, of whatever depth."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from pydantic import ValidationError

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.dataset import DataSet
from deploybench.data.image_values import Picture
from deploybench.data.preprocess import input_of
from deploybench.errors import DeployBenchError
from deploybench.training.augmentation import (
    IN_8_BITS,
    NOTHING,
    Augmentation,
    Augmenter,
    _steps_on_8_bits,
)
from tests.training.image_sets import COLOURS, GREY, colours, every_depth

KEY = (0, "image")
RAND = "rand-m9-mstd0.5"


@pytest.fixture(scope="module")
def depths(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return every_depth(tmp_path_factory.mktemp("depths"))


def augmented(
    picture: Picture,
    augmentation: Augmentation,
    spec: Preprocessing = COLOURS,
    key: tuple[object, ...] = KEY,
) -> torch.Tensor:
    pixels, _ = Augmenter(augmentation, spec).input(picture, "here", key)
    return pixels


def expected(picture: Picture, spec: Preprocessing = COLOURS) -> torch.Tensor:
    return torch.from_numpy(input_of(picture, spec, "here").pixels)


def photo() -> Picture:
    return Picture((colours(1),), ())


def floats() -> Picture:
    values = np.random.default_rng(0).random((30, 36), dtype=np.float32)
    return Picture((Image.fromarray(values),), ())


@pytest.mark.parametrize("picture", [photo(), floats()])
def test_flips_turn_what_evaluation_sees(picture: Picture) -> None:
    whole = expected(picture)
    across = augmented(picture, NOTHING.replaced(horizontal_flip=1.0))
    down = augmented(picture, NOTHING.replaced(vertical_flip=1.0))
    assert torch.equal(across, whole.flip(2))
    assert torch.equal(down, whole.flip(1))


def test_padding_moves_what_evaluation_sees() -> None:
    picture = photo()
    whole = expected(picture)
    black = (torch.zeros(3) - torch.tensor(COLOURS.mean)) / torch.tensor(COLOURS.std)
    canvas = black[:, None, None].expand(3, 28, 24).clone()
    canvas[:, 2:26, 2:22] = whole
    parts = [canvas[:, top : top + 24, left : left + 20] for top in range(5) for left in range(5)]
    seen = set()
    for place in range(60):
        moved = augmented(picture, NOTHING.replaced(pad=2), key=(place,))
        fitting = [index for index, part in enumerate(parts) if torch.allclose(part, moved)]
        assert fitting
        seen.update(fitting)
    assert len(seen) > 15


def test_a_random_part_is_of_the_picture_and_within_the_scale() -> None:
    """Of a ramp: the least and the largest value say which part was taken."""
    ramp = np.tile(np.linspace(0, 255, 400), (400, 1)).astype(np.uint8)
    picture = Picture((Image.fromarray(ramp),), ())
    spec = GREY.replaced(interpolation="bilinear", mean=(0.0,), std=(1.0,))
    half = NOTHING.replaced(scale=(0.25, 0.25), ratio=(1.0, 1.0))
    widths = []
    for place in range(20):
        pixels = augmented(picture, half, spec, key=(place,))
        assert pixels.shape == (1, 24, 20)
        widths.append(float(pixels.max() - pixels.min()))
    # A quarter of the area is half of the side; the filter averages at the edges.
    assert np.allclose(widths, 0.5 * 19 / 20, atol=0.02)


def test_the_border_that_evaluation_trims_is_never_seen() -> None:
    values = np.full((40, 40), 255, dtype=np.uint8)
    values[4:-4, 4:-4] = 0
    picture = Picture((Image.fromarray(values),), ())
    spec = GREY.replaced(crop_border_pixels=4, mean=(0.0,), std=(1.0,))
    for place in range(10):
        assert augmented(picture, Augmentation(), spec, key=(place,)).max() == 0
    with pytest.raises(DeployBenchError, match="trims 4"):
        augmented(Picture((Image.new("L", (8, 9)),), ()), Augmentation(), spec)


@pytest.mark.parametrize("spec", [COLOURS, GREY, COLOURS.replaced(color="bgr")])
@pytest.mark.parametrize("augmentation", [Augmentation(), Augmentation(rand_augment=RAND)])
def test_pictures_of_every_depth_are_augmented(
    depths: DataSet, spec: Preprocessing, augmentation: Augmentation
) -> None:
    augmenter = Augmenter(augmentation, spec)
    for example in depths:
        picture = depths.picture(example, spec)
        first, _ = augmenter.input(picture, "here", KEY)
        again, _ = augmenter.input(picture, "here", KEY)
        other, _ = augmenter.input(picture, "here", (1, "image"))
        assert first.shape == (spec.channels, 24, 20)
        assert first.dtype == torch.float32
        assert torch.isfinite(first).all()
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_deep_values_keep_their_depth_where_nothing_works_on_8_bits() -> None:
    picture = floats()
    flipped, notes = Augmenter(NOTHING.replaced(horizontal_flip=1.0), GREY).input(
        picture, "here", KEY
    )
    levels = (flipped * GREY.std[0] + GREY.mean[0]) * 255
    assert not torch.allclose(levels, levels.round(), atol=1e-2)
    assert notes == ()


@pytest.mark.parametrize("much", [{"rand_augment": "rand-m0-n1"}, {"color_jitter": 1e-6}])
def test_deep_values_are_rounded_for_what_works_on_8_bits_and_a_note_says_so(
    much: dict[str, object],
) -> None:
    pixels, notes = Augmenter(NOTHING.replaced(**much), GREY).input(floats(), "here", KEY)
    levels = (pixels * GREY.std[0] + GREY.mean[0]) * 255
    assert torch.allclose(levels, levels.round(), atol=1e-3)
    assert notes == (IN_8_BITS,)
    _, of_8_bits = Augmenter(NOTHING.replaced(**much), GREY).input(photo(), "here", KEY)
    assert of_8_bits == ()


def test_a_window_within_8_bits_keeps_its_colours_through_randaugment() -> None:
    """Three bands of floats: they are one image for RandAugment, and in the same order after it."""
    bands = colours(3).split()
    deep = Picture(
        tuple(Image.fromarray(np.asarray(band, dtype=np.float32) / 255) for band in bands), ()
    )
    # Pillow's enhancement cuts off to whole levels: one of them may be missing at each step.
    nothing = NOTHING.replaced(color_jitter=1e-6)
    spec = COLOURS.replaced(interpolation="nearest")
    assert torch.allclose(
        augmented(deep, nothing, spec), expected(Picture((colours(3),), ()), spec), atol=0.05
    )


def test_erasing_takes_a_part_of_the_image() -> None:
    whole = expected(photo())
    erased = augmented(photo(), NOTHING.replaced(random_erasing=1.0))
    changed = (erased != whole).all(dim=0)
    share = float(changed.float().mean())
    assert 0.01 < share < 0.4
    assert torch.equal(erased[:, ~changed], whole[:, ~changed])


@pytest.mark.parametrize(
    "values",
    [
        {"scale": (0.0, 1.0)},
        {"scale": (0.8, 0.3)},
        {"scale": (0.5, 1.5)},
        {"ratio": (2.0, 1.0)},
        {"horizontal_flip": 1.5},
        {"mixup": -1.0},
    ],
)
def test_values_that_mean_nothing_are_refused(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Augmentation.model_validate(values)


@pytest.mark.parametrize("words", ["augmix-m3", "rand-x3", "rand-m", "rand-mfour", ""])
def test_words_that_timm_does_not_know_are_refused(words: str) -> None:
    with pytest.raises(DeployBenchError, match="rand_augment"):
        Augmenter(Augmentation(rand_augment=words), COLOURS)


@pytest.mark.parametrize(
    ("spec", "fill"),
    [(COLOURS, (128, 102, 76)), (COLOURS.replaced(color="bgr"), (76, 102, 128)), (GREY, 128)],
)
def test_what_randaugment_moves_in_from_beyond_the_edges_is_the_mean(
    spec: Preprocessing, fill: object
) -> None:
    """In the order of the picture's channels, which are RGB until the last step."""
    (step,) = _steps_on_8_bits(Augmentation(rand_augment=RAND), spec)
    assert {operation.kwargs["fillcolor"] for operation in step.ops} == {fill}
