"""The preprocessing of torchvision's own weights: their transforms."""

from __future__ import annotations

from typing import Any

from deploybench.artifacts.preprocessing import Preprocessing


def torchvision_preprocessing(
    factory: Any, image_size: tuple[int, int] | None
) -> Preprocessing | None:
    """What torchvision's own transform does for the default weights of a classifier of its, at
    ``image_size`` if that is given; None for any other factory."""
    weights = _weights_of(factory)
    if weights is None:
        return None
    return _described(weights.DEFAULT.transforms(), image_size)


def torchvision_files(factory: Any, image_size: tuple[int, int] | None) -> dict[str, Preprocessing]:
    """The preprocessing of each of torchvision's weights for a factory, by the digits that its file
    is named with: the first of its sha256. (resnet50 has two, resized to 256 and to 232 pixels.)"""
    files = {}
    for weights in _weights_of(factory) or ():
        digits = weights.url.rpartition("-")[2].removesuffix(".pth")
        described = _described(weights.transforms(), image_size)
        if described is not None:
            files[digits] = described
    return files


def _weights_of(factory: Any) -> Any:
    """torchvision's enumeration of the weights for a factory; None for a factory of others."""
    if not str(getattr(factory, "__module__", "")).startswith("torchvision.models."):
        return None
    from torchvision.models import get_model_weights

    try:
        return get_model_weights(factory)
    except ValueError:  # a class or a helper of torchvision's, which is no registered model
        return None


def _described(transform: Any, image_size: tuple[int, int] | None) -> Preprocessing | None:
    """The shorter side is resized, the centre is cropped; None for a detector's or a segmenter's
    transform."""
    if not hasattr(transform, "crop_size"):
        return None
    cropped, resized = transform.crop_size[0], transform.resize_size[0]
    height, width = image_size or (cropped, cropped)
    return Preprocessing(
        channels=len(transform.mean),
        height=height,
        width=width,
        crop_fraction=cropped / resized,
        interpolation=transform.interpolation.value,
        mean=tuple(transform.mean),
        std=tuple(transform.std),
    )
