"""Files as people have them in place of a checkpoint: each form writes one, and says what is in it.

``LOADED`` are forms that hold the weights of :func:`trained`; ``REFUSED`` those that hold none, or
none that can be meant.
"""

from __future__ import annotations

import argparse
import datetime
import gzip
import io
import json
import pickle
import tarfile
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

Tensors = dict[str, torch.Tensor]
Form = Callable[[Path], Path]


class Block(nn.Module):
    """A convolution with its norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(images))


class Network(nn.Module):
    """A network with an auxiliary head that training alone uses."""

    def __init__(self, *, auxiliary: bool = False) -> None:
        super().__init__()
        self.stem = Block()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.aux = nn.Linear(4, 3) if auxiliary else None
        self.fc = nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features = self.stem(images).mean(dim=(2, 3))
        for layer in self.layers:
            features = layer(features).relu()
        if self.training and self.aux is not None:
            return self.fc(features) + self.aux(features)
        return self.fc(features)


def seeded(seed: int, *, auxiliary: bool = False) -> Network:
    torch.manual_seed(seed)
    network = Network(auxiliary=auxiliary)
    network(torch.randn(8, 3, 8, 8))  # the norm's statistics are those of some training
    return network.eval()


def trained() -> Tensors:
    """The weights that are meant."""
    return dict(seeded(1).state_dict())


def raw() -> Tensors:
    """Those of the same network without averaging, or of its student: not the ones meant."""
    return dict(seeded(2).state_dict())


def under(prefix: str, state: Tensors) -> Tensors:
    return {prefix + key: value for key, value in state.items()}


def renamed(old: str, new: str, state: Tensors) -> Tensors:
    return {key.replace(old, new, 1): value for key, value in state.items()}


def saved(content: object, name: str = "c.pth", zipped: bool = True) -> Form:
    def write(folder: Path) -> Path:
        torch.save(content, folder / name, _use_new_zipfile_serialization=zipped)
        return folder / name

    return write


def written(content: bytes, name: str = "c.pth") -> Form:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def optimiser() -> dict[str, object]:
    network = seeded(2)
    optimiser = torch.optim.Adam(network.parameters())
    network(torch.randn(2, 3, 8, 8)).sum().backward()
    optimiser.step()
    return optimiser.state_dict()


def parameters_of(state: Tensors) -> Tensors:
    learnt = dict(seeded(1).named_parameters())
    return {key: value for key, value in state.items() if key in learnt}


def cast(state: Tensors, dtype: torch.dtype) -> Tensors:
    """The state in another dtype, but for what counts."""
    return {
        key: value.to(dtype) if value.is_floating_point() else value for key, value in state.items()
    }


def without(part: str, state: Tensors) -> Tensors:
    return {key: value for key, value in state.items() if part not in key}


def safetensors_named(name: str) -> Form:
    def write(folder: Path) -> Path:
        save_file(trained(), folder / name)
        return folder / name

    return write


def sharded(folder: Path) -> Path:
    """Two shards of safetensors with their index, as transformers writes large models."""
    weight_map = {}
    shards: dict[str, Tensors] = {"model-1.safetensors": {}, "model-2.safetensors": {}}
    for number, (key, value) in enumerate(trained().items()):
        name = f"model-{1 + number % 2}.safetensors"
        shards[name][key] = value
        weight_map[key] = name
    for name, tensors in shards.items():
        save_file(tensors, folder / name)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return index


def sharded_folder(folder: Path) -> Path:
    sharded(folder)
    return folder


def sharded_pickles(folder: Path) -> Path:
    torch.save(trained(), folder / "pytorch_model-1.bin")
    weight_map = dict.fromkeys(trained(), "pytorch_model-1.bin")
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def lost_shard(folder: Path) -> Path:
    index = sharded(folder)
    (folder / "model-2.safetensors").unlink()
    return index


def plain_pickle(folder: Path) -> Path:
    (folder / "c.pkl").write_bytes(pickle.dumps(trained()))
    return folder / "c.pkl"


def arrays_in_a_pickle(folder: Path) -> Path:
    """As detectron2's model zoo has them."""
    arrays = {key: value.numpy() for key, value in trained().items()}
    (folder / "c.pkl").write_bytes(pickle.dumps({"model": arrays}))
    return folder / "c.pkl"


