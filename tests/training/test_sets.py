"""Which images are trained on and which judge, and data from which nothing can be learned."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from deploybench.data.opening import open_data
from deploybench.errors import DeployBenchError
from deploybench.training.sets import hash_of, training_sets
from tests.data.sets import class_folders, image, table
from tests.training.small import coloured, request


def folder(root: Path, **counts: int) -> Path:
    """``train__cat=3``: folders of a split and a class with so many images."""
    return class_folders(root, {name.replace("__", "/"): n for name, n in counts.items()})


def test_val_judges_before_test_and_a_name_before_both(tmp_path: Path) -> None:
    data = folder(
        tmp_path / "data",
        train__a=3, train__b=3, val__a=1, val__b=1, test__a=2, test__b=2,
    )  # fmt: skip
    sets = training_sets(request(data, tmp_path))
    assert (sets.training_name, sets.evaluation_name) == ("train", "val")
    assert (len(sets.training), len(sets.evaluation)) == (6, 2)
    assert sets.held_out == "test"
    named = training_sets(request(data, tmp_path, eval_split="test"))
    assert named.held_out is None
    assert len(named.evaluation) == 4
    assert not [note for note in named.notes if "too good" in note], "it was asked for"


def test_judging_by_test_for_want_of_val_is_said(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", train__a=3, train__b=3, test__a=2, test__b=2)
    sets = training_sets(request(data, tmp_path))
    assert sets.evaluation_name == "test"
    assert any("too good" in note for note in sets.notes)


def test_without_splits_a_fifth_is_set_aside_by_patient_and_said(tmp_path: Path) -> None:
    rows = []
    for index in range(40):
        image(tmp_path / "data" / f"{index}.png", level=index)
        rows.append((f"{index}.png", "ab"[index % 2], f"patient {index // 4}"))
    table(tmp_path / "data" / "manifest.csv", ("path", "label", "patient"), *rows)
    sets = training_sets(request(tmp_path / "data", tmp_path))
    assert len(sets.evaluation) == 8
    assert any("20% of the images were set aside" in note for note in sets.notes)
    patients = [{example.group for example in part} for part in (sets.training, sets.evaluation)]
    assert not patients[0] & patients[1]
    assert sets.made is not None
    again = training_sets(request(tmp_path / "data", tmp_path, seed=5))
    assert again.evaluation.examples == sets.evaluation.examples, "whatever the seed"


def test_patients_on_both_sides_are_named(tmp_path: Path) -> None:
    rows = []
    for index in range(8):
        image(tmp_path / "data" / f"{index}.png", level=index)
        split = "train" if index < 6 else "val"
        rows.append((f"{index}.png", "ab"[index % 2], "p1" if index in (0, 7) else index, split))
    table(tmp_path / "data" / "manifest.csv", ("path", "label", "patient", "split"), *rows)
    sets = training_sets(request(tmp_path / "data", tmp_path))
    assert any("1 patient has images in both splits (p1" in note for note in sets.notes)


def test_a_class_that_cannot_be_learned_is_named(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", train__a=3, train__b=3, val__a=1, val__b=1, val__c=1)
    sets = training_sets(request(data, tmp_path, class_names=("a", "b", "c")))
    assert any("1 class has no image to train on" in note and "c" in note for note in sets.notes)


@pytest.mark.parametrize(
    ("counts", "class_names", "said"),
    [
        ({"train__a": 3, "val__a": 1, "val__b": 1}, ("a", "b"), "of one class: a"),
        ({"train__a": 3, "val__a": 1}, None, "one class"),
        ({"test__a": 3, "test__b": 1}, None, "has no split 'train'"),
    ],
)
def test_data_that_teaches_nothing_is_refused(
    counts: dict[str, int], class_names: tuple[str, ...] | None, said: str, tmp_path: Path
) -> None:
    data = folder(tmp_path / "data", **counts)
    with pytest.raises(DeployBenchError) as caught:
        training_sets(request(data, tmp_path, class_names=class_names))
    assert said in caught.value.found


def test_images_without_labels_and_splits_that_are_not_there_are_refused(tmp_path: Path) -> None:
    image(tmp_path / "flat" / "1.png")
    with pytest.raises(DeployBenchError, match="has no labels"):
        training_sets(request(tmp_path / "flat", tmp_path))
    data = folder(tmp_path / "data", train__a=3, train__b=3, val__a=1, val__b=1)
    with pytest.raises(DeployBenchError, match="unknown split 'vall'"):
        training_sets(request(data, tmp_path, eval_split="vall"))
    with pytest.raises(DeployBenchError, match="are both 'train'"):
        training_sets(request(data, tmp_path, eval_split="train"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DeployBenchError):
        training_sets(request(tmp_path / "empty", tmp_path))


def test_a_multi_label_set_has_to_have_a_label_to_judge_by(tmp_path: Path) -> None:
    rows = []
    for index in range(8):
        image(tmp_path / "data" / f"{index}.png", level=index)
        judging = index >= 6
        rows.append((f"{index}.png", "val" if judging else "train", index % 2, int(judging)))
    table(tmp_path / "data" / "manifest.csv", ("path", "split", "left", "right"), *rows)
    data = open_data(tmp_path / "data")
    assert data.task == "multi-label"
    sets = training_sets(request(tmp_path / "data", tmp_path))
    assert sets.training.task == "multi-label"
    rows = [(*row[:2], 1, 1) if row[1] == "val" else row for row in rows]
    table(tmp_path / "data" / "manifest.csv", ("path", "split", "left", "right"), *rows)
    with pytest.raises(DeployBenchError, match="no epoch can be judged"):
        training_sets(request(tmp_path / "data", tmp_path))


def test_an_image_that_is_not_there_is_named_before_the_first_epoch(tmp_path: Path) -> None:
    data = coloured(tmp_path / "data", {"train": 2, "val": 1})
    sets = training_sets(request(data, tmp_path))
    (data / "train" / "red" / "1.png").unlink()
    with pytest.raises(DeployBenchError) as caught:
        hash_of(sets, lambda done, images: None)
    assert "1 image of 9 cannot be read" in caught.value.found
    assert "red/1.png" in caught.value.found


def test_the_hash_of_the_data_is_of_pixels_and_labels(tmp_path: Path) -> None:
    data = coloured(tmp_path / "data", {"train": 2, "val": 1})
    told: list[tuple[int, int]] = []

    def hashes() -> tuple[str, str]:
        return hash_of(
            training_sets(request(data, tmp_path)), lambda done, images: told.append((done, images))
        )

    before = hashes()
    assert told[-1] == (9, 9)
    assert hashes() == before
    Image.new("RGB", (32, 32)).save(data / "val" / "red" / "0.png")
    after = hashes()
    assert after[0] == before[0]
    assert after[1] != before[1]


def test_images_that_take_no_part_are_counted_with_their_splits(tmp_path: Path) -> None:
    rows = []
    for index, split in enumerate(["train"] * 8 + ["val"] * 4 + [""] * 7 + ["spare"] * 5):
        image(tmp_path / "data" / f"{index}.png", level=index)
        rows.append((f"{index}.png", "ab"[index % 2], split))
    table(tmp_path / "data" / "manifest.csv", ("path", "label", "split"), *rows)
    sets = training_sets(request(tmp_path / "data", tmp_path))
    said = "12 images take no part, of 24: 5 in the split 'spare', 7 without a split"
    assert said in sets.notes
    # Nor are they in silence where what judges is taken from the images to train on.
    rows = [row for row in rows if row[2] != "val"]
    table(tmp_path / "data" / "manifest.csv", ("path", "label", "split"), *rows)
    sets = training_sets(request(tmp_path / "data", tmp_path))
    assert len(sets.training) + len(sets.evaluation) == 8
    assert said.replace("24", "20") in sets.notes


def test_where_all_images_take_part_nothing_is_said_of_it(colours: Path, tmp_path: Path) -> None:
    sets = training_sets(request(colours, tmp_path))
    assert not [note for note in sets.notes if "no part" in note]


def test_a_training_is_not_written_where_a_folder_is_a_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = folder(tmp_path / "data", a=10, b=10)
    monkeypatch.chdir(data)
    for named, out in {".": "trained/vit", str(data): str(data / "a" / "out")}.items():
        with pytest.raises(DeployBenchError, match="a folder is a class") as caught:
            training_sets(request(Path(named), Path(out)))
        assert "../trained" in (caught.value.action or "")
    assert training_sets(request(Path(), Path("../data-trained")))
    # A table says itself which images there are.
    rows = [(f"{name}/{index}.png", name) for name in "ab" for index in range(10)]
    table(data / "manifest.csv", ("path", "label"), *rows)
    assert training_sets(request(Path(), Path("trained/vit")))


def test_each_device_needs_an_image_to_judge_by(tmp_path: Path) -> None:
    data = folder(tmp_path / "data", train__a=3, train__b=3, val__a=1, val__b=1)
    assert training_sets(request(data, tmp_path, devices=2))
    with pytest.raises(DeployBenchError) as caught:
        training_sets(request(data, tmp_path, devices=3))
    assert caught.value.found == "2 images to judge by ('val') and --devices 3"
