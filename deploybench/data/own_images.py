"""Reference images of the user's own: found, a bounded number of them taken, read as the model
reads images.

Parity holds an artifact against fp32 eager on built-in images. Where a model hardly tells those
apart, images that it was made for say more.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.artifact import sha256_of_file
from deploybench.artifacts.own_images import OwnImages
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_files import IMAGE_SUFFIXES, is_image
from deploybench.data.preprocess import read_image
from deploybench.errors import DeployBenchError

MOST_IMAGES = 32
"""Of the user's: each is stored in every artifact with its outputs (0.6 MB at 224 pixels), and run
in float64 and in each reduced precision. A branch or a lost tensor shows on a few."""
MOST_NOTES = 4


@dataclass(frozen=True)
class ChosenImages:
    """The files that are taken, and of how many."""

    files: tuple[Path, ...]
    found: int


def choose_images(paths: Sequence[str | Path]) -> ChosenImages:
    """The images that the paths name or, where they are folders, hold at any depth.

    Of more than :data:`MOST_IMAGES` those are taken that are spread evenly over the sorted names,
    so that many classes are among them where each has a folder.

    Raises DeployBenchError for a path that is not there, and for a folder without images.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            found += _inside(path)
        elif path.is_file():
            found.append(path)
        else:
            raise DeployBenchError(
                f"--reference-images {path}: there is no such file or folder",
                action="check the path",
            )
    unique = list(dict.fromkeys(found))
    taken = unique
    if len(unique) > MOST_IMAGES:
        # The middle of each of so many equal parts.
        step = len(unique) / MOST_IMAGES
        taken = [unique[int((index + 0.5) * step)] for index in range(MOST_IMAGES)]
    return ChosenImages(tuple(taken), len(unique))


def hash_of_images(chosen: ChosenImages) -> str:
    """sha256 over the bytes of each file, in their order; their names have no part in it.

    Raises DeployBenchError for a file that cannot be read.
    """
    digest = hashlib.sha256()
    for file in chosen.files:
        try:
            digest.update(sha256_of_file(file).encode())
        except OSError as error:
            raise DeployBenchError(
                f"{file} cannot be read: {error.strerror}", action="check the permissions"
            ) from None
    return digest.hexdigest()


def own_inputs(
    paths: Sequence[str], preprocessing: Preprocessing
) -> tuple[npt.NDArray[np.float32], OwnImages]:
    """The chosen images, normalised: float32, images x channels x height x width; and what is told
    of them.

    Raises DeployBenchError with the name of the first file that does not read as an image.
    """
    chosen = choose_images(paths)
    sha256 = hash_of_images(chosen)
    inputs = []
    notes: list[str] = []
    for file in chosen.files:
        image = read_image(file, preprocessing)
        inputs.append(image.pixels)
        notes += [f"{file.name}: {note}" for note in image.notes]
    if len(notes) > MOST_NOTES:
        notes = [*notes[:MOST_NOTES], f"and {len(notes) - MOST_NOTES} more such remarks"]
    told = OwnImages(count=len(inputs), found=chosen.found, sha256=sha256, notes=tuple(notes))
    return np.stack(inputs), told


def _inside(folder: Path) -> list[Path]:
    """The images in a folder and its folders, sorted by name; links to folders are not followed."""
    files = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = (Path(parent, name) for name in names)
        files += [file for file in inside if is_image(file)]
    if not files:
        raise DeployBenchError(
            f"--reference-images {folder}: the folder holds no image",
            expected=f"files that end in {', '.join(IMAGE_SUFFIXES)}",
            action="name the images themselves",
        )
    return sorted(files)
