"""The brain of which synthetic images are made: MNI152 (Fonov et al. 2011), an average of many.

The wheel of nilearn ships it: T1, grey matter and white matter on a grid of 197 x 233 x 189
millimetres, in bytes. It is read from there with nibabel; nilearn itself is not imported.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deploybench.errors import DeployBenchError

Plane = npt.NDArray[np.float32]
FILES = {
    kind: f"mni_icbm152_{kind}_tal_nlin_sym_09a_converted.nii.gz" for kind in ("t1", "gm", "wm")
}
SHAPE = (197, 233, 189)
"""Right to left, back to front, bottom to top; a voxel is 1 mm wide."""
WHITE = 255
INSIDE = 0.02
"""Of T1: the template has no skull, and is 0 outside of the brain."""


@dataclass(frozen=True)
class Slice:
    """An axial plane, each map from 0 to 1, 197 x 233: what of each point is grey matter, white
    matter, fluid; and where the brain is."""

    grey: Plane
    white: Plane
    fluid: Plane
    inside: Plane


def axial_slice(height: int) -> Slice:
    """The plane at that height, in millimetres above the lowest. Raises DeployBenchError."""
    maps = _maps()
    grey, white = maps["gm"][:, :, height], maps["wm"][:, :, height]
    inside = (maps["t1"][:, :, height] > INSIDE).astype(np.float32)
    fluid = np.clip(inside - grey - white, 0, 1)
    return Slice(grey, white, fluid, inside)


@cache
def _maps() -> dict[str, npt.NDArray[np.float32]]:
    try:
        import nibabel

        package = importlib.util.find_spec("nilearn")
    except ImportError:
        package = None
    if package is None or package.origin is None:
        raise DeployBenchError(
            "the brain template comes with nilearn, which is not installed",
            action='pip install "deploybench[data]"',
        )
    folder = Path(package.origin).parent / "datasets" / "data"
    maps: dict[str, npt.NDArray[np.float32]] = {}
    for kind, name in FILES.items():
        path = folder / name
        if not path.is_file():
            raise DeployBenchError(
                f"nilearn has no {path}", expected="nilearn 0.10 to 0.14", action="install another"
            )
        image: Any = nibabel.load(path)
        volume: npt.NDArray[np.float32] = np.asarray(image.dataobj, dtype=np.float32)
        volume /= WHITE
        if volume.shape != SHAPE:
            raise DeployBenchError(f"{path} has the shape {volume.shape}", expected=f"{SHAPE}")
        maps[kind] = volume
    return maps
