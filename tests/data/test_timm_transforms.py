"""Preprocessing is timm's own on every configuration that timm has, and torchvision's on every
classifier of torchvision's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import timm
from PIL import Image
from timm.data import create_transform, resolve_data_config

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data import preprocess
from deploybench.data.preprocess import load_image
from deploybench.models.timm_source import preprocessing_of
from deploybench.models.torchvision_images import torchvision_files
from tests.runs.test_real_model import photograph

SHAPES = ((500, 333), (64, 97), (31, 30), (211, 640), (90, 11))
"""(width, height) of the images: photographs, odd, tiny, wide, a strip."""
TALL_STRIP = (3, 400)


class Module:
    """As much of a module as its configuration."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.pretrained_cfg = dict(config)


def configurations() -> dict[tuple[object, ...], Mapping[str, Any]]:
    """One configuration for each that decides another resizing, cropping or padding."""
    found = {}
    for name in [*timm.list_models(), *timm.list_pretrained()]:
        config = timm.get_pretrained_cfg(name, allow_unregistered=True)
        if config is None:
            continue
        content = config.to_dict()
        decides = [content[key] for key in ("input_size", "crop_pct", "crop_mode", "interpolation")]
        if content["crop_mode"] == "border":
            decides.append(content["mean"])
        found.setdefault(tuple(decides), content)
    return found


def saved(folder: Path, size: tuple[int, int]) -> Path:
    """A PNG of blurred noise of that (width, height)."""
    path = folder / f"{size[0]}x{size[1]}.png"
    if not path.exists():
        width, height = size
        noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        coarse = Image.fromarray(noise).resize((width // 2 + 1, height // 2 + 1))
        coarse.resize(size, Image.Resampling.BICUBIC).save(path)
    return path


def timms(path: Path, config: Mapping[str, Any]) -> npt.NDArray[np.float32]:
    """What timm's evaluation transform makes of the image."""
    transform = create_transform(**resolve_data_config({}, pretrained_cfg=dict(config)))
    with Image.open(path) as image:
        pixels: npt.NDArray[np.float32] = transform(image.convert("RGB")).numpy()
    return pixels


def described(config: Mapping[str, Any]) -> Preprocessing:
    return preprocessing_of(Module(config), None)  # type: ignore[arg-type]


@pytest.mark.trust(
    item=13,
    case="every configuration of timm's 1,371 models and 1,826 weights, on five shapes of image",
    before="of 122 unlike ones 18 (squash) and 2 (border) differed, by up to 2.5 of a normalised "
    "unit, and 2 (crop 1.15) crashed: ValidationError",
    now="equal to timm's transform, bit for bit",
)
def test_every_configuration_of_timm_gives_timms_own_pixels(tmp_path: Path) -> None:
    configs = list(configurations().values())
    assert len(configs) > 100
    wrong = []
    for index, config in enumerate(configs):
        # The shapes take turns; the modes that are rare see all.
        shapes = [SHAPES[index % len(SHAPES)]]
        if config["crop_mode"] != "center" or config["crop_pct"] > 1:
            shapes = list(SHAPES)
        for shape in shapes:
            path = saved(tmp_path, shape)
            if not np.array_equal(load_image(path, described(config)), timms(path, config)):
                wrong.append((config["architecture"], shape))
    assert wrong == []


@pytest.mark.trust(
    item=13,
    case="a target of 60 x 100 pixels",
    before="the resized size was cut off where timm rounds it: 7 of 15 differed, by up to 0.83",
    now="equal to timm's transform, bit for bit",
)
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
@pytest.mark.parametrize(
    "interpolation", ["bicubic", "bilinear", "nearest", "lanczos", "box", "hamming"]
)
def test_target_that_is_no_square_is_rounded_as_timm_does(
    mode: str, interpolation: str, tmp_path: Path
) -> None:
    for size, crop in (((3, 60, 100), 0.9), ((3, 101, 37), 0.875), ((3, 48, 48), 1.15)):
        config = {
            "input_size": size,
            "crop_pct": crop,
            "crop_mode": mode,
            "interpolation": interpolation,
            "mean": (0.1, 0.5, 0.7),
            "std": (0.3, 0.2, 0.1),
        }
        for shape in SHAPES:
            path = saved(tmp_path, shape)
            found = load_image(path, described(config))
            assert np.array_equal(found, timms(path, config)), (size, shape)


def test_border_pixels_are_trimmed_as_timm_does(tmp_path: Path) -> None:
    path = saved(tmp_path, (64, 97))
    config = {"input_size": (3, 48, 48), "crop_pct": 0.9, "crop_mode": "center"}
    spec = described(config).replaced(crop_border_pixels=5)
    transform = create_transform(
        **resolve_data_config({}, pretrained_cfg=config), crop_border_pixels=5
    )
    with Image.open(path) as image:
        expected = transform(image.convert("RGB")).numpy()
    assert np.array_equal(load_image(path, spec), expected)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "lanczos", "hamming"])
def test_resizing_only_what_is_not_cropped_away_gives_the_same_pixels(
    interpolation: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preprocess, "MOST_RESIZED_PIXELS", 0)
    config = {
        "input_size": (3, 64, 48),
        "crop_pct": 0.875,
        "interpolation": interpolation,
        "mean": (0, 0, 0),
        "std": (1, 1, 1),
    }
    for shape in (*SHAPES, TALL_STRIP, (1, 1)):
        path = saved(tmp_path, shape)
        difference = load_image(path, described(config)) - timms(path, config)
        assert np.abs(difference).max() <= 1.001 / 255, shape


def test_real_photographs_become_timms_pixels() -> None:
    config = {
        "input_size": (3, 160, 160),
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
    }
    for name in ("chelsea.png", "coffee.png", "astronaut.png"):
        path = photograph(name)
        assert np.array_equal(load_image(path, described(config)), timms(path, config))


def test_every_weight_of_torchvisions_gets_its_own_transform(tmp_path: Path) -> None:
    import torchvision

    path = saved(tmp_path, (211, 150))
    seen = set()
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    for name in torchvision.models.list_models(module=torchvision.models):
        factory = torchvision.models.get_model_builder(name)
        weights = torchvision.models.get_model_weights(name)
        files = torchvision_files(factory, None)
        assert len(files) == len(list(weights))
        for one, spec in zip(weights, files.values(), strict=True):
            if repr(spec) not in seen:
                seen.add(repr(spec))
                expected = one.transforms()(image).numpy()
                assert np.allclose(load_image(path, spec), expected, atol=1e-6), one
    assert len(seen) > 20
