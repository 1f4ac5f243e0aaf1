"""A dictionary with one NumPy array in a pickle, as CIFAR's files are; nothing in it is run."""

from __future__ import annotations

import io
import mmap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploybench.data.inert_pickle import Inert, InertUnpickler
from deploybench.data.unpacked import unpacked
from deploybench.errors import DeployBenchError
from deploybench.untrusted import open_regular

MOST_BYTES = 1 << 31
"""A pickle has to be read whole; CIFAR-100's is of 155 MB."""
BYTES = ("u1", "|u1")


@dataclass(frozen=True)
class PickledRows:
    """An array of bytes in a pickle: where its values lie, row after row."""

    path: Path
    offset: int
    rows: int
    columns: int


def read_pickled(path: Path) -> Mapping[str, Any]:
    """The dictionary of a pickle; what is no plain data in it is inert.

    The whole file is in memory meanwhile. Raises DeployBenchError for anything else, and for a
    file that names what acts on the machine.
    """
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise damaged(path, f"it has {size} bytes")
    try:
        with open_regular(path) as stream:
            unpickler = InertUnpickler(
                stream,
                path,
                expected="a batch of CIFAR as it was published",
                action="do not load this file with pickle; get it from where it came from again",
            )
            content = unpickler.load()
    except DeployBenchError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise damaged(path, str(error) or type(error).__name__) from None
    if not isinstance(content, dict):
        raise damaged(path, f"it holds a {type(content).__name__}")
    return {_text(key): value for key, value in content.items()}


def _text(key: object) -> str:
    if isinstance(key, bytes):
        return key.decode("latin1")
    return str(key)


def rows_of(path: Path, value: object) -> PickledRows:
    """Where the rows of a pickled array of bytes lie. Raises DeployBenchError.

    A pickle of Python 2, as CIFAR's are, has them as they are; they are read from there. In one
    that writes them as text they are unpacked.
    """
    if not isinstance(value, Inert):
        raise damaged(path, "what it calls data is no NumPy array")
    parts = _parts(value)
    if parts is None:
        raise damaged(path, "what it calls data is no NumPy array, or has no values")
    shape, dtype, by_columns, content = parts
    of_bytes = isinstance(dtype, Inert) and dtype.arguments[:1] and dtype.arguments[0] in BYTES
    if not of_bytes or by_columns or not isinstance(shape, tuple) or len(shape) != 2:
        raise damaged(path, f"its array has the shape {shape}, or is not of bytes row by row")
    stored = _bytes(content)
    rows, columns = shape
    if not all(isinstance(size, int) and size > 0 for size in shape):
        raise damaged(path, f"its array has the shape {shape}")
    if stored is None or len(stored) != rows * columns:
        raise damaged(path, f"its array of shape {shape} lacks values")
    with (
        open_regular(path) as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as file,
    ):
        offset = file.find(stored)
    if offset >= 0:
        return PickledRows(path, offset, rows, columns)
    copy = unpacked(
        path, "data", len(stored), path.stat().st_size, lambda: io.BytesIO(stored or b"")
    )
    return PickledRows(copy, 0, rows, columns)


def _parts(array: Inert) -> tuple[object, object, bool, object] | None:
    """(shape, dtype, whether it lies column by column, values) of an array, as NumPy pickles it:
    with a state up to protocol 4, from a buffer from 5 on."""
    if array.kind.endswith("multiarray._reconstruct"):
        if not isinstance(array.state, tuple) or len(array.state) != 5:
            return None
        _, shape, dtype, fortran, content = array.state
        return shape, dtype, bool(fortran), content
    if array.kind.endswith("numeric._frombuffer") and len(array.arguments) == 4:
        content, dtype, shape, order = array.arguments
        return shape, dtype, order != "C", content
    return None


def _bytes(content: object) -> bytes | None:
    """Bytes, as Python 3 writes them, and Python 2, and Python 3 for Python 2."""
    if isinstance(content, Inert) and content.kind == "_codecs.encode" and content.arguments:
        content = content.arguments[0]
    if isinstance(content, str):
        try:
            return content.encode("latin1")
        except UnicodeEncodeError:
            return None
    if isinstance(content, (bytes, bytearray)):
        return bytes(content)
    return None


def damaged(path: Path, why: str) -> DeployBenchError:
    """The refusal of a pickle that does not hold what it should."""
    return DeployBenchError(
        f"{path} does not read as a batch of CIFAR: {why}; nothing in it was executed",
        expected="a dictionary with the array 'data' and the list 'labels' or 'fine_labels'",
        action="copy or download it again",
    )
