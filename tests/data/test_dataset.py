"""A set of images: what identifies it, a model's classes, and that pixels stay on disk."""

from __future__ import annotations

import gc
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.data.dataset import DataSet, Example
from deploybench.data.opening import open_data
from deploybench.data.sources import ImageFiles
from deploybench.errors import DeployBenchError
from tests.data.sets import PLAIN, class_folders, image


def multi_label(*labels: tuple[int, ...]) -> DataSet:
    return DataSet(
        name="made",
        form="made up",
        root=Path("made"),
        class_names=("a", "b", "c"),
        task="multi-label",
        examples=tuple(Example(f"{index}.png", labels=mine) for index, mine in enumerate(labels)),
        images=ImageFiles(Path("made")),
    )


def test_hash_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    first = open_data(class_folders(tmp_path / "a", {"cat": 2, "dog": 1}))
    second = open_data(class_folders(tmp_path / "b", {"cat": 2, "dog": 1}))
    os.utime(tmp_path / "b" / "cat" / "0.png", (1, 1))
    assert first.sha256() == second.sha256()
    assert len(first.sha256()) == 64


def test_hash_changes_with_pixels_labels_splits_patients_and_classes(tmp_path: Path) -> None:
    data = open_data(class_folders(tmp_path, {"cat": 2, "dog": 1}))
    known = {data.sha256()}
    first, *others = data.examples
    for changed in (
        Example(first.key, (1,)),
        Example(first.key, (0,), split="train"),
        Example(first.key, (0,), group="p1"),
        Example(first.key, (0,), unknown=(1,)),
        Example(first.key, None),
    ):
        known.add(data.with_examples([changed, *others]).sha256())
    known.add(data.with_classes(["cat", "dog", "fish"]).sha256())
    image(tmp_path / "cat" / "0.png", level=99)
    known.add(data.sha256())
    (tmp_path / "cat" / "0.png").unlink()
    known.add(data.sha256())
    assert len(known) == 9


def test_progress_of_the_hash_is_told(tmp_path: Path) -> None:
    data = open_data(class_folders(tmp_path, {"cat": 2, "dog": 1}))
    told: list[int] = []
    data.sha256(told.append)
    assert told == [3]


def test_classes_of_a_model_are_matched_by_name_in_its_order(tmp_path: Path) -> None:
    data = open_data(class_folders(tmp_path, {"cat": 2, "dog": 1}))
    moved = data.with_classes(["dog", "ox", "cat"])
    assert moved.counts() == (1, 0, 2)
    assert data.with_classes(["cat", "dog"]) is data
    with pytest.raises(DeployBenchError, match="1 class that the model does not have: cat"):
        data.with_classes(["dog", "ox"])


def test_spelling_of_a_class_is_no_difference_where_it_is_clear(tmp_path: Path) -> None:
    data = open_data(class_folders(tmp_path, {"acute_infarct": 2, "normal": 1}))
    moved = data.with_classes(["Normal", "Acute infarct"])
    assert moved.counts() == (1, 2)
    assert any("acute_infarct = Acute infarct" in note for note in moved.notes)
    with pytest.raises(DeployBenchError, match="does not have"):
        data.with_classes(["Normal", "Acute infarct", "acute-infarct"])


def test_class_that_a_multi_label_set_says_nothing_of_is_not_known() -> None:
    data = multi_label((0, 1), ())
    moved = data.with_classes(["c", "x", "a", "b"])
    assert moved.targets().tolist() == [[0, -1, 1, 1], [0, -1, 0, 0]]


@pytest.mark.parametrize(("names", "words"), [(["a", "a"], "2 times"), (["a", " "], "empty name")])
def test_names_that_cannot_be_told_apart_are_refused(names: list[str], words: str) -> None:
    with pytest.raises(DeployBenchError, match=words):
        multi_label((0,)).with_classes(names)


def test_memory_does_not_grow_with_the_images_that_were_read(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    for index in range(40):
        path = tmp_path / f"{index:02}.png"
        Image.fromarray(noise).save(path)
    data = open_data(tmp_path)

    def peak(examples: tuple[Example, ...]) -> int:
        gc.collect()
        tracemalloc.start()
        for example in examples:
            data.input(example, PLAIN)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(data.examples[:2])
    few, many = peak(data.examples[:4]), peak(data.examples)
    assert many < few + 200_000  # an image is of 196,608 bytes
