"""What the ranges of an 8-bit artifact were found on: the images, or noise where that was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted, read_percent

SYNTHETIC = "synthetic"
"""In place of a folder: seeded noise with the statistics of photographs."""
AUTO = "auto"
"""Of ``--keep-fp32``: the layers are looked for. ``auto:99%``: until that share of the calibration
images has fp32 eager's class, too."""
NONE = "none"
"""Of ``--keep-fp32``: no layer stays in float, whatever comes of it."""


class Calibration(Document):
    """Which images; ``asked`` of them were wanted, ``images`` were used of the ``found``.

    ``sha256`` identifies those that were used, with their labels; it is empty for synthetic ones.
    """

    source: str
    images: int
    asked: int
    found: int
    seed: int
    sha256: str = ""
    split: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def synthetic(self) -> bool:
        return self.source == SYNTHETIC

    @property
    def words(self) -> str:
        """A line for tables: what it was calibrated on."""
        if self.synthetic:
            return (
                f"calibrated on noise: {self.images} synthetic 1/f images, seed {self.seed}, not "
                "on images of the model's task"
            )
        words = f"calibrated on {counted(self.images, 'image')} of {self.found} in {self.source}"
        if self.split is not None:
            words += f" (split {self.split})"
        words += f", seed {self.seed}, sha256 {self.sha256[:12]}"
        if self.images < self.asked:
            words += f"; {self.asked} were asked for, no more are there"
        if self.notes:
            words += "; " + "; ".join(self.notes)
        return words


@dataclass(frozen=True)
class CalibrationImages:
    """Normalised images, float32, images x channels x height x width, and what is told of them."""

    pixels: npt.NDArray[np.float32]
    told: Calibration


def wanted_agreement(patterns: Sequence[str]) -> float | None:
    """The share of images with fp32 eager's class that ``auto:99%`` asks for; None: none is asked.

    Raises DeployBenchError for one that is no share.
    """
    for pattern in patterns:
        name, colon, share = pattern.partition(":")
        if name != AUTO or not colon:
            continue
        value = read_percent(share)
        if value is None or not 0 < value <= 1:
            raise DeployBenchError(
                f"--keep-fp32 {pattern}",
                expected=f"a share of the images in percent, with its sign: {AUTO}:99%",
            )
        return value
    return None
