"""Checkpoints that act, or that unpack to more than there is memory. And records by two writers."""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import shutil
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from deploybench.artifacts.pack import read_pack
from deploybench.artifacts.workspace import Workspace
from deploybench.errors import DeployBenchError
from deploybench.models.checkpoint import load_state, read_checkpoint
from deploybench.models.checkpoint_files import read_weights
from deploybench.results.store import read_records, write_record
from tests.attacks.hostile import a_device, a_pipe, attack
from tests.comparisons import record

KIND = "Checkpoints"
TIMES = 60


class Acting:
    """What a pickle may do to who loads it."""

    def __init__(self, sign: Path) -> None:
        self.sign = sign

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (f"touch {self.sign}",)


@attack(
    KIND,
    "a pickle that runs a command when it is loaded",
    "refused by torch of 2.6 and later",
    "refused on every torch: 'nothing in it was executed'",
)
def test_pickle_that_acts_is_not_loaded(tmp_path: Path) -> None:
    sign = tmp_path / "it-ran"
    path = tmp_path / "weights.pth"
    path.write_bytes(pickle.dumps({"weight": Acting(sign)}, 2))
    with pytest.raises(DeployBenchError):
        read_weights(path)
    assert not sign.exists()


@attack(
    KIND,
    "weights that are NaN or infinite: one number among them is enough",
    "exported; refused by parity, without the cause",
    "refused before anything is built: 'holds NaN or Inf in 1 tensor', with its name",
)
@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_weights_that_are_no_numbers(suffix: str, number: float, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    weights = model.state_dict()
    weights["1.weight"][0, 2] = number
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pth":
        torch.save(weights, path)
    else:
        save_file(weights, path)
    with pytest.raises(DeployBenchError) as refusal:
        load_state(
            model, read_checkpoint(path), allow_partial=False, example=lambda: torch.zeros(1, 3)
        )
    assert "holds NaN or Inf in 1 tensor: 1.weight" in refusal.value.found
    assert "choose an earlier checkpoint" in (refusal.value.action or "")


@pytest.mark.timeout(60)
@attack(
    KIND,
    "an archive of 3 MB that unpacks to 3 GB of pickle, or of tensor",
    "unpacked into memory, by the code that read it",
    "refused before it is unpacked: 'what it holds claims'",
)
@pytest.mark.parametrize("entry", ["a/data.pkl", "a/data/0"])
def test_archive_that_would_fill_the_memory(entry: str, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open(entry, "w") as stream:
            for _ in range(260):
                stream.write(b"]" * (1 << 20))
        if entry != "a/data.pkl":
            archive.writestr("a/data.pkl", pickle.dumps({}, 2))
    with pytest.raises(DeployBenchError, match="what it holds claims"):
        read_weights(path)


@pytest.mark.timeout(60)
@attack(
    KIND,
    "a length of an exabyte, a number of two million digits, a pipe, a device",
    "refused",
    "refused in words",
)
def test_checkpoints_that_promise_what_is_not_there(tmp_path: Path) -> None:
    contents = {
        "long.pth": b"\x80\x02\x8b" + struct.pack("<i", 2_000_000_000) + b"\x01.",
        "digits.pth": b"\x80\x02L" + b"9" * 2_000_000 + b"L\n.",
        "header.safetensors": struct.pack("<Q", 1 << 60) + b"{}",
        "deep.safetensors": struct.pack("<Q", 100_000) + b"[" * 100_000,
        "shape.safetensors": struct.pack("<Q", 80)
        + b'{"a":{"dtype":"F32","shape":[1000000000,1000000000],"data_offsets":[0,4]}}'.ljust(80),
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DeployBenchError):
            read_weights(tmp_path / name)
    for name, make in (("pipe.pth", a_pipe), ("zero.pth", a_device)):
        make(tmp_path / name)
        with pytest.raises(DeployBenchError, match="there is no checkpoint"):
            read_weights(tmp_path / name)


@attack(
    "Archives",
    "a pack of 4 MiB whose 200 entries are the same bytes: 800 MiB unpacked",
    "unpacked: 800 MiB on the disk",
    "refused before anything is unpacked: 'its entries claim 838860800 bytes'",
)
def test_pack_of_overlapping_entries(tmp_path: Path) -> None:
    path = tmp_path / "x.dbpack"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/a/file0", bytes(4 << 20))
    content = path.read_bytes()
    directory, end = content.find(b"PK\x01\x02"), content.rfind(b"PK\x05\x06")
    entry = content[directory:end]
    entries = b"".join(entry.replace(b"m/a/file0", b"m/a/f%04d" % number) for number in range(200))
    tail = bytearray(content[end:])
    struct.pack_into("<HHII", tail, 8, 200, 200, len(entries), directory)
    path.write_bytes(content[:directory] + entries + bytes(tail))
    with pytest.raises(DeployBenchError, match="claim 838860800 bytes"):
        read_pack(path, Workspace(tmp_path))
    assert not (tmp_path / "artifacts").exists()


def write_many(folder: Path, median_ms: float) -> None:
    """Write the record of one cell again and again."""
    made = record([median_ms])
    for _ in range(TIMES):
        write_record(made, folder)


@attack(
    "Several at once",
    "two processes write the record of one cell 60 times each, and somebody reads it",
    "whole at every look",
    "whole at every look, its seal too",
)
def test_two_writers_of_one_record_never_leave_a_torn_one(tmp_path: Path) -> None:
    write_record(record([10.0]), tmp_path)
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write_many, args=(tmp_path, ms)) for ms in (10.0, 20.0)]
    for writer in writers:
        writer.start()
    looks = 0
    while any(writer.is_alive() for writer in writers):
        (read,) = read_records(tmp_path)
        assert read.seal
        looks += 1
    assert [writer.exitcode for writer in writers] == [0, 0]
    assert looks > 0
    assert len(list(tmp_path.iterdir())) == 1
    shutil.rmtree(tmp_path)


def test_pickle_that_notes_an_object_down_far_beyond_its_length_takes_no_memory(
    tmp_path: Path,
) -> None:
    path = tmp_path / "weights.pth"
    path.write_bytes(b"\x80\x02}r\xff\xff\xff\x7f.")
    with pytest.raises(DeployBenchError, match="is noted down in 9 bytes"):
        read_checkpoint(path)