def truncated(folder: Path) -> Path:
    path = saved(trained())(folder)
    path.write_bytes(path.read_bytes()[:-200])
    return path


def truncated_safetensors(folder: Path) -> Path:
    path = safetensors_named("c.safetensors")(folder)
    path.write_bytes(path.read_bytes()[:-20])
    return path


def torchscript(folder: Path) -> Path:
    torch.jit.script(nn.Linear(2, 2)).save(str(folder / "c.pt"))  # type: ignore[no-untyped-call]
    return folder / "c.pt"


def zipped(folder: Path) -> Path:
    with zipfile.ZipFile(folder / "c.zip", "w") as archive:
        archive.writestr("readme.txt", "weights")
    return folder / "c.zip"


def arrays(folder: Path) -> Path:
    np.savez(folder / "c.npz", **{key: value.numpy() for key, value in trained().items()})
    return folder / "c.npz"


def tar(folder: Path) -> Path:
    """As torch before 0.2 wrote checkpoints: reading it was one of the ways to run code."""
    with tarfile.open(folder / "c.pth", "w") as archive:
        content = pickle.dumps(Acting())
        for name in ("sys_info", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return folder / "c.pth"


class Acting:
    """A pickle that runs a command when it is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        import os

        return (os.system, ("touch executed",))


class Setting:
    """An object of the user's own code, as configurations are."""

    def __init__(self) -> None:
        self.width = 3


def several_files(folder: Path) -> Path:
    torch.save(trained(), folder / "last.pth")
    torch.save(raw(), folder / "best.pth")
    return folder


def dead_folder(folder: Path) -> Path:
    (folder / "readme.txt").write_text("weights")
    return folder


def lightning() -> dict[str, object]:
    """With what people save as hyper-parameters: paths, numpy scalars, dates, objects."""
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {
            **under("model.", trained()),
            "loss_fn.weight": torch.ones(3),
            "val_accuracy.total": torch.tensor(3),
        },
        "optimizer_states": [optimiser()],
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.5)}},
        "hyper_parameters": OrderedDict(
            data=Path("data"),
            rate=np.float64(0.1),
            started=datetime.datetime(2026, 1, 1),
            seen=defaultdict(list, {"a": [1]}),
            setting=Setting(),
        ),
    }


def timm_own() -> dict[str, object]:
    return {
        "epoch": 3,
        "arch": "resnet50",
        "state_dict": under("module.", raw()),
        "state_dict_ema": trained(),
        "optimizer": optimiser(),
        "args": argparse.Namespace(lr=0.1, output=Path("out")),
        "metric": np.float64(0.5),
    }


def torchvision_own() -> dict[str, object]:
    return {
        "model": raw(),
        "model_ema": {"n_averaged": torch.tensor(3), **under("module.", trained())},
        "optimizer": optimiser(),
        "lr_scheduler": {"last_epoch": 3},
        "epoch": 3,
        "args": argparse.Namespace(data_path="data"),
    }


INTEGER_HEAD = {**trained(), "fc.weight": torch.ones(3, 4, dtype=torch.int8)}
COMPLEX_HEAD = {**trained(), "fc.weight": torch.ones(3, 4, dtype=torch.complex64)}
QUANTISED_HEAD = {
    **trained(),
    "fc.weight": torch.quantize_per_tensor(torch.ones(3, 4), 0.1, 0, torch.qint8),
}
EIGHT_BITS = {**trained(), "fc.weight": torch.ones(3, 4).to(torch.float8_e4m3fn)}
DIVERGED = {**trained(), "fc.weight": torch.full((3, 4), float("nan"))}
OVERFLOWN = {**trained(), "fc.bias": torch.full((3,), float("inf"))}
HALF = cast(trained(), torch.float16)
WIDE = cast(trained(), torch.bfloat16)
GZIPPED = gzip.compress(b"weights", mtime=0)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 102400\n"
PAGE = b"<!DOCTYPE html>\n<html><head><title>Google Drive - Quota exceeded</title></head></html>"
KERAS = b"\x89HDF\r\n\x1a\n" + bytes(64)
ONNX = b"\x08\x08\x12\x07pytorch\x1a\x052.0.0:" + bytes(64)
