"""Reads what ``torch.save`` or ``pickle`` wrote, and runs nothing that the file names.

A pickle is a program: it names functions and calls them. ``torch.load(weights_only=True)`` was to
keep it from that, and did not before 2.6 (CVE-2025-32434: TorchScript archives, tar files). Here
the unpickler is given nothing to call but what puts data together
(:mod:`deploybench.data.inert_pickle`): containers, and the methods below that note down where in
the file a tensor lies. So training checkpoints are read as people have them, on every version of
torch, and no code of theirs is imported or run.

A file that names what acts on the machine (``os.system``) is refused all the same: it is no
checkpoint, whatever else it holds.
"""

from __future__ import annotations

import io
import pickle
import sys
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import torch

from deploybench.data.inert_pickle import InertUnpickler
from deploybench.errors import DeployBenchError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
"""The first number of a file that ``torch.save`` wrote before 1.6, or without its zip format."""
STORAGE_TYPES: Mapping[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexDoubleStorage": torch.complex128,
    "ComplexFloatStorage": torch.complex64,
    "UntypedStorage": torch.uint8,
    # Of quantised tensors, which are recognised and refused where they would be loaded.
    "QInt8Storage": torch.int8,
    "QUInt8Storage": torch.uint8,
    "QInt32Storage": torch.int32,
}
EXPECTED = "a state dict of tensors"
ACTION = (
    "do not load this file with torch.load or pickle; get it from where it came from again, or "
    "save it with torch.save(model.state_dict(), FILE)"
)
MOST_ELEMENTS_OF_A_VIEW = 1 << 26
"""A view may repeat what is stored (a stride of 0); this keeps a file of a few bytes from asking
for terabytes."""


@dataclass(frozen=True)
class StoredTensor:
    """A tensor that lies in a file and was not read yet."""

    storage: Storage
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    """In elements from the start of the storage."""
    quantised: bool = False

    def read(self) -> torch.Tensor:
        """Raises ValueError where the file does not hold what it says."""
        raw = self.storage.read()
        if raw.numel() % self.dtype.itemsize:
            raise ValueError("a storage is no whole number of elements long")
        flat = raw.view(self.dtype)
        elements = 1
        for size in self.shape:
            elements *= size
        if elements > max(flat.numel(), MOST_ELEMENTS_OF_A_VIEW):
            raise ValueError(f"a tensor of {elements} elements in a storage of {flat.numel()}")
        try:
            return flat.as_strided(self.shape, self.stride, self.offset)
        except RuntimeError as error:  # sizes that reach beyond the storage
            raise ValueError(str(error)) from None


class Storage(Protocol):
    """The bytes that tensors are views of."""

    @property
    def dtype(self) -> torch.dtype: ...

    def read(self) -> torch.Tensor:
        """The bytes, as a tensor of uint8."""


@dataclass
class ZipStorage:
    """A storage that is an entry of an archive."""

    path: Path
    entry: str
    dtype: torch.dtype

    def read(self) -> torch.Tensor:
        with zipfile.ZipFile(self.path) as archive:
            content = bytearray(archive.read(self.entry))  # checks the entry's checksum, too
        if not content:
            return torch.empty(0, dtype=torch.uint8)
        return torch.frombuffer(content, dtype=torch.uint8)


@dataclass
class LegacyStorage:
    """A storage of the format before zip; ``start`` is known once the whole pickle was read."""

    stream_of: Callable[[], BinaryIO]
    dtype: torch.dtype
    size_bytes: int
    start: int | None = None

    def read(self) -> torch.Tensor:
        if self.start is None:
            raise ValueError("a tensor refers to a storage that the file does not hold")
        with self.stream_of() as stream:
            stream.seek(self.start)
            content = bytearray(stream.read(self.size_bytes))
        if len(content) != self.size_bytes:
            raise ValueError("the file ends within a tensor")
        if not content:
            return torch.empty(0, dtype=torch.uint8)
        return torch.frombuffer(content, dtype=torch.uint8)


@dataclass
class TorchFile:
    """What a file holds, with every object that is no plain data left inert."""

    content: object
    kinds: list[str] = field(default_factory=list)
    """The classes and functions that the file names and that were neither imported nor called."""


