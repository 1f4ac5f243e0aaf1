"""NumPy's .npz with images and labels by split: MedMNIST's form, and Keras's.

An .npz is a ZIP archive of .npy files. Arrays are never loaded whole: those that are stored as they
are (``numpy.savez``) are read from their place in the archive, compressed ones are unpacked once.
"""

from __future__ import annotations

import math
import struct
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from deploybench.data.dataset import DataSet, Example
from deploybench.data.forms.labels import class_names_of_numbers
from deploybench.data.options import DataOptions, LabelsLackError
from deploybench.data.sources import ImageRows, StoredImages, row_key
from deploybench.data.unpacked import unpacked
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted

SPLITS = ("train", "val", "test")
NAMES = (
    *((f"{split}_images", f"{split}_labels", split) for split in SPLITS),
    *((f"x_{split}", f"y_{split}", split) for split in SPLITS),
    ("images", "labels", None),
)
"""(images, labels, split), as MedMNIST and Keras name them."""
MOST_MEMBERS = 1000
MOST_LABEL_BYTES = 1 << 28
LOCAL_HEADER_BYTES = 30
DIMENSIONS = (3, 4)
CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Member:
    """A .npy in the archive: what its header says."""

    path: Path
    name: str
    info: zipfile.ZipInfo
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    header_bytes: int

    @property
    def value_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def place(self) -> str:
        return f"{self.path}, {self.name}"


def open_npz(path: Path, options: DataOptions) -> DataSet:
    """The set of an .npz. Raises DeployBenchError that names the array that is wrong."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _opened(path, archive, options)
    except DeployBenchError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        raise DeployBenchError(
            f"{path} does not read as an .npz: {error or type(error).__name__}",
            expected="what numpy.savez writes",
            action="copy or download it again",
        ) from None


def _opened(path: Path, archive: zipfile.ZipFile, options: DataOptions) -> DataSet:
    inside = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if len(inside) > MOST_MEMBERS:
        raise DeployBenchError(f"{path} holds {counted(len(inside), 'array')}", expected="a few")
    chosen = [(images, labels, split) for images, labels, split in NAMES if images in inside]
    if not chosen:
        raise DeployBenchError(
            f"{path} holds no images by a name that is known: {', '.join(sorted(inside)[:8])}",
            expected="train_images and train_labels (also val, test), x_train and y_train, or "
            "images and labels",
        )
    parts: dict[str, StoredImages] = {}
    files: dict[str, Path] = {}
    tables: dict[str, npt.NDArray[np.int64]] = {}
    splits: dict[str, str | None] = {}
    for images, labels, split in chosen:
        if labels not in inside and not options.unlabelled:
            raise LabelsLackError(
                f"{path} holds {images} and not {labels}",
                expected="labels for all images",
                action="--unlabelled takes the images without labels",
            )
        member = _member(path, archive, images, inside[images])
        parts[images] = _images(archive, member)
        files[images] = path
        splits[images] = split
        if not options.unlabelled:
            tables[images] = _labels(archive, _member(path, archive, labels, inside[labels]))
            if len(tables[images]) != member.shape[0]:
                raise DeployBenchError(
                    f"{path}: {images} has {member.shape[0]} images, and {labels} has "
                    f"{counted(len(tables[images]), 'label')}",
                    expected="as many",
                )
    source = ImageRows(parts, files)
    if options.unlabelled:
        return _unlabelled(path, source, splits)
    return _labelled(path, source, splits, tables, options)


def _member(path: Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo) -> Member:
    """The header of an array, with the promise that as many values follow as it says."""
    if info.flag_bits & 1:
        raise DeployBenchError(f"{path} is encrypted", action="unpack it first")
    with archive.open(info) as stream:
        shape, fortran, dtype = _npy_header(stream)
        header_bytes = stream.tell()
    member = Member(path, name, info, shape, dtype, header_bytes)
    if dtype.hasobject:
        raise DeployBenchError(
            f"{member.place} is an array of Python objects, which only running code would read",
            expected="an array of numbers",
        )
    if fortran and len(shape) > 1:
        raise DeployBenchError(
            f"{member.place} lies column by column",
            expected="row by row",
            action="save it again with numpy.ascontiguousarray",
        )
    if header_bytes + member.value_bytes != info.file_size:
        raise DeployBenchError(
            f"{member.place} has {info.file_size} bytes, and its header says "
            f"{header_bytes + member.value_bytes}",
            action="copy or download it again",
        )
    return member


def _npy_header(stream: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """(shape, by columns, dtype) of a .npy; the stream stands at its values then."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(stream)
    return np.lib.format.read_array_header_2_0(stream)


