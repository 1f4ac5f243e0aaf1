"""NumPy's .npz in MedMNIST's form and Keras's."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploybench.data.opening import open_data
from deploybench.errors import DeployBenchError
from tests.data import sets
from tests.data.sets import PLAIN, medmnist


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("colours", [False, True])
def test_npz_of_medmnist_has_its_splits_and_is_read_image_by_image(
    tmp_path: Path, compressed: bool, colours: bool
) -> None:
    data = open_data(medmnist(tmp_path / "x.npz", compressed=compressed, colours=colours))
    assert data.splits == ("train", "val", "test")
    assert [one.labels for one in data] == [(0,), (1,), (2,), (0,), (0,), (1,), (0,), (1,), (2,)]
    assert np.allclose(data.input(data.examples[3], PLAIN).pixels, 3 / 255)
    assert open_data(tmp_path).sha256() == data.sha256()  # the only file of the folder


def test_npz_of_other_names_and_of_16_bits_is_read(tmp_path: Path) -> None:
    pixels = np.full((3, 8, 8), 40_000, dtype=">u2")
    path = sets.npz(tmp_path / "k.npz", x_train=pixels, y_train=np.array([0, 1, 1]))
    data = open_data(path)
    assert data.counts() == (1, 2)
    assert np.allclose(data.input(data.examples[0], PLAIN).pixels, 40_000 / 65_535, atol=1e-4)


def test_npz_with_a_column_a_class_is_multi_label(tmp_path: Path) -> None:
    pixels = np.zeros((3, 8, 8), dtype=np.uint8)
    labels = np.array([[1, 1], [0, 0], [0, 1]])
    path = sets.npz(tmp_path / "c.npz", train_images=pixels, train_labels=labels)
    data = open_data(path, class_names=["a", "b"])
    assert data.task == "multi-label"
    assert [one.labels for one in data] == [(0, 1), (), (1,)]
    one_hot = np.array([[1, 0], [0, 1], [0, 1]])
    path = sets.npz(tmp_path / "h.npz", train_images=pixels, train_labels=one_hot)
    assert open_data(path).task == "single-label"
    with pytest.raises(DeployBenchError, match="for 2 classes, and 3 are named"):
        open_data(path, class_names=["a", "b", "c"])


PIXELS = np.zeros((3, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"pixels": PIXELS}, "no images by a name that is known: pixels"),
        ({"train_images": PIXELS}, "train_images and not train_labels"),
        ({"images": PIXELS, "labels": np.arange(2)}, "3 images, and labels has 2 labels"),
        ({"images": PIXELS, "labels": np.array([0, 1, 2.5])}, "array of float64"),
        ({"images": PIXELS, "labels": np.array([0, -1, 1])}, "the label of image 1 is -1"),
        ({"images": PIXELS, "labels": np.array([0, 0, 0])}, "one class only"),
        ({"images": PIXELS, "labels": np.array([[2, 0]] * 3)}, "image 0 has 2 in column 0"),
        ({"images": PIXELS[0], "labels": np.arange(3)}, r"shape \(8, 8\)"),
        ({"images": np.zeros((3, 8, 8, 8), np.uint8), "labels": np.arange(3)}, "volumes"),
        ({"images": np.array([{}, {}, {}]), "labels": np.arange(3)}, "array of Python objects"),
        ({"images": np.zeros((3, 8, 9), np.uint8, order="F"), "labels": np.arange(3)}, "column by"),
    ],
)
def test_npz_that_is_no_set_is_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray], words: str
) -> None:
    with pytest.raises(DeployBenchError, match=words):
        open_data(sets.npz(tmp_path / "x.npz", **arrays))


def npz_that_promises(path: Path, shape: tuple[int, ...], content: bytes) -> Path:
    """An archive whose array of images says that it has that shape."""
    header = str({"descr": "|u1", "fortran_order": False, "shape": shape}).encode() + b"\n"
    array = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header + content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", array)
    return path


def test_npz_that_promises_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    path = npz_that_promises(tmp_path / "x.npz", (1_000_000, 1000, 1000), bytes(64))
    with pytest.raises(DeployBenchError, match="its header says 1000000000"):
        open_data(path, unlabelled=True)


def test_npz_that_unpacks_to_far_more_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploybench.data.unpacked.FREELY_UNPACKED", 1 << 20)
    path = npz_that_promises(tmp_path / "x.npz", (4096, 32, 32), bytes(4096 * 1024))
    with pytest.raises(DeployBenchError, match="would unpack from"):
        open_data(path, unlabelled=True)


def test_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"PK\3\4 and nothing else")
    with pytest.raises(DeployBenchError, match="does not read as an"):
        open_data(tmp_path / "x.npz")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 5000), st.binary(min_size=1, max_size=8))
def test_damaged_npz_is_read_or_refused(tmp_path: Path, place: int, damage: bytes) -> None:
    path = medmnist(tmp_path / "x.npz", compressed=True)
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place : place + len(damage)] = damage
    path.write_bytes(bytes(content))
    try:
        data = open_data(path)
        for example in data:
            data.images.content(example.key)
    except DeployBenchError:
        pass


def test_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(DeployBenchError, match="has to be unpacked") as refused:
        open_data(medmnist(tmp_path / "x.npz", compressed=True))
    assert "XDG_CACHE_HOME" in str(refused.value.action)


def test_disk_without_room_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploybench.data.unpacked.LEFT_FREE", 1 << 60)
    with pytest.raises(DeployBenchError, match="are free in"):
        open_data(medmnist(tmp_path / "x.npz", compressed=True))


def test_file_is_unpacked_once_and_again_when_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = medmnist(tmp_path / "x.npz", compressed=True)
    first = open_data(path)
    files = [file for file in (tmp_path / "cache").rglob("*") if file.is_file()]
    kept = {file: file.stat().st_mtime_ns for file in files}
    assert len(kept) == 3  # a file for the images of each split
    assert open_data(path).sha256() == first.sha256()
    assert {file: file.stat().st_mtime_ns for file in kept} == kept
    medmnist(path, compressed=True, colours=True)
    assert open_data(path).sha256() != first.sha256()
