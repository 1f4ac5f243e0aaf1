"""One synthetic image that looks like a FLAIR slice of a brain: drawn from seeds, not medical.

What belongs to the patient (the shape of the head, the place and form of the finding) comes from
the patient's seed, and is the same in all of the patient's images; height, turn, noise and the
coil's uneven brightness come from the image's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from deploybench.data.made.brain_lesions import FINDINGS, Canvas
from deploybench.data.made.brain_template import SHAPE, Plane, Slice, axial_slice

HEIGHTS = {"pituatary_lesion": (36, 44), "white_matter_changes": (76, 104)}
"""Millimetres above the template's lowest plane at which a finding is seen."""
OTHER_HEIGHTS = (58, 116)
NORMAL_HEIGHTS, LOW_SHARE = (34, 124), 0.1
"""Slices without a finding come from everywhere, and some from where the pituitary lies."""
GREY_LEVEL, WHITE_LEVEL, FLUID_LEVEL = 0.5, 0.4, 0.07
"""Of FLAIR: fluid is dark, grey matter a little brighter than white."""
NEIGHBOURS_MM = 5
FIELD_OF_VIEW_MM = 225
WARP_POINTS, WARP_MM = 5, 3.0


@dataclass(frozen=True)
class ImageOrder:
    """Which image is to be made. All seeds come from ``seed``, the patient and the image."""

    finding: str
    patient: int
    image: int
    seed: int
    pixels: int


def brain_image(order: ImageOrder) -> npt.NDArray[np.uint8]:
    """The image, pixels x pixels, front up. The same for the same order and versions."""
    patient = np.random.default_rng([order.seed, 1, order.patient])
    own = np.random.default_rng([order.seed, 2, order.image])
    middle = _height(order.finding, patient)
    away = int(own.integers(-NEIGHBOURS_MM, NEIGHBOURS_MM + 1))
    if order.finding == "pituatary_lesion":
        away //= 2
    tissue = axial_slice(int(np.clip(middle + away, 20, SHAPE[2] - 20)))
    levels = _levels(tissue, patient)
    canvas = Canvas(
        levels=levels,
        tissue=tissue,
        site=axial_slice(middle),
        draw=patient,
        strength=float(patient.uniform(0.45, 1.1)),
        extent=1 - 0.08 * abs(away),
    )
    FINDINGS[order.finding](canvas)
    image = _warped(_with_scalp(levels, tissue, own), order.pixels, own, order)
    return _as_scanned(image, own)


def _height(finding: str, patient: np.random.Generator) -> int:
    low, high = HEIGHTS.get(finding, OTHER_HEIGHTS)
    if finding == "normal":
        low, high = NORMAL_HEIGHTS
        if patient.uniform() < LOW_SHARE:
            low, high = HEIGHTS["pituatary_lesion"]
    return int(patient.integers(low, high + 1))


def _levels(tissue: Slice, patient: np.random.Generator) -> Plane:
    """Intensities of a brain without a finding; people and scanners differ."""
    grey, white, fluid = (
        level * patient.uniform(0.9, 1.1) for level in (GREY_LEVEL, WHITE_LEVEL, FLUID_LEVEL)
    )
    levels: Plane = grey * tissue.grey + white * tissue.white + fluid * tissue.fluid
    return levels.astype(np.float32)


def _with_scalp(levels: Plane, tissue: Slice, own: np.random.Generator) -> Plane:
    """A ring around the brain, for the skull and what covers it."""
    near = ndimage.gaussian_filter(tissue.inside, 5)
    ring = np.exp(-(((near - 0.06) / 0.03) ** 2)) * (1 - tissue.inside)
    whole: Plane = levels + own.uniform(0.25, 0.5) * ring
    return whole


def _warped(levels: Plane, pixels: int, own: np.random.Generator, order: ImageOrder) -> Plane:
    """The plane in the image's grid: front up, turned, moved, and bent as heads differ."""
    head = np.random.default_rng([order.seed, 3, order.patient])
    size = head.uniform(0.9, 1.08, 2)
    bend = ndimage.zoom(head.normal(0, WARP_MM, (2, WARP_POINTS, WARP_POINTS)), (1, 9, 9), order=3)
    step = FIELD_OF_VIEW_MM / pixels
    rows, columns = np.indices((pixels, pixels), dtype=np.float32)
    # Millimetres from the middle of the image: to the right, and to the front.
    right = (columns - (pixels - 1) / 2) * step + own.normal(0, 3)
    front = -(rows - (pixels - 1) / 2) * step + own.normal(0, 3)
    turn = np.deg2rad(own.normal(0, 5))
    across = (right * np.cos(turn) - front * np.sin(turn)) / size[0]
    along = (right * np.sin(turn) + front * np.cos(turn)) / size[1]
    if own.uniform() < 0.5:  # left and right
        across = -across
    across += (SHAPE[0] - 1) / 2
    along += (SHAPE[1] - 1) / 2
    grid = np.stack([across / SHAPE[0], along / SHAPE[1]]) * (bend.shape[1] - 1)
    for axis, coordinates in enumerate((across, along)):
        coordinates += ndimage.map_coordinates(bend[axis], grid, order=1, mode="nearest")
    image: Plane = ndimage.map_coordinates(levels, np.stack([across, along]), order=1)
    return image


def _as_scanned(image: Plane, own: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Blur, the coil's uneven brightness, noise (Rician, as magnitudes have it), contrast."""
    image = ndimage.gaussian_filter(image, own.uniform(0, 0.7))
    axis = np.linspace(-1, 1, len(image), dtype=np.float32)
    slope = own.normal(0, 0.1, 2)
    image = image * (1 + slope[0] * axis[:, None] + slope[1] * axis[None, :])
    noise = own.uniform(0.01, 0.04)
    real = image + own.normal(0, noise, image.shape)
    imaginary = own.normal(0, noise, image.shape)
    magnitude = np.hypot(real, imaginary) ** own.uniform(0.85, 1.15)
    return np.round(255 * np.clip(magnitude, 0, 1)).astype(np.uint8)