def _images(archive: zipfile.ZipFile, member: Member) -> StoredImages:
    count, *shape = member.shape or (0,)
    if len(member.shape) not in DIMENSIONS or not member.value_bytes:
        raise DeployBenchError(
            f"{member.place} has the shape {member.shape}",
            expected="images x height x width, or images x height x width x channels",
        )
    if len(shape) == 3 and shape[-1] not in CHANNELS:
        raise DeployBenchError(
            f"{member.place} has the shape {member.shape}: volumes, or channels that come first",
            expected="1, 3 or 4 channels in the last dimension",
        )
    path, offset = member.path, _stored_at(member)
    if member.info.compress_type != zipfile.ZIP_STORED:
        path = unpacked(
            member.path,
            member.name,
            member.info.file_size,
            member.info.compress_size,
            lambda: _stream(archive, member),
        )
        offset = 0
    step = member.value_bytes // count
    return StoredImages(
        path, offset + member.header_bytes, step, count, tuple(shape), member.dtype.str
    )


def _stream(archive: zipfile.ZipFile, member: Member) -> BinaryIO:
    return archive.open(member.info)  # type: ignore[return-value]


def _stored_at(member: Member) -> int:
    """Where an entry's bytes begin in the archive: behind its local header, whose two fields of
    variable length have their own sizes there."""
    with member.path.open("rb") as stream:
        stream.seek(member.info.header_offset)
        local = stream.read(LOCAL_HEADER_BYTES)
    if len(local) != LOCAL_HEADER_BYTES or local[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("an entry does not begin where the directory says")
    name_bytes, extra_bytes = struct.unpack("<HH", local[26:30])
    return member.info.header_offset + LOCAL_HEADER_BYTES + int(name_bytes) + int(extra_bytes)


def _labels(archive: zipfile.ZipFile, member: Member) -> npt.NDArray[np.int64]:
    """images x 1, or images x classes."""
    if member.dtype.kind not in "iub" or len(member.shape) not in (1, 2):
        raise DeployBenchError(
            f"{member.place} is an array of {member.dtype}, {member.shape}",
            expected="whole numbers: one an image, or 0 and 1 for each class",
        )
    if member.value_bytes > MOST_LABEL_BYTES:
        raise DeployBenchError(f"{member.place} has {member.value_bytes} bytes of labels")
    with archive.open(member.info) as stream:
        content = stream.read(member.info.file_size)
    values = np.frombuffer(content[member.header_bytes :], dtype=member.dtype)
    return values.reshape(member.shape[0], -1).astype(np.int64)


def _unlabelled(path: Path, source: ImageRows, splits: dict[str, str | None]) -> DataSet:
    examples = [
        Example(row_key(part, index), split=splits[part])
        for part, stored in source.parts.items()
        for index in range(stored.count)
    ]
    return DataSet(
        name=path.stem,
        form="NumPy .npz, images without labels",
        root=path,
        class_names=(),
        task="single-label",
        examples=tuple(examples),
        images=source,
    )


def _labelled(
    path: Path,
    source: ImageRows,
    splits: dict[str, str | None],
    tables: dict[str, npt.NDArray[np.int64]],
    options: DataOptions,
) -> DataSet:
    widths = {table.shape[1] for table in tables.values()}
    if len(widths) > 1:
        raise DeployBenchError(
            f"{path} has labels of {' and '.join(str(width) for width in sorted(widths))} columns",
            expected="as many in every split",
        )
    (width,) = widths
    notes: tuple[str, ...] = ()
    if width > 1 and all((table.sum(axis=1) == 1).all() for table in tables.values()):
        notes = (f"one-hot labels: of {width} classes every image has one",)
    examples: list[Example] = []
    if width == 1:
        numbers = {part: table[:, 0] for part, table in tables.items()}
        names = class_names_of_numbers(numbers, source.files, options.class_names)
    else:
        names = options.class_names or tuple(str(number) for number in range(width))
        _check_columns(path, tables, names, width)
    for part, table in tables.items():
        for index, row in enumerate(table):
            labels: tuple[int, ...] = (int(row[0]),)
            if width > 1:
                labels = tuple(int(number) for number in np.flatnonzero(row))
            examples.append(Example(row_key(part, index), labels=labels, split=splits[part]))
    return DataSet(
        name=path.stem,
        form="NumPy .npz (MedMNIST's form)",
        root=path,
        class_names=names,
        task="single-label" if width == 1 or notes else "multi-label",
        examples=tuple(examples),
        images=source,
        notes=notes,
    )


def _check_columns(
    path: Path, tables: dict[str, npt.NDArray[np.int64]], names: tuple[str, ...], width: int
) -> None:
    if len(names) != width:
        raise DeployBenchError(
            f"{path} has labels for {width} classes, and {len(names)} are named",
            expected=f"{width} names",
        )
    for part, table in tables.items():
        wrong = np.argwhere((table != 0) & (table != 1))
        if len(wrong):
            row, column = wrong[0]
            raise DeployBenchError(
                f"{path}, labels of {part}: image {row} has {table[row, column]} in column "
                f"{column}",
                expected="0 or 1 for each class",
            )
