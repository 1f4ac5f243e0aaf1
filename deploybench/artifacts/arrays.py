"""Arrays of an ``.npz`` that came from elsewhere, read within limits.

An archive of 2 MB may unpack to gigabytes, and an array's own header may promise more than any
memory holds. Both are known before anything is unpacked: what an entry takes packed and unpacked
stands in the archive's directory, and an array has exactly the bytes that its header says.
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.untrusted import open_regular

MOST_ARRAYS = 1000
FREELY_UNPACKED = 256 << 20
"""Bytes that are unpacked whatever the file's size."""
MOST_TIMES = 20
"""Beyond that: so many times the file at most. Numbers of a model shrink by little."""


def read_arrays(path: Path, names: Collection[str] | None = None) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an ``.npz`` by name; of these ``names`` only, where some are given.

    Nothing in it is run. Raises DeployBenchError for what is no such file, lacks a name, unpacks to
    far more than it is, or holds an array that is not what its header says.
    """
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            return _read(path, archive, names)
    except DeployBenchError:
        raise
    except Exception as error:  # a damaged archive may raise anything
        raise _refusal(path, str(error) or type(error).__name__) from None


def array_names(path: Path) -> list[str]:
    """The names of the arrays. Raises DeployBenchError for what is no such file."""
    try:
        with open_regular(path) as stream, zipfile.ZipFile(stream) as archive:
            return [name.removesuffix(".npy") for name in archive.namelist()]
    except Exception as error:  # a damaged archive may raise anything
        raise _refusal(path, str(error) or type(error).__name__) from None


def _read(
    path: Path, archive: zipfile.ZipFile, names: Collection[str] | None
) -> dict[str, npt.NDArray[Any]]:
    entries = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
    if len(entries) > MOST_ARRAYS:
        raise _refusal(path, f"it holds {counted(len(entries), 'array')}")
    wanted = entries
    if names is not None:
        lacking = [name for name in names if name not in entries]
        if lacking:
            raise _refusal(path, f"it lacks the array {lacking[0]}")
        wanted = {name: entries[name] for name in names}
    unpacked = sum(info.file_size for info in wanted.values())
    packed = path.stat().st_size
    if unpacked > max(FREELY_UNPACKED, MOST_TIMES * packed):
        raise _refusal(path, f"it would unpack from {packed} to {unpacked} bytes")
    return {name: _array(path, archive, name, info) for name, info in wanted.items()}


def _array(
    path: Path, archive: zipfile.ZipFile, name: str, info: zipfile.ZipInfo
) -> npt.NDArray[Any]:
    with archive.open(info) as stream:
        shape, dtype = _header(stream)
        values = info.file_size - stream.tell()
    if dtype.hasobject:
        raise _refusal(path, f"{name} holds Python objects, which only running code would read")
    if min(shape, default=1) < 0 or math.prod(shape) * dtype.itemsize != values:
        raise _refusal(path, f"{name} has {values} bytes of values, and is said to be {shape}")
    with archive.open(info) as stream:
        array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _header(stream: Any) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and the type that an array's header tells; the stream stands at its values then."""
    version = np.lib.format.read_magic(stream)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    return shape, dtype


def _refusal(path: Path, why: str) -> DeployBenchError:
    return DeployBenchError(
        f"{path} does not read as a file of arrays: {why}",
        expected="what numpy.savez writes",
        action="export again, or copy it again",
    )
