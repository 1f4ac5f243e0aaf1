"""The files that an ONNX graph keeps its weights in: each has to be one of the artifact's own.

A tensor may name a file instead of holding its values, and a runtime reads whatever that is:
``../../other/model.bin``, ``/etc/passwd``. The graph is read as what it is on disk, Protocol
Buffers, by the few fields that lead to tensors, because a target host may have a runtime and no
``onnx`` package. Values are passed over, so that a large graph takes no memory.

Sources: onnx.proto3 of ONNX 1.18 (numbers of fields), and the encoding of Protocol Buffers,
https://protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import mmap
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from deploybench.errors import DeployBenchError

ONNX_SUFFIX = ".onnx"
FIELDS: dict[str, dict[int, str]] = {
    "Model": {7: "Graph", 20: "TrainingInfo", 25: "Function"},
    "TrainingInfo": {1: "Graph", 2: "Graph"},
    "Function": {7: "Node", 11: "Attribute"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Node": {5: "Attribute"},
    "Attribute": {
        5: "Tensor",
        6: "Graph",
        10: "Tensor",
        11: "Graph",
        22: "SparseTensor",
        23: "SparseTensor",
    },
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {13: "ExternalData"},
}
"""By message, the fields that lead to where a tensor keeps its values: number and message."""
KEY, VALUE = 1, 2
"""The fields of an entry of external data."""
LOCATION = b"location"
VARINT, EIGHT_BYTES, LENGTH_DELIMITED, GROUP, END_GROUP, FOUR_BYTES = range(6)
"""Wire types; groups are not in use since 2008."""
LONGEST_VARINT = 10
"""Bytes: 64 bits, seven in each."""


def check_external_data(path: Path, name: str, listed: Collection[str]) -> None:
    """Refuse a graph that keeps weights in a file that is not listed.

    ``name`` is the graph's own below the artifact's folder, as ``listed`` are.

    Raises DeployBenchError also for a file that does not read as an ONNX graph.
    """
    try:
        locations = set(external_locations(path))
    except ValueError as error:
        raise DeployBenchError(
            f"{path} does not read as an ONNX graph: {error}",
            expected="a graph that an exporter wrote",
            action="export it again",
        ) from None
    for location in sorted(locations):
        wanted = PurePosixPath(name).parent / location
        if str(wanted) not in listed:
            raise DeployBenchError(
                f"{path} keeps weights in the file '{location}', which is none of the artifact's",
                expected="a file that the manifest lists",
                action="export it again, and do not run what leads elsewhere",
            )


def external_locations(path: Path) -> Iterator[str]:
    """The locations of all tensors that lie in other files, as the graph says them.

    Raises ValueError where the file does not read.
    """
    if path.stat().st_size == 0:
        raise ValueError("it is empty")
    with (
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
        memoryview(mapped) as content,
    ):
        waiting = [("Model", 0, len(content))]
        while waiting:
            message, start, end = waiting.pop()
            if message == "ExternalData":
                location = _location(content, start, end)
                if location is not None:
                    yield location
                continue
            inner = FIELDS[message]
            for number, begins, ends in _fields(content, start, end):
                if number in inner:
                    waiting.append((inner[number], begins, ends))


def _location(content: memoryview, start: int, end: int) -> str | None:
    """The value of an entry whose key is ``location``; None for another entry."""
    texts = {KEY: b"", VALUE: b""}
    for number, begins, ends in _fields(content, start, end):
        if number in texts:
            texts[number] = bytes(content[begins:ends])
    if texts[KEY] != LOCATION:
        return None
    return texts[VALUE].decode("utf-8", "surrogateescape")


def _fields(content: memoryview, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The length-delimited fields of a message: the number of each, its beginning and its end."""
    position = start
    while position < end:
        tag, position = _varint(content, position, end)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise ValueError(f"byte {position} begins no field")
        if wire_type == VARINT:
            _, position = _varint(content, position, end)
        elif wire_type == EIGHT_BYTES:
            position += 8
        elif wire_type == FOUR_BYTES:
            position += 4
        elif wire_type == LENGTH_DELIMITED:
            length, position = _varint(content, position, end)
            if position + length > end:
                raise ValueError(f"it ends within the field at byte {position}")
            yield number, position, position + length
            position += length
        else:
            raise ValueError(f"byte {position} begins no field of ONNX")
    if position != end:
        raise ValueError(f"it ends within the field at byte {position}")


def _varint(content: memoryview, position: int, end: int) -> tuple[int, int]:
    """The number that begins there, seven bits a byte from the lowest on, and where it ends."""
    value = 0
    for count in range(LONGEST_VARINT):
        if position >= end:
            raise ValueError("it ends within a number")
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return value, position
    raise ValueError(f"the number before byte {position} is too long")
