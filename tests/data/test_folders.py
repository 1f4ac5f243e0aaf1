"""Folders of images: what is a class, what a split, what is left out, what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deploybench.data.opening import open_data
from deploybench.errors import DeployBenchError
from tests.data.sets import PLAIN, class_folders, image


def test_folder_is_a_class_and_its_images_are_found_at_any_depth(tmp_path: Path) -> None:
    class_folders(tmp_path, {"dog": 2, "cat": 3})
    image(tmp_path / "cat" / "more" / "deep.png")
    data = open_data(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert data.counts() == (4, 2)
    assert [one.key for one in data][:4] == [
        "cat/0.png",
        "cat/1.png",
        "cat/2.png",
        "cat/more/deep.png",
    ]
    assert data.task == "single-label"
    assert data.splits == ()


def test_image_is_read_by_the_rules_of_predict(tmp_path: Path) -> None:
    class_folders(tmp_path, {"dog": 2, "cat": 2})
    data = open_data(tmp_path)
    second = data.input(data.examples[1], PLAIN)
    assert second.pixels.shape == (3, 16, 16)
    assert second.pixels.dtype == np.float32
    assert np.allclose(second.pixels, 1 / 255)


def test_folders_of_splits_hold_the_folders_of_classes(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"cat": 3, "dog": 2})
    class_folders(tmp_path / "Validation", {"cat": 1})
    class_folders(tmp_path / "test", {"dog": 1})
    data = open_data(tmp_path)
    assert data.splits == ("train", "val", "test")
    assert data.in_split("train").counts() == (3, 2)
    assert data.in_split("val").counts() == (1, 0)
    assert open_data(tmp_path, split="test").counts() == (0, 1)


def test_class_that_is_tested_and_never_trained_is_refused_unless_all_are_named(
    tmp_path: Path,
) -> None:
    class_folders(tmp_path / "train", {"cat": 1, "dog": 1})
    class_folders(tmp_path / "val", {"catt": 1})
    with pytest.raises(DeployBenchError, match="the class 'catt' in val and not in train"):
        open_data(tmp_path)
    assert open_data(tmp_path, class_names=["cat", "catt", "dog"]).counts() == (1, 1, 1)


def test_images_without_folders_have_no_labels(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        image(tmp_path / name)
    data = open_data(tmp_path)
    assert [one.key for one in data] == ["a.png", "b.png"]
    assert data.class_names == ()
    assert not data.labelled
    assert data.targets().shape == (2, 0)


def test_folders_are_no_classes_when_that_is_said(tmp_path: Path) -> None:
    class_folders(tmp_path, {"2023": 1, "2024": 2})
    data = open_data(tmp_path, unlabelled=True)
    assert len(data) == 3
    assert data.class_names == ()


def test_one_folder_is_one_class_only(tmp_path: Path) -> None:
    class_folders(tmp_path, {"holiday": 2})
    with pytest.raises(DeployBenchError, match="one class only: 'holiday'") as refused:
        open_data(tmp_path)
    assert "--unlabelled" in str(refused.value)
    assert open_data(tmp_path, class_names=["holiday", "work"]).counts() == (2, 0)


def test_folder_that_is_no_named_class_is_refused_with_the_nearest(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 1, "dgo": 1})
    with pytest.raises(DeployBenchError, match="a folder for the class 'dgo'") as refused:
        open_data(tmp_path, class_names=["cat", "dog"])
    assert "dog" in str(refused.value.expected)


def test_what_is_no_image_and_no_class_is_left_out_and_said(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 1, "dog": 1})
    image(tmp_path / "beside.png")
    (tmp_path / "cat" / "notes.txt").write_text("a cat")
    (tmp_path / "cat" / "._0.png").write_bytes(b"macOS keeps this")
    (tmp_path / "__MACOSX").mkdir()
    (tmp_path / "fish").mkdir()
    data = open_data(tmp_path)
    assert data.class_names == ("cat", "dog", "fish")
    assert data.counts() == (1, 1, 0)
    assert any("1 image beside the folders" in note for note in data.notes)
    assert any("no image in 1 folder: fish" in note for note in data.notes)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (lambda root: None, "holds no image"),
        (lambda root: (root / "a.txt").write_text("no"), "holds no image"),
        (lambda root: (root / "cat").mkdir(), "holds no image"),
    ],
)
def test_folder_without_images_is_refused(tmp_path: Path, made: object, words: str) -> None:
    made(tmp_path)  # type: ignore[operator]
    with pytest.raises(DeployBenchError, match=words):
        open_data(tmp_path)


def test_data_that_is_not_there_is_refused_with_the_forms_that_are_known(tmp_path: Path) -> None:
    with pytest.raises(DeployBenchError, match="there is no data") as refused:
        open_data(tmp_path / "nowhere")
    assert "CheXpert" in str(refused.value.expected)
    single = image(tmp_path / "one.png")
    with pytest.raises(DeployBenchError, match="no set of images") as refused:
        open_data(single)
    assert "name the folder" in str(refused.value.action)


def test_links_to_folders_are_followed_and_never_in_a_circle(tmp_path: Path) -> None:
    elsewhere = class_folders(tmp_path / "disk", {"cat": 2})
    data = tmp_path / "data"
    class_folders(data, {"dog": 1})
    (data / "cat").symlink_to(elsewhere / "cat")
    (data / "dog" / "again").symlink_to(data / "dog")
    assert open_data(data).counts() == (2, 1)


def test_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 1, "dog": 1})
    with pytest.raises(DeployBenchError, match="has no splits"):
        open_data(tmp_path, split="val")
    class_folders(tmp_path / "s" / "train", {"cat": 1, "dog": 1})
    class_folders(tmp_path / "s" / "val", {"cat": 1, "dog": 1})
    with pytest.raises(DeployBenchError, match="unknown split 'vale'"):
        open_data(tmp_path / "s", split="vale")


def test_file_without_a_suffix_is_an_image_when_it_is_dicom(tmp_path: Path) -> None:
    class_folders(tmp_path, {"cat": 1, "dog": 1})
    (tmp_path / "cat" / "1.2.840.7").write_bytes(bytes(128) + b"DICM")
    (tmp_path / "cat" / "README").write_bytes(b"no image")
    assert open_data(tmp_path).counts() == (2, 1)


def test_folder_beside_splits_that_holds_no_image_is_no_class(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"cat": 2, "dog": 1})
    class_folders(tmp_path / "val", {"cat": 1, "dog": 1})
    (tmp_path / "annotations").mkdir()
    image(tmp_path / "logo.png")
    data = open_data(tmp_path)
    assert data.class_names == ("cat", "dog")
    assert data.splits == ("train", "val")
    assert any("1 image beside the folders of splits" in note for note in data.notes)


def test_splits_and_other_images_side_by_side_are_refused(tmp_path: Path) -> None:
    class_folders(tmp_path / "train", {"cat": 1, "dog": 1})
    class_folders(tmp_path, {"extra": 1})
    with pytest.raises(DeployBenchError, match=r"splits \(train\) and others .* \(extra\)"):
        open_data(tmp_path)
    # A class may have such a name, where all classes are named.
    assert open_data(tmp_path, class_names=["extra", "train"]).counts() == (1, 2)


def test_folder_around_the_folders_of_classes_is_named(tmp_path: Path) -> None:
    class_folders(tmp_path / "dataset", {"cat": 1, "dog": 1})
    with pytest.raises(DeployBenchError, match="one class only: 'dataset'") as refused:
        open_data(tmp_path)
    assert f"the folders in {tmp_path / 'dataset'}, name that one" in str(refused.value.action)
