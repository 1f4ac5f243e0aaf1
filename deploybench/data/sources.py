"""Where the images of a set lie: files in a folder, or rows of a file that holds many."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.image_arrays import picture_of
from deploybench.data.image_files import open_picture
from deploybench.data.image_values import Picture
from deploybench.errors import DeployBenchError
from deploybench.untrusted import read_bytes


@dataclass(frozen=True)
class ImageFiles:
    """Each image a file; its key is the path within ``root``, with slashes."""

    root: Path

    def picture(self, key: str, spec: Preprocessing) -> Picture:
        """The file's image. Raises DeployBenchError."""
        return open_picture(self.root / key, spec)

    def content(self, key: str) -> bytes:
        """The file's bytes. Raises DeployBenchError."""
        path = self.root / key
        try:
            return read_bytes(path, MOST_IMAGE_BYTES)
        except OSError as error:
            raise DeployBenchError(
                f"{path} cannot be read: {error.strerror}", action="check the permissions"
            ) from None

    def place(self, key: str) -> str:
        """The path of the file."""
        return str(self.root / key)


MOST_IMAGE_BYTES = 1 << 30


@dataclass(frozen=True)
class StoredImages:
    """Images of one size that lie one after the other in a file, as bytes.

    ``shape`` is that of one image: (height, width), (height, width, channels), or (channels,
    height, width) where they are ``planar``. The first begins at ``offset``, the next ``step``
    bytes on. ``dtype`` is NumPy's word for a value.
    """

    path: Path
    offset: int
    step: int
    count: int
    shape: tuple[int, ...]
    dtype: str = "|u1"
    planar: bool = False

    @property
    def image_bytes(self) -> int:
        return math.prod(self.shape) * np.dtype(self.dtype).itemsize

    def content(self, index: int) -> bytes:
        """The bytes of one image. Raises DeployBenchError."""
        try:
            with self.path.open("rb") as stream:
                stream.seek(self.offset + index * self.step)
                content = stream.read(self.image_bytes)
        except OSError as error:
            raise DeployBenchError(
                f"{self.path} cannot be read: {error.strerror}", action="check the permissions"
            ) from None
        if len(content) != self.image_bytes:
            raise DeployBenchError(
                f"{self.path} ends within image {index}", action="copy or download it again"
            )
        return content

    def image(self, index: int) -> npt.NDArray[Any]:
        """One image, height x width or height x width x channels. Raises DeployBenchError."""
        values = np.frombuffer(self.content(index), dtype=self.dtype).reshape(self.shape)
        if self.planar:
            values = values.transpose(1, 2, 0)
        # In this machine's order of bytes: Pillow knows no other.
        return values.astype(values.dtype.newbyteorder("="), copy=False)


@dataclass(frozen=True)
class ImageRows:
    """Images in files that hold many; a key is the name of the part and the image's number there.

    ``files`` says for each part which file errors name: what is read may be an unpacked copy.
    """

    parts: Mapping[str, StoredImages]
    files: Mapping[str, Path]

    def picture(self, key: str, spec: Preprocessing) -> Picture:
        """The image of a row. Raises DeployBenchError."""
        part, index = self._row(key)
        return picture_of(self.parts[part].image(index), spec, self.place(key))

    def content(self, key: str) -> bytes:
        """The bytes of a row. Raises DeployBenchError."""
        part, index = self._row(key)
        return self.parts[part].content(index)

    def place(self, key: str) -> str:
        """The file and the number of the image in it."""
        part, index = self._row(key)
        return f"{self.files[part]}, image {index}"

    def _row(self, key: str) -> tuple[str, int]:
        part, _, number = key.rpartition("/")
        return part, int(number)


def row_key(part: str, index: int) -> str:
    """The key of an image in a file of many; keys sort as the images lie."""
    return f"{part}/{index:06d}"
