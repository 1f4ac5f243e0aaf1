"""How the images of a foreign file are prepared: as the user says it, in options or in a file.

Nothing is guessed: what nobody says is marked as assumed, and where that is the normalisation the
artifact is measured, and not asked what it sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_values import WHITE_8
from deploybench.data.preprocessing_options import PARTS, PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.export.adopt_request import AdoptRequest
from deploybench.export.foreign_input import Feed
from deploybench.files import from_here
from deploybench.models.described_images import described_preprocessing
from deploybench.untrusted import read_json

FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
"""Pillow's numbers of its filters, as ``preprocessor_config.json`` has them."""
FACTOR_TOLERANCE = 1e-6
RGB = 3


def preprocessing_of(request: AdoptRequest, feed: Feed) -> tuple[Preprocessing, tuple[str, ...]]:
    """The preprocessing, and sentences on what the file's type was taken to mean.

    Raises DeployBenchError for what was said that does not fit the input.
    """
    spec = Preprocessing(
        channels=feed.channels,
        height=feed.height,
        width=feed.width,
        crop_fraction=1.0,
        interpolation="bilinear",
        mean=(0.0,) * feed.channels,
        std=(1.0,) * feed.channels,
        color="grey" if feed.channels == 1 else "rgb",
        assumed=tuple(part for part in PARTS if part != "image_size"),
    )
    assumed: tuple[str, ...] = ()
    if request.preprocessing_file is not None:
        spec = _from_file(Path(request.preprocessing_file), spec)
    options = request.preprocessing
    said = options is not None and (options.mean is not None or options.std is not None)
    if request.value_range is not None:
        if said:
            raise DeployBenchError(
                "--value-range beside --mean or --std",
                expected="one way to say what black and white are",
            )
        spec = _in_range(spec, request.value_range)
    elif feed.dtype == "uint8" and not said and "mean" in spec.assumed:
        # Whole numbers of 8 bits hold the levels of an image as they are.
        spec = _in_range(spec, (0.0, float(WHITE_8)))
        assumed = (
            "values: levels from 0 to 255, as the input takes whole numbers of 8 bits; "
            "--value-range says otherwise",
        )
    if options is not None:
        spec = options.applied_to(spec)
    unsaid = request.preprocessing_file is None and (options is None or options.color is None)
    # Where the mean is assumed, the sentence on that says the order as well.
    if unsaid and spec.channels == RGB and "mean" not in spec.assumed:
        assumed = (*assumed, "colour order: RGB is assumed; --color bgr says otherwise")
    return spec, assumed


def _in_range(spec: Preprocessing, values: tuple[float, float]) -> Preprocessing:
    """Black becomes the first value, white the second."""
    black, white = values
    if not black < white:
        raise DeployBenchError(
            f"--value-range {black:g},{white:g}",
            expected="the values of black and of white: 0,255 or -1,1",
        )
    # (pixel - mean) / std with pixels from 0 to 1.
    span = white - black
    return spec.replaced(
        mean=(-black / span,) * spec.channels,
        std=(1 / span,) * spec.channels,
        assumed=tuple(part for part in spec.assumed if part not in ("mean", "std")),
    )


def _from_file(path: Path, spec: Preprocessing) -> Preprocessing:
    """What a file says: ours, a manifest, timm's configuration, or transformers' processor."""
    shown = from_here(path)
    try:
        content = read_json(path)
    except OSError as error:
        raise DeployBenchError(f"{shown} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise _unknown(shown, f"it is no JSON: {error}") from None
    if not isinstance(content, Mapping):
        raise _unknown(shown, "it is no object of names and values")
    for inner in ("preprocessing", "pretrained_cfg"):
        if isinstance(content.get(inner), Mapping):
            content = content[inner]
            break
    if "image_mean" in content or "do_normalize" in content:
        return _of_transformers(content, spec, shown)
    if "crop_fraction" in content:
        return _of_ours(content, spec, shown)
    try:
        return PreprocessingOptions.model_validate(content).applied_to(spec)
    except ValidationError:
        pass
    if "mean" not in content and "std" not in content:
        raise _unknown(shown, f"it says {', '.join(map(str, content)) or 'nothing'}")
    described = described_preprocessing(content, spec.channels, (spec.height, spec.width))
    return described.replaced(height=spec.height, width=spec.width)


def _of_ours(content: Mapping[str, Any], spec: Preprocessing, shown: str) -> Preprocessing:
    try:
        read = Preprocessing.model_validate(content)
    except ValidationError as error:
        raise _unknown(shown, str(error.errors()[0]["msg"])) from None
    if read.channels != spec.channels:
        raise DeployBenchError(
            f"{shown} is of {read.channels} channels, and the input takes {spec.channels}",
            expected="the preprocessing of this model",
        )
    return read.replaced(height=spec.height, width=spec.width)


def _of_transformers(content: Mapping[str, Any], spec: Preprocessing, shown: str) -> Preprocessing:
    """``preprocessor_config.json``. Its class may have defaults for what it leaves out: that stays
    assumed."""
    factor = content.get("rescale_factor", 1 / WHITE_8)
    rescaled = content.get("do_rescale", True)
    if rescaled and abs(float(factor) - 1 / WHITE_8) > FACTOR_TOLERANCE:
        raise _unknown(shown, f"pixels are scaled by {factor}, not to [0, 1]")
    said: dict[str, Any] = {}
    if not content.get("do_normalize", True):
        spec = _in_range(spec, (0.0, 1.0 if rescaled else float(WHITE_8)))
    else:
        said["mean"] = content.get("image_mean")
        said["std"] = content.get("image_std")
    resample = content.get("resample")
    if resample is not None:
        said["interpolation"] = FILTERS.get(resample, str(resample))
    size, crop = content.get("size"), content.get("crop_size")
    shortest = size.get("shortest_edge") if isinstance(size, Mapping) else None
    if isinstance(size, Mapping) and "height" in size and not content.get("do_center_crop"):
        said["resize_mode"] = "squash"
        said["crop"] = 1.0
    elif shortest and content.get("do_center_crop", crop is not None):
        side = crop.get("height") if isinstance(crop, Mapping) else crop
        said["crop"] = float(side or spec.height) / float(shortest)
    try:
        options = PreprocessingOptions.model_validate(said)
    except ValidationError as error:
        raise _unknown(shown, str(error.errors()[0]["msg"])) from None
    return options.applied_to(spec)


def _unknown(shown: str, why: str) -> DeployBenchError:
    return DeployBenchError(
        f"{shown} does not say how images are prepared: {why}",
        expected="mean and std of pixels in [0, 1] by name, a manifest.json, timm's config.json or "
        "transformers' preprocessor_config.json",
        action="or say it in options: --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225",
    )
