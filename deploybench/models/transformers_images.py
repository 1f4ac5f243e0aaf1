"""The preprocessing of a folder of transformers, checked against its own image processor.

What its file leaves out has the defaults of the processor's class, and classes read the same words
in their own ways (a size of 224 is of both sides to ViT's, of the shorter to ConvNeXt's). So the
processor itself is asked for its settings, and what was made of them has to give its output.
"""

from __future__ import annotations

import importlib
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_values import WHITE_8
from deploybench.data.preprocess import load_image
from deploybench.data.preprocessing_options import PARTS
from deploybench.errors import DeployBenchError
from deploybench.models.weights_folder import weights_file

PREPROCESSOR = "preprocessor_config.json"
PIL_FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the filters that a preprocessing knows."""
ONE_OVER_255 = 1 / 255
RGB = 3
PICTURE = (130, 90)
"""Width and height in pixels of the picture on which a processor is compared."""
TOLERANCE_LEVELS = 1.5
"""Of 255: resizing by another library rounds a level up where Pillow rounds down."""


def preprocessing_of_folder(
    folder: Path, settings: Any, image_size: tuple[int, int] | None
) -> Preprocessing:
    """What the folder's image processor does, held against that processor on a picture.

    ``settings`` is the model's configuration. Where the processor does not load all of it is
    assumed. Raises DeployBenchError for a processor that does something else.
    """
    from deploybench.models.hub_source import read_json

    path = folder / PREPROCESSOR
    channels = int(getattr(settings, "num_channels", 3))
    if not path.is_file():
        raise DeployBenchError(
            f"{folder} has no {PREPROCESSOR}: nothing says what the model's images are",
            expected=f"{PREPROCESSOR} beside config.json",
            action="copy it from the model hub, or write it with "
            "image_processor.save_pretrained(FOLDER)",
        )
    own = _own_processor(folder)
    processor = read_json(path)
    if own is not None:  # with the defaults that its class has for what the file leaves out
        processor = json.loads(own.to_json_string())
    height, width, crop_fraction, squashed = _sizes(processor, path)
    if not processor.get("do_resize", True):
        raise _no_words(path, "images taken at whatever size they have")
    rescaled = processor.get("do_rescale", True)
    factor = float(processor.get("rescale_factor", ONE_OVER_255))
    odd = processor.get("rescale_offset") or processor.get("include_top")
    if not rescaled or abs(factor - ONE_OVER_255) > 1e-9 or odd:
        raise _no_words(path, "pixels scaled otherwise than to [0, 1]")
    number = processor.get("resample", 2)
    interpolation = PIL_FILTERS.get(number)
    if interpolation is None:
        raise _no_words(path, f"the resampling filter {number} of Pillow's")
    mean, std = (0.0,) * channels, (1.0,) * channels
    if processor.get("do_normalize", True):
        if not processor.get("image_mean") or not processor.get("image_std"):
            raise _no_words(path, "a normalisation without image_mean and image_std")
        mean, std = tuple(processor["image_mean"]), tuple(processor["image_std"])
    if len(mean) != channels or len(std) != channels:
        raise _no_words(path, f"means of {len(mean)} channels for a model of {channels}")
    fields: dict[str, Any] = {
        "channels": channels,
        "height": height,
        "width": width,
        "crop_fraction": crop_fraction,
        "interpolation": interpolation,
        "mean": mean,
        "std": std,
    }
    if squashed:
        fields["crop_mode"] = "squash"
    if processor.get("do_flip_channel_order"):
        fields["color"] = "bgr"
    spec = Preprocessing.model_validate(fields)
    if own is None or channels != RGB:
        spec = spec.replaced(assumed=PARTS)
    else:
        _check(own, spec, path)
    if image_size is not None:
        spec = spec.replaced(height=image_size[0], width=image_size[1])
    return spec


def _own_processor(folder: Path) -> Any:
    """The folder's image processor on Pillow; None where transformers does not load it."""
    try:
        transformers = importlib.import_module("transformers")
        return transformers.AutoImageProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, **_on_pillow(transformers)
        )
    except Exception:  # its class may be of another version, or ask for another library
        return None


