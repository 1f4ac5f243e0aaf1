"""What a user says about images reaches the preprocessing, or is refused with what was meant."""

from __future__ import annotations

import pytest

from deploybench.cli.preprocessing import preprocessing_options
from deploybench.data.assumptions import advice_on, assumption_of
from deploybench.data.preprocessing_options import PARTS, PreprocessingOptions
from deploybench.errors import DeployBenchError
from tests.data.test_image_files import COLOURS, GREY

ASSUMED = COLOURS.replaced(
    assumed=PARTS, crop_fraction=0.875, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
)


def test_what_is_said_replaces_what_was_assumed() -> None:
    said = PreprocessingOptions(mean=(0.5,), std=(0.1, 0.2, 0.3), interpolation="lanczos", crop=0.9)
    spec = said.applied_to(ASSUMED)
    assert (spec.mean, spec.std) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3))
    assert (spec.interpolation, spec.crop_fraction) == ("lanczos", 0.9)
    assert spec.assumed == ("image_size",)
    sentence = assumption_of(spec)
    assert sentence == "preprocessing assumed, nobody gave it: 64x64 pixels"
    assert "--image-size" in advice_on(spec)
    assert "--mean" not in advice_on(spec)


def test_everything_assumed_is_said_with_its_values_and_what_sets_it() -> None:
    sentence = assumption_of(ASSUMED) or ""
    for word in ("64x64", "center crop 0.875", "bilinear", "0.485,0.456,0.406", "0.229", "RGB"):
        assert word in sentence
    for flag in ("--image-size", "--crop", "--resize-mode", "--interpolation", "--mean", "--std"):
        assert flag in advice_on(ASSUMED)
    assert assumption_of(COLOURS) is None


@pytest.mark.parametrize("mode", ["squash", "border"])
def test_who_squashes_or_pads_keeps_the_whole_image_unless_a_crop_is_said(mode: str) -> None:
    whole = PreprocessingOptions(resize_mode=mode).applied_to(ASSUMED)
    assert (whole.crop_mode, whole.crop_fraction) == (mode, 1.0)
    assert "crop" not in whole.assumed
    cropped = PreprocessingOptions(resize_mode=mode, crop=0.9).applied_to(ASSUMED)
    assert cropped.crop_fraction == 0.9
    known = PreprocessingOptions(resize_mode=mode).applied_to(ASSUMED.replaced(assumed=()))
    assert known.crop_fraction == 0.875


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (
            {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)},
            "divide by 255: --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
        ),
        ({"mean": (104.0, 117.0, 123.0), "std": (1.0,)}, "divide by 255"),
        ({"mean": (-0.5,)}, "from 0 to 1"),
        ({"mean": (float("nan"),)}, "from 0 to 1"),
        ({"std": (0.0,)}, "--std 0"),
        ({"std": (300.0,)}, "--std 300"),
        ({"crop": 0.0}, "over 0"),
        ({"crop": 87.5}, "in percent? --crop 0.875"),
        ({"interpolation": "bicubik"}, "bicubic"),
        ({"interpolation": "random"}, "random is for training"),
        ({"resize_mode": "pad"}, "unknown resize mode 'pad'"),
        ({"color": "yuv"}, "unknown colour order"),
        ({"background": "grey"}, "unknown background"),
        ({"window": (240.0, -160.0)}, "a larger value"),
        ({"mean": (0.5, 0.5)}, "--mean has 2 values, and the model takes 3 channels"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(DeployBenchError) as refusal:
        PreprocessingOptions.model_validate(options).applied_to(COLOURS)
    assert words in str(refusal.value)


def test_grey_model_has_no_order_of_colours() -> None:
    with pytest.raises(DeployBenchError, match="1 channel"):
        PreprocessingOptions(color="bgr").applied_to(GREY)
    assert PreprocessingOptions(color="grey").applied_to(GREY).color == "grey"


def test_flags_become_options_and_options_become_the_same_flags() -> None:
    options = preprocessing_options(
        mean="0.1,0.2,0.3",
        std="0.5",
        interpolation="Bilinear",
        crop=0.9,
        resize_mode="squash",
        color="gray",
        window="-160,240",
        background="black",
        keep_orientation=True,
    )
    assert options.color == "grey"
    assert options.arguments() == [
        *("--mean", "0.1,0.2,0.3", "--std", "0.5", "--window=-160,240"),
        *("--interpolation", "bilinear", "--crop", "0.9", "--resize-mode", "squash"),
        *("--color", "grey", "--background", "black", "--keep-orientation"),
    ]
    assert preprocessing_options(levels=4095).window == (0, 4095)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"mean": "a,b"}, "numbers with commas"),
        ({"window": "1,2,3"}, "two numbers"),
        ({"window": "0,10", "levels": 10.0}, "one of them"),
    ],
)
def test_flags_that_do_not_read_are_refused(flags: dict[str, object], words: str) -> None:
    with pytest.raises(DeployBenchError, match=words):
        preprocessing_options(**flags)  # type: ignore[arg-type]
