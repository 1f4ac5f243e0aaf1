"""Small sets of images in every form that is recognised."""

from __future__ import annotations

import csv
import gzip
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from deploybench.artifacts.preprocessing import Preprocessing

PLAIN = Preprocessing(
    channels=3,
    height=16,
    width=16,
    crop_fraction=1,
    interpolation="bilinear",
    mean=(0, 0, 0),
    std=(1, 1, 1),
)
"""Pixels from 0 to 1."""


def image(path: Path, *, level: int = 128, size: int = 16) -> Path:
    """A grey image of one level."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size), level, dtype=np.uint8)).save(path)
    return path


def class_folders(root: Path, counts: Mapping[str, int]) -> Path:
    for name, count in counts.items():
        for index in range(count):
            image(root / name / f"{index}.png", level=index)
    return root


def table(path: Path, header: Sequence[str], *rows: Sequence[object]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *rows])
    return path


def idx(values: npt.NDArray[np.uint8]) -> bytes:
    dimensions = np.array(values.shape, dtype=">u4").tobytes()
    return bytes([0, 0, 8, values.ndim]) + dimensions + values.tobytes()


def mnist(folder: Path, *, compressed: bool = False, count: int = 6) -> Path:
    """Images whose pixels are their number; digit 0, 1, 2, 0, …"""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = np.repeat(np.arange(count, dtype=np.uint8), 28 * 28).reshape(count, 28, 28)
    labels = (np.arange(count) % 3).astype(np.uint8)
    for part in ("train", "t10k"):
        for name, values in (("images-idx3", pixels), ("labels-idx1", labels)):
            content = idx(values)
            path = folder / f"{part}-{name}-ubyte"
            if compressed:
                path, content = path.with_name(f"{path.name}.gz"), gzip.compress(content)
            path.write_bytes(content)
    return folder


CIFAR_IMAGES = 4
CIFAR_NAMES = ("airplane", "automobile", "bird")


def cifar_rows(seed: int = 0) -> npt.NDArray[np.uint8]:
    """images x 3072; all of red first, row by row."""
    return np.random.default_rng(seed).integers(0, 256, (CIFAR_IMAGES, 3072), dtype=np.uint8)


def python_2_pickle(rows: npt.NDArray[np.uint8], fields: Mapping[str, object]) -> bytes:
    """A dictionary with an array as cPickle of Python 2 writes it, protocol 2, by hand."""

    def string(value: bytes) -> bytes:
        if len(value) < 256:
            return b"U" + bytes([len(value)]) + value
        return b"T" + len(value).to_bytes(4, "little") + value

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    def listed(values: Sequence[object]) -> bytes:
        return b"](" + b"".join(item(value) for value in values) + b"e"

    def item(value: object) -> bytes:
        if isinstance(value, int):
            return number(value)
        if isinstance(value, str):
            return string(value.encode())
        assert isinstance(value, (list, tuple))
        return listed(value)

    array = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + number(0)
        + b"\x85"
        + string(b"b")
        + b"\x87R"
        + b"("
        + number(1)
        + number(rows.shape[0])
        + number(rows.shape[1])
        + b"\x86"
        + b"cnumpy\ndtype\n"
        + string(b"u1")
        + number(0)
        + number(1)
        + b"\x87R("
        + number(3)
        + string(b"|")
        + b"NNN"
        + number(-1)
        + number(-1)
        + number(0)
        + b"tb"
        + b"\x89"
        + string(rows.tobytes())
        + b"tb"
    )
    entries = b"".join(string(key.encode()) + item(value) for key, value in fields.items())
    return b"\x80\x02}(" + string(b"data") + array + entries + b"u."


def cifar_10(folder: Path, *, batches: int = 5) -> Path:
    """The pickles for Python, as Python 2 wrote them."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = [0, 1, 2, 0]
    names = [f"data_batch_{number}" for number in range(1, batches + 1)] + ["test_batch"]
    for seed, name in enumerate(names):
        content = python_2_pickle(cifar_rows(seed), {"labels": labels, "batch_label": name})
        (folder / name).write_bytes(content)
    meta = {"label_names": list(CIFAR_NAMES), "num_vis": 3072}
    (folder / "batches.meta").write_bytes(pickle.dumps(meta, protocol=2))
    return folder