def _on_pillow(transformers: Any) -> dict[str, Any]:
    """The option that has images resized by Pillow, as in the training of most: since 5 by name."""
    major = str(transformers.__version__).partition(".")[0]
    if major.isdigit() and int(major) >= 5:
        return {"backend": "pil"}
    return {"use_fast": False}


def _check(own: Any, spec: Preprocessing, path: Path) -> None:
    """Refuse a preprocessing that gives another input than the folder's own processor does."""
    from PIL import Image

    # Wider than high, so that a crop and a squash differ, and smooth, so that a filter counts.
    noise = np.random.default_rng(0).integers(0, 256, (9, 13, RGB), dtype=np.uint8)
    picture = Image.fromarray(noise).resize(PICTURE, Image.Resampling.BICUBIC)
    wanted = np.asarray(own(images=picture, return_tensors="np")["pixel_values"])[0]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "picture.png"
        picture.save(file)
        found = load_image(file, spec)
    if found.shape == wanted.shape:
        levels = np.abs(found - wanted) * np.asarray(spec.std).reshape(-1, 1, 1) * WHITE_8
        if float(levels.max()) <= TOLERANCE_LEVELS:
            return
    raise _no_words(path, f"what only {type(own).__name__} does with an image")


def _sizes(processor: dict[str, Any], path: Path) -> tuple[int, int, float, bool]:
    """Height, width, the fraction that the crop keeps, and whether both sides are resized to it
    whatever their ratio."""
    size = processor.get("size")
    if isinstance(size, int) and "crop_pct" in processor:
        size = {"shortest_edge": size}  # ConvNeXt, before sizes had names
    if isinstance(size, int):
        size = {"height": size, "width": size}
    if not isinstance(size, dict):
        raise _no_words(path, f"a size of {size}")
    cropped = processor.get("crop_size")
    if isinstance(cropped, int):
        cropped = {"height": cropped, "width": cropped}
    size = {name: length for name, length in size.items() if length is not None}
    crop = processor.get("crop_pct")
    if crop is None and "ConvNext" in str(processor.get("image_processor_type")):
        crop = 224 / 256
    if crop is not None and "shortest_edge" in size:
        # ConvNeXt: below 384 pixels the image is resized to size / crop_pct and cropped.
        edge = int(size["shortest_edge"])
        if edge < 384:
            return edge, edge, float(crop), False
        return edge, edge, 1.0, True
    if processor.get("do_center_crop") and isinstance(cropped, dict):
        height, width = int(cropped["height"]), int(cropped["width"])
        if "shortest_edge" in size and height == width:
            edge = int(size["shortest_edge"])
            if "Levit" in str(processor.get("image_processor_type")):
                edge = int(edge * 256 / 224)  # LeViT names the size that it crops to
            return height, width, min(height / edge, 1.0), False
        if "height" in size and height == width and size["height"] == size["width"]:
            return height, width, min(height / int(size["height"]), 1.0), True
        raise _no_words(path, f"a crop of {height} x {width} from {size}")
    if "height" in size and "width" in size:
        return int(size["height"]), int(size["width"]), 1.0, True
    if "shortest_edge" in size:
        raise _no_words(path, f"a shorter side of {size['shortest_edge']} without a crop")
    raise _no_words(path, f"a size of {size}")


def _no_words(path: Path, what: str) -> DeployBenchError:
    return DeployBenchError(
        f"{path} asks for {what}, which no preprocessing here does",
        expected="resize, crop, scale to [0, 1], normalise",
        action="pass the model as package.module:factory with a pretrained_cfg, and --checkpoint "
        f"{weights_file(path.parent)}",
    )
