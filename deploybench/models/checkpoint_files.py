"""What a file of weights is, by its content and not by its name, and what it holds.

``.pth`` is the name of five formats, and of pages that a download wrote in place of one. What is no
checkpoint is named for what it is.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path

from deploybench.errors import DeployBenchError
from deploybench.models.torch_pickle import TorchFile, read_pickle, read_torch_zip
from deploybench.models.weights_folder import ACCEPTED, INDEX_SUFFIX, weight_map, weights_file
from deploybench.plurals import counted

SAVE_AGAIN = "save it again with torch.save(model.state_dict(), FILE) or as safetensors"
LONGEST_HEAD = 4096
FREELY_UNPACKED = 256 << 20
"""Bytes of an archive's content that are read whatever its size."""
MOST_TIMES = 2
"""Beyond that: so many times the archive at most. ``torch.save`` does not compress."""
MOST_CHARACTERS = 300
"""Of the cause of an error."""

STARTS: tuple[tuple[bytes, str, str], ...] = (
    (
        b"version https://git-lfs",
        "a Git LFS pointer: the weights themselves were not downloaded",
        "git lfs install && git lfs pull",
    ),
    (b"\x1f\x8b", "compressed by gzip", "unpack it: gunzip, or tar xzf, then pass the file in it"),
    (b"BZh", "compressed by bzip2", "unpack it with bunzip2"),
    (b"\xfd7zXZ", "compressed by xz", "unpack it with unxz"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "unpack it with unzstd"),
    (b"7z\xbc\xaf", "a 7z archive", "unpack it"),
    (b"Rar!", "a RAR archive", "unpack it"),
    (
        b"\x89HDF",
        "HDF5, as Keras writes its weights",
        "convert the weights to PyTorch, or export the Keras model to ONNX by its own tools",
    ),
    (
        b"\x93NUMPY",
        "one array of NumPy's (.npy)",
        "save the tensors by name: torch.save({name: tensor, ...}, FILE)",
    ),
    (b"GGUF", "GGUF, quantised weights for llama.cpp", "take the PyTorch weights of this model"),
    (b"%PDF", "a PDF document", "get the file of weights"),
    (b"\x89PNG", "a PNG image", "get the file of weights"),
    (b"\xff\xd8\xff", "a JPEG image", "get the file of weights"),
)
HTML_STARTS = (b"<!doctype html", b"<html", b"<head", b"<?xml")


def read_weights(path: Path) -> TorchFile:
    """What a file or folder of weights holds: nested data with tensors.

    Nothing that a file names is run, whatever the version of torch. Raises DeployBenchError that
    says what the file is where it holds no weights, or why it cannot be read.
    """
    file = path
    try:
        file = weights_file(path)
        if file.name.endswith(INDEX_SUFFIX):
            return _read_shards(file)
        return _read_file(file)
    except DeployBenchError:
        raise
    except PermissionError as error:
        raise DeployBenchError(
            f"{error.filename or file} cannot be read: {error.strerror}",
            action="check the permissions of the file and of the folders that it lies in",
        ) from None
    except (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, ValueError) as error:
        raise damaged(file, error) from None
    except Exception as error:  # pickles and safetensors of damaged files raise many kinds
        raise damaged(file, error) from None


