"""MNIST's own files (idx), compressed or not; Fashion-MNIST and KMNIST have the same form.

http://yann.lecun.com/exdb/mnist: two bytes of zero, a byte for the type, a byte for the number of
dimensions, the dimensions as big-endian numbers of four bytes, then the values.
"""

from __future__ import annotations

import gzip
import math
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from deploybench.data.dataset import DataSet, Example
from deploybench.data.forms.labels import class_names_of_numbers, numbered_examples
from deploybench.data.options import DataOptions
from deploybench.data.sources import ImageRows, StoredImages
from deploybench.data.unpacked import unpacked
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.untrusted import open_regular

UNSIGNED_BYTES = 0x08
"""The type of all of these files."""
IMAGES = re.compile(r"^(?P<part>.+)-images[-.]idx3-ubyte(\.gz)?$")
SPLITS = {"train": "train", "t10k": "test", "test": "test"}
MOST_LABELS = 1 << 26
MOST_DIMENSIONS = 4


@dataclass(frozen=True)
class Idx:
    """The header of an idx file: its dimensions, and where its values begin."""

    path: Path
    shape: tuple[int, ...]
    offset: int

    @property
    def value_bytes(self) -> int:
        return math.prod(self.shape)

    @property
    def compressed(self) -> bool:
        return self.path.suffix == ".gz"


def image_files(folder: Path) -> list[Path]:
    """The idx files of images in a folder; of one that is there compressed as well, the other."""
    names = {path.name for path in folder.iterdir() if IMAGES.match(path.name)}
    return sorted(folder / name for name in names if name.removesuffix(".gz") not in names - {name})


def open_mnist(folder: Path, options: DataOptions) -> DataSet:
    """The set of the idx files in a folder. Raises DeployBenchError."""
    parts: dict[str, StoredImages] = {}
    files: dict[str, Path] = {}
    found: dict[str, npt.NDArray[np.int64]] = {}
    for path in image_files(folder):
        part = part_of(path)
        header = read_header(path, dimensions=3)
        parts[part] = _stored(header)
        files[part] = path
        found[part] = _labels(path, header.shape[0])
    if not parts:
        raise DeployBenchError(
            f"{folder} holds no idx file of images", expected="train-images-idx3-ubyte or the like"
        )
    names = class_names_of_numbers(found, files, options.class_names)
    examples: list[Example] = []
    for part, labels in found.items():
        examples += numbered_examples(part, labels, split=SPLITS.get(part))
    return DataSet(
        name=folder.resolve().name,
        form="MNIST's files (idx)",
        root=folder,
        class_names=names,
        task="single-label",
        examples=tuple(examples),
        images=ImageRows(parts, files),
    )


def part_of(path: Path) -> str:
    """``train`` of ``train-images-idx3-ubyte.gz``."""
    match = IMAGES.match(path.name)
    if match is None:
        raise DeployBenchError(f"{path} is no idx file of images", expected="*-images-idx3-ubyte")
    return match["part"]


def read_header(path: Path, *, dimensions: int) -> Idx:
    """The header of an idx file of bytes. Raises DeployBenchError for anything else."""
    try:
        with _opened(path) as stream:
            head = stream.read(4 + 4 * MOST_DIMENSIONS)
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from None
    if len(head) < 4 or head[:2] != b"\0\0":
        raise _damaged(path, f"it begins with {head[:4].hex() or 'nothing'}")
    if head[2] != UNSIGNED_BYTES or head[3] != dimensions:
        raise _damaged(path, f"values of type {head[2]:#04x} in {head[3]} dimensions")
    offset = 4 + 4 * dimensions
    if len(head) < offset:
        raise _damaged(path, "it ends within its header")
    shape = tuple(int(size) for size in np.frombuffer(head[4:offset], dtype=">u4"))
    if 0 in shape:
        raise _damaged(path, f"it says that its dimensions are {shape}")
    header = Idx(path, shape, offset)
    size = path.stat().st_size
    if not header.compressed and size != offset + header.value_bytes:
        raise _damaged(path, f"it has {size} bytes, and its header says {offset} + {shape}")
    return header


def _stored(header: Idx) -> StoredImages:
    count, *shape = header.shape
    path = header.path
    if header.compressed:
        path = unpacked(
            header.path,
            "",
            header.offset + header.value_bytes,
            header.path.stat().st_size,
            lambda: _opened(header.path),
        )
    step = math.prod(shape)
    return StoredImages(path, header.offset, step, count, tuple(shape))


def _labels(images: Path, count: int) -> npt.NDArray[np.int64]:
    """The labels that belong to a file of images."""
    bare = images.name.removesuffix(".gz")
    beside = re.sub(r"images([-.])idx3", r"labels\1idx1", bare)
    for name in (beside, f"{beside}.gz"):
        path = images.with_name(name)
        if path.is_file():
            break
    else:
        raise DeployBenchError(
            f"{images} has no labels beside it",
            expected=f"a file {beside} or {beside}.gz",
            action="copy it there",
        )
    header = read_header(path, dimensions=1)
    if header.shape[0] != count or count > MOST_LABELS:
        raise _damaged(path, f"it has {header.shape[0]} labels, and there are {count} images")
    try:
        with _opened(path) as stream:
            values = stream.read(header.offset + count + 1)[header.offset :]
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from None
    if len(values) != count:
        raise _damaged(
            path, f"it holds {counted(len(values), 'label')}, and its header says {count}"
        )
    return np.frombuffer(values, dtype=np.uint8).astype(np.int64)


def _opened(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return gzip.open(open_regular(path), "rb")  # type: ignore[return-value]
    return open_regular(path)


def _damaged(path: Path, why: str) -> DeployBenchError:
    return DeployBenchError(
        f"{path} does not read as an idx file: {why}",
        expected="MNIST's format: bytes in one dimension (labels) or three (images)",
        action="copy or download it again",
    )
