"""Which files hold the weights: the file that was named, the one in a folder, or an index's shards.

Imports no torch: the key of an export is made without it.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Mapping
from pathlib import Path

from deploybench.artifacts.artifact import sha256_of_file
from deploybench.errors import DeployBenchError
from deploybench.untrusted import read_json

ACCEPTED = "a .safetensors, .pt, .pth or .bin file of weights, or a folder that holds one"
INDEX_SUFFIX = ".index.json"
USUAL_FILES = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
"""In a folder, the first of them that is there: safetensors before pickles."""
SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".tar", ".pkl")


def weights_file(path: Path) -> Path:
    """The file that holds the weights: the path itself, or the one of its kind in a folder.

    Raises DeployBenchError where there is none, or several of one kind.
    """
    if not path.is_dir():
        if not path.is_file():
            raise DeployBenchError(f"there is no checkpoint {path}", expected=ACCEPTED)
        return path
    for name in USUAL_FILES:
        if (path / name).is_file():
            return path / name
    entries = sorted(entry for entry in path.iterdir() if entry.is_file())
    if any(entry.suffix == ".distcp" for entry in entries):
        raise DeployBenchError(
            f"{path} is a checkpoint of torch.distributed, in pieces of several processes",
            expected=ACCEPTED,
            action="make one file of it: python -m torch.distributed.checkpoint.format_utils "
            f"dcp_to_torch {path} FILE",
        )
    indices = [entry for entry in entries if entry.name.endswith(INDEX_SUFFIX)]
    candidates = indices or [entry for entry in entries if entry.suffix in SUFFIXES]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        listed = ", ".join(entry.name for entry in sorted(path.iterdir())[:8]) or "nothing"
        raise DeployBenchError(
            f"the folder {path} holds no file of weights: it has {listed}",
            expected=ACCEPTED,
            action="pass the file itself",
        )
    listed = ", ".join(entry.name for entry in candidates[:8])
    raise DeployBenchError(
        f"the folder {path} holds several files of weights: {listed}",
        expected="one of them",
        action=f"pass the one that is meant: --checkpoint {candidates[0]}",
    )


def files_of(path: Path) -> list[Path]:
    """Every file that belongs to the weights: the file, or an index and its shards."""
    file = weights_file(path)
    if not file.name.endswith(INDEX_SUFFIX):
        return [file]
    shards = sorted(set(weight_map(file).values()))
    return [file, *(file.parent / shard for shard in shards)]


def sha256_of_weights(path: Path) -> str:
    """The hash of the file; of an index, of the names and hashes of all that belongs to it.

    Raises DeployBenchError as :func:`weights_file` does.
    """
    files = files_of(path)
    if len(files) == 1:
        return sha256_of_file(files[0])
    digest = hashlib.sha256()
    for file in files:
        if not file.is_file():
            raise DeployBenchError(
                f"{files[0]} names {file.name}, which is not there",
                expected="every shard beside the index",
                action="download the missing shard",
            )
        digest.update(f"{file.name}|{sha256_of_file(file)}|".encode())
    return digest.hexdigest()


def weight_map(index: Path) -> Mapping[str, str]:
    """The file of each tensor, by the tensor's name."""
    content = None
    with contextlib.suppress(ValueError):
        content = read_json(index)
    shard_of = None
    if isinstance(content, dict):
        shard_of = content.get("weight_map")
    if not isinstance(shard_of, dict) or not shard_of:
        raise DeployBenchError(
            f"{index} is no index of shards", expected="JSON with weight_map: {tensor: file}"
        )
    for shard in set(shard_of.values()):
        if not isinstance(shard, str) or Path(shard).name != shard:
            raise DeployBenchError(
                f"{index} names the file {shard!r}", expected="files beside the index"
            )
    return shard_of