def damaged(path: Path, error: BaseException) -> DeployBenchError:
    """The refusal of a file that is of a known format and does not read as it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = type(error).__name__
    if lines:
        cause += f": {lines[0]}"
    size = path.stat().st_size
    return DeployBenchError(
        f"{path} ({size} bytes) is damaged or truncated, nothing in it was executed: "
        f"{cause[:MOST_CHARACTERS]}",
        expected=ACCEPTED,
        action="copy or download it again, and compare its size with the original's",
    )


def _read_file(path: Path) -> TorchFile:
    with path.open("rb") as stream:
        head = stream.read(LONGEST_HEAD)
    if not head:
        raise _no_checkpoint(path, "empty (0 bytes)", "copy or download it again")
    for start, described, action in STARTS:
        if head.startswith(start):
            raise _no_checkpoint(path, described, action)
    if head.lstrip().lower().startswith(HTML_STARTS):
        raise _no_checkpoint(
            path,
            "a page of HTML or XML, as a download writes in place of a file that it may not have",
            "download the file of weights itself (behind a login, with a token)",
        )
    if head[257:262] == b"ustar":
        raise _no_checkpoint(
            path,
            "a tar archive (torch before 0.2 wrote checkpoints so, too; reading those runs code)",
            f"unpack it with tar xf and pass the file in it; if it is such a checkpoint, "
            f"{SAVE_AGAIN} in the torch that wrote it",
        )
    if head.startswith(b"PK\x03\x04"):
        return _read_zip(path)
    # Before pickles: the length of a short header may begin as they do.
    if _is_safetensors(path, head):
        from safetensors.torch import load_file

        return TorchFile(load_file(path))
    if head[:1] == b"\x80" and head[1] <= pickle.HIGHEST_PROTOCOL:
        return read_pickle(path)
    raise _unknown(path, head)


def _read_zip(path: Path) -> TorchFile:
    """An archive of ``torch.save``; another archive is named for what it is."""
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        unpacked = sum(info.file_size for info in archive.infolist())
    packed = path.stat().st_size
    if unpacked > max(FREELY_UNPACKED, MOST_TIMES * packed):
        raise DeployBenchError(
            f"{path} has {packed} bytes, and what it holds claims {unpacked}",
            expected="an archive of torch.save, which holds tensors as they are",
            action=SAVE_AGAIN,
        )
    if not names:
        raise _no_checkpoint(path, "an empty zip archive", "copy or download it again")
    if any(name.endswith("constants.pkl") for name in names):
        raise _no_checkpoint(
            path,
            "a TorchScript archive: a program with its weights, and reading it runs code",
            "save the weights alone: torch.save(torch.jit.load(FILE).state_dict(), OTHER), where "
            "you trust the file",
        )
    roots = [name[: -len("data.pkl")] for name in names if name.endswith("data.pkl")]
    if len(roots) == 1:
        return read_torch_zip(path, roots[0])
    if all(name.endswith(".npy") for name in names):
        described = "arrays of NumPy's (.npz)"
        action = "save them as tensors by name: torch.save({name: tensor, ...}, FILE)"
    elif any(name.endswith("model.weights.h5") for name in names):
        described = "a Keras model (.keras)"
        action = "convert the weights to PyTorch, or export the model to ONNX by Keras' tools"
    elif any(name.endswith(("archive_format", "models/model.json")) for name in names):
        described = "a program of torch.export (.pt2), with its weights"
        action = "save the weights alone: torch.save(model.state_dict(), FILE)"
    else:
        listed = ", ".join(names[:4])
        described = f"a zip archive that torch did not write (it holds {listed})"
        action = "unpack it and pass the file of weights in it"
    raise _no_checkpoint(path, described, action)


def _is_safetensors(path: Path, head: bytes) -> bool:
    """The length of a header of JSON in 8 bytes, and the header."""
    if len(head) < 9 or head[8:9] != b"{":
        return False
    (length,) = struct.unpack("<Q", head[:8])
    # A header longer than the file is of a truncated one, if its name says that it is one.
    return length <= path.stat().st_size or path.suffix == ".safetensors"


def _unknown(path: Path, head: bytes) -> DeployBenchError:
    """The refusal of a file that begins like no format of weights."""
    if path.suffix == ".onnx" or (head[:1] == b"\x08" and b"\x12" in head[2:4]):
        return _no_checkpoint(
            path,
            "an ONNX file: a graph with its weights, not a checkpoint",
            "pass the PyTorch checkpoint that it was exported from",
        )
    if head[4:8] == b"TFL3":
        return _no_checkpoint(path, "a TensorFlow Lite model", "pass the PyTorch checkpoint")
    text = head.decode("utf-8", errors="replace").strip()
    if text[:1] in ("{", "["):
        return _no_checkpoint(
            path,
            "JSON",
            "pass the file of weights beside it; an index of shards is named *.safetensors"
            f"{INDEX_SUFFIX}",
        )
    if text.isprintable() or "�" not in text:
        return _no_checkpoint(path, f"text: {text[:60]!r}", "pass the file of weights")
    return _no_checkpoint(
        path,
        f"of no format of weights that is known here: it begins with {head[:8].hex(' ')}",
        SAVE_AGAIN,
    )


def _no_checkpoint(path: Path, described: str, action: str) -> DeployBenchError:
    return DeployBenchError(
        f"{path} is no checkpoint but {described}", expected=ACCEPTED, action=action
    )


def _read_shards(index: Path) -> TorchFile:
    """The tensors of all shards that an index names; each has to be in the shard that it says."""
    shard_of = weight_map(index)
    tensors: dict[str, object] = {}
    kinds: set[str] = set()
    for shard in sorted(set(shard_of.values())):
        path = index.parent / shard
        if not path.is_file():
            raise DeployBenchError(
                f"{index} names {shard}, which is not there",
                expected="every shard beside the index",
                action="download the missing shard",
            )
        read = read_weights(path)
        if not isinstance(read.content, Mapping):
            raise DeployBenchError(f"{path} holds no tensors by name")
        tensors |= read.content
        kinds |= set(read.kinds)
    lost = [name for name in shard_of if name not in tensors]
    if lost:
        raise DeployBenchError(
            f"the shards of {index} lack {counted(len(lost), 'tensor')} that it names, such as "
            f"{lost[0]}",
            action="download the shards again",
        )
    return TorchFile(tensors, sorted(kinds))