class _Unpickler(InertUnpickler):
    """Puts together tensors as well, without reading them."""

    def __init__(
        self, stream: BinaryIO, path: Path, storage_of: Callable[[tuple[Any, ...]], Storage] | None
    ) -> None:
        super().__init__(stream, path, expected=EXPECTED, action=ACTION)
        self.storage_of = storage_of

    def data_for(self, module: str, name: str) -> object | None:
        if (module, name) == ("torch", "Size"):
            return tuple
        if module in ("torch", "torch.storage") and name in STORAGE_TYPES:
            return STORAGE_TYPES[name]
        if module == "torch" and isinstance(getattr(torch, name, None), torch.dtype):
            dtype: object = getattr(torch, name)
            return dtype
        # Methods, not functions: a pickle may set attributes of what it names, and of a method it
        # cannot.
        puts_together: dict[tuple[str, str], object] = {
            ("torch._utils", "_rebuild_tensor"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v2"): self._tensor,
            ("torch._utils", "_rebuild_tensor_v3"): self._tensor_of_dtype,
            ("torch._utils", "_rebuild_qtensor"): self._quantised,
            ("torch._utils", "_rebuild_parameter"): self._first,
            ("torch._utils", "_rebuild_parameter_with_state"): self._first,
            ("torch._tensor", "_rebuild_from_type_v2"): self._of_type,
            ("torch.storage", "_load_from_bytes"): self._storage_in_bytes,
        }
        return puts_together.get((module, name))

    def persistent_load(self, pid: Any) -> object:
        if isinstance(pid, tuple) and pid[:1] == ("module",):
            return pid[1]  # a module's class, which the older format writes with its source code
        if self.storage_of is None or not isinstance(pid, tuple) or pid[:1] != ("storage",):
            raise pickle.UnpicklingError("a reference that is no tensor's storage")
        return self.storage_of(pid)

    def _tensor(
        self, storage: Storage, offset: int, size: Any, stride: Any, *_: object
    ) -> StoredTensor:
        return StoredTensor(storage, storage.dtype, tuple(size), tuple(stride), offset)

    def _tensor_of_dtype(
        self, storage: Storage, offset: int, size: Any, stride: Any, *further: object
    ) -> StoredTensor:
        dtype = further[2]  # after whether it wants a gradient, and its hooks
        if not isinstance(dtype, torch.dtype):
            raise pickle.UnpicklingError("a tensor without a dtype")
        return StoredTensor(storage, dtype, tuple(size), tuple(stride), offset)

    def _quantised(
        self, storage: Storage, offset: int, size: Any, stride: Any, *_: object
    ) -> StoredTensor:
        return StoredTensor(storage, storage.dtype, tuple(size), tuple(stride), offset, True)

    def _first(self, tensor: object, *_: object) -> object:
        """A parameter is its tensor."""
        return tensor

    def _of_type(self, rebuild: Any, _: object, arguments: Any, state: object) -> object:
        """A tensor of a subclass, or with attributes: the tensor that it is made of."""
        if getattr(rebuild, "__self__", None) is not self:
            return None
        return rebuild(*arguments)

    def _storage_in_bytes(self, content: bytes) -> object:
        """What ``pickle.dumps`` writes of a storage: a file of ``torch.save`` within the file."""
        return _read_legacy(lambda: io.BytesIO(content), self.path).content


def read_torch_zip(path: Path, root: str) -> TorchFile:
    """The content of an archive of ``torch.save`` whose entries lie in the folder ``root``."""
    with zipfile.ZipFile(path) as archive:
        names = set(archive.namelist())
        order = f"{root}byteorder"
        if order in names and archive.read(order).decode() != sys.byteorder:
            raise DeployBenchError(
                f"{path} was written on a machine of the other byte order",
                action="save it again as safetensors on that machine",
            )
        pickled = archive.read(f"{root}data.pkl")

    def storage_of(pid: tuple[Any, ...]) -> Storage:
        _, dtype, key, _, _ = pid
        entry = f"{root}data/{key}"
        if entry not in names:
            raise pickle.UnpicklingError(f"the archive lacks {entry}")
        return ZipStorage(path, entry, dtype)

    unpickler = _Unpickler(io.BytesIO(pickled), path, storage_of)
    content = unpickler.load()
    return TorchFile(content, sorted(unpickler.kinds))


def read_pickle(path: Path) -> TorchFile:
    """The content of a file that ``torch.save`` wrote before zip, or that is one plain pickle."""
    return _read_legacy(lambda: path.open("rb"), path)


def _read_legacy(stream_of: Callable[[], BinaryIO], path: Path) -> TorchFile:
    """A legacy file is five pickles and the storages.

    The pickles are: the magic number, a version, facts of the machine, the content, and the keys of
    the storages in the order in which they follow, each with its number of elements before it.
    """
    with stream_of() as stream:
        first = _Unpickler(stream, path, None)
        content = first.load()
        if content != LEGACY_MAGIC:
            return TorchFile(content, sorted(first.kinds))
        _Unpickler(stream, path, None).load()
        machine = _Unpickler(stream, path, None).load()
        little = not isinstance(machine, dict) or machine.get("little_endian", True)
        if little != (sys.byteorder == "little"):
            raise pickle.UnpicklingError("it was written on a machine of the other byte order")

        storages: dict[str, LegacyStorage] = {}

        def storage_of(pid: tuple[Any, ...]) -> Storage:
            _, dtype, key, _, elements, *view = pid
            if any(view):
                raise pickle.UnpicklingError("storages that are views of others are not read")
            if key not in storages:
                storages[key] = LegacyStorage(stream_of, dtype, elements * dtype.itemsize)
            return storages[key]

        unpickler = _Unpickler(stream, path, storage_of)
        content = unpickler.load()
        keys = _Unpickler(stream, path, None).load()
        for key in keys:
            storage = storages[key]
            stream.seek(8, io.SEEK_CUR)  # the number of elements, as a 64-bit integer
            storage.start = stream.tell()
            stream.seek(storage.size_bytes, io.SEEK_CUR)
        return TorchFile(content, sorted(unpickler.kinds))