def cifar_100(folder: Path) -> Path:
    """The pickles for Python: coarse and fine labels."""
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("train", "test")):
        fields = {"coarse_labels": [7, 7, 7, 7], "fine_labels": [0, 1, 2, 1]}
        (folder / name).write_bytes(python_2_pickle(cifar_rows(seed), fields))
    meta = {"fine_label_names": list(CIFAR_NAMES), "coarse_label_names": ["vehicles"] * 8}
    (folder / "meta").write_bytes(pickle.dumps(meta, protocol=2))
    return folder


def cifar_10_binary(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.array([[0], [1], [2], [0]], dtype=np.uint8)
    for seed, name in enumerate(("data_batch_1.bin", "test_batch.bin")):
        (folder / name).write_bytes(np.hstack([labels, cifar_rows(seed)]).tobytes())
    (folder / "batches.meta.txt").write_text("\n".join(CIFAR_NAMES) + "\n\n")
    return folder


def cifar_100_binary(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    labels = np.array([[7, 0], [7, 1], [7, 2], [7, 1]], dtype=np.uint8)
    for seed, name in enumerate(("train.bin", "test.bin")):
        (folder / name).write_bytes(np.hstack([labels, cifar_rows(seed)]).tobytes())
    (folder / "fine_label_names.txt").write_text("\n".join(CIFAR_NAMES))
    return folder


def npz(path: Path, *, compressed: bool = True, **arrays: npt.NDArray[np.generic]) -> Path:
    save = np.savez_compressed if compressed else np.savez
    save(path, **arrays)
    return path


CHEXPERT_HEADER = (
    *("Path", "Sex", "Age", "Frontal/Lateral", "AP/PA", "No Finding"),
    *("Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema"),
    *("Consolidation", "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion"),
    *("Pleural Other", "Fracture", "Support Devices"),
)


def chexpert_row(path: str, view: str = "Frontal", **findings: object) -> list[object]:
    """A row with those findings; a word with a space is written with an underscore."""
    known = {name.replace("_", " "): value for name, value in findings.items()}
    described = [path, "Female", 68, view, "AP"]
    return described + [known.get(name, "") for name in CHEXPERT_HEADER[5:]]


def chexpert(root: Path) -> Path:
    """Two patients in train.csv, one in valid.csv, in a folder of another name than the paths."""
    archive = "CheXpert-v1.0-small"
    rows = {
        "train": [
            chexpert_row(f"{archive}/train/patient00001/study1/view1_frontal.jpg", Edema="1.0"),
            chexpert_row(
                f"{archive}/train/patient00001/study1/view2_lateral.jpg",
                "Lateral",
                Edema="-1.0",
                Atelectasis="0.0",
            ),
            chexpert_row(
                f"{archive}/train/patient00002/study1/view1_frontal.jpg",
                Pleural_Effusion="1.0",
                Atelectasis="-1.0",
            ),
        ],
        "valid": [
            chexpert_row(
                f"{archive}/valid/patient64541/study1/view1_frontal.jpg", Cardiomegaly="1.0"
            )
        ],
    }
    for name, listed in rows.items():
        table(root / f"{name}.csv", CHEXPERT_HEADER, *listed)
        for row in listed:
            image(root / str(row[0]).removeprefix(f"{archive}/"))
    return root


def medmnist(path: Path, *, compressed: bool, colours: bool = False) -> Path:
    shape = (28, 28, 3) if colours else (28, 28)
    arrays = {}
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        pixels = np.zeros((count, *shape), dtype=np.uint8)
        pixels[:] = np.arange(count).reshape(-1, *([1] * len(shape)))
        arrays[f"{split}_images"] = pixels
        arrays[f"{split}_labels"] = (np.arange(count) % 3).reshape(-1, 1)
    return npz(path, compressed=compressed, **arrays)
