"""Small sets of images in which every pixel differs from its neighbours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.dataset import DataSet, Example, LabelTask
from deploybench.data.opening import open_data
from deploybench.data.sources import ImageFiles

COLOURS = Preprocessing(
    channels=3,
    height=24,
    width=20,
    crop_fraction=0.875,
    interpolation="bicubic",
    mean=(0.5, 0.4, 0.3),
    std=(0.2, 0.3, 0.4),
)
GREY = COLOURS.replaced(channels=1, mean=(0.5,), std=(0.25,))


def colours(seed: int, size: tuple[int, int] = (30, 36)) -> Image.Image:
    """A noisy image with a bright half, (height, width) pixels."""
    noise = np.random.default_rng(seed).integers(0, 200, (*size, 3), dtype=np.uint8)
    noise[:, : size[1] // 2] += 50
    return Image.fromarray(noise)


def photographs(root: Path, counts: dict[str, int]) -> DataSet:
    """A folder for each class."""
    for place, (name, count) in enumerate(counts.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            colours(100 * place + index).save(root / name / f"{index}.png")
    return open_data(root)


def every_depth(root: Path) -> DataSet:
    """Two classes with an image each of 8-bit colours, 8-bit grey, 16-bit grey, floats, DICOM."""
    dicoms = pytest.importorskip("tests.data.dicoms")
    generator = np.random.default_rng(5)
    examples = []
    for label in (0, 1):
        folder = root / f"{label}"
        folder.mkdir(parents=True)
        deep = generator.integers(0, 65536, (30, 36), dtype=np.uint16)
        colours(label).save(folder / "colours.png")
        colours(label + 7).convert("L").save(folder / "grey.png")
        Image.fromarray(deep).save(folder / "deep.png")
        Image.fromarray(generator.random((30, 36), dtype=np.float32)).save(folder / "floats.tiff")
        dicoms.dicom(folder / "scan.dcm", deep)
        for file in sorted(folder.iterdir()):
            examples.append(Example(f"{label}/{file.name}", labels=(label,)))
    return data_set(root, ("a", "b"), examples)


def data_set(
    root: Path,
    names: tuple[str, ...],
    examples: list[Example],
    task: LabelTask = "single-label",
) -> DataSet:
    return DataSet("made", "by hand", root, names, task, tuple(examples), ImageFiles(root))
