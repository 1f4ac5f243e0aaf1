"""CIFAR and MNIST in their own files; sets that lie in files of many images."""

from __future__ import annotations

import gzip
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploybench.data.opening import open_data
from deploybench.errors import DeployBenchError
from tests.data import sets
from tests.data.sets import CIFAR_NAMES, PLAIN, medmnist


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


# CIFAR


def test_cifar_10_is_read_from_the_pickles_without_running_them(tmp_path: Path) -> None:
    data = open_data(sets.cifar_10(tmp_path / "cifar-10-batches-py"))
    assert data.form == "CIFAR-10 (pickles for Python)"
    assert data.class_names == CIFAR_NAMES
    assert len(data.in_split("train")) == 5 * sets.CIFAR_IMAGES
    assert len(data.in_split("test")) == sets.CIFAR_IMAGES
    assert open_data(tmp_path).sha256() == data.sha256()  # the folder around it
    example = data.in_split("test").examples[2]
    assert example.labels == (2,)
    wanted = sets.cifar_rows(5)[2].reshape(3, 32, 32) / 255
    spec = PLAIN.replaced(height=32, width=32)
    assert np.allclose(data.input(example, spec).pixels, wanted, atol=1e-6)
    assert data.place(example) == f"{tmp_path}/cifar-10-batches-py/test_batch, image 2"


def test_cifar_100_has_the_fine_labels_in_both_of_its_forms(tmp_path: Path) -> None:
    pickled = open_data(sets.cifar_100(tmp_path / "cifar-100-python"))
    assert pickled.form == "CIFAR-100 (pickles for Python)"
    assert pickled.class_names == CIFAR_NAMES
    assert pickled.splits == ("train", "test")
    assert open_data(tmp_path).sha256() == pickled.sha256()
    binary = open_data(sets.cifar_100_binary(tmp_path / "binary"))
    assert [one.labels for one in binary] == [one.labels for one in pickled]
    contents = [pickled.images.content(one.key) for one in pickled]
    assert [binary.images.content(one.key) for one in binary] == contents


@pytest.mark.parametrize("protocol", [2, 3, 5])
def test_cifar_pickled_again_by_python_3_is_the_same(tmp_path: Path, protocol: int) -> None:
    original = open_data(sets.cifar_10(tmp_path / "a", batches=1))
    again = sets.cifar_10(tmp_path / "b", batches=1)
    for seed, name in enumerate(("data_batch_1", "test_batch")):
        content = {"data": sets.cifar_rows(seed), "labels": [0, 1, 2, 0], "batch_label": name}
        (again / name).write_bytes(pickle.dumps(content, protocol=protocol))
    assert open_data(again).sha256() == original.sha256()


def test_cifar_10_and_100_are_read_from_the_binary_files(tmp_path: Path) -> None:
    pickled = open_data(sets.cifar_10(tmp_path / "p", batches=1))
    ten = open_data(sets.cifar_10_binary(tmp_path / "ten"))
    assert ten.form == "CIFAR-10 (binary)"
    assert [one.labels for one in ten] == [one.labels for one in pickled]
    first = ten.images.content(ten.examples[1].key)
    assert first == sets.cifar_rows(0)[1].tobytes()
    assert any("not there: data_batch_2.bin" in note for note in ten.notes)
    hundred = open_data(sets.cifar_100_binary(tmp_path / "hundred"))
    assert hundred.form == "CIFAR-100 (binary)"
    assert [one.labels for one in hundred] == [(0,), (1,), (2,), (1,)] * 2
    assert hundred.images.content(hundred.examples[1].key) == sets.cifar_rows(0)[1].tobytes()


class _Acts:
    def __reduce__(self) -> tuple[object, ...]:
        import os

        return os.system, ("touch /tmp/it-was-run",)


def test_cifar_batch_that_names_what_acts_is_refused_and_not_run(tmp_path: Path) -> None:
    folder = sets.cifar_10(tmp_path)
    (folder / "data_batch_2").write_bytes(pickle.dumps({"data": _Acts()}))
    with pytest.raises(DeployBenchError, match=r"posix.system, which acts on the machine"):
        open_data(folder)
    assert not Path("/tmp/it-was-run").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"labels": [0]}, "lacks 'data'"),
        ({"data": "text", "labels": [0]}, "no NumPy array"),
        ({"data": np.zeros((2, 3072), np.float32), "labels": [0, 1]}, "not of bytes"),
        ({"data": np.zeros((2, 3072), np.uint8, order="F"), "labels": [0, 1]}, "row by row"),
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "2 images .* and 1 label"),
        ({"data": np.zeros((2, 99), np.uint8), "labels": [0, 1]}, "images of 99 bytes"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": ["cat"]}, "a label is no number"),
        ({"data": np.zeros((1, 3072), np.uint8), "labels": [7]}, "the label of image 0 is 7"),
        ([1, 2], "it holds a list"),
    ],
)
def test_damaged_cifar_batch_is_refused(tmp_path: Path, content: object, words: str) -> None:
    folder = sets.cifar_10(tmp_path)
    (folder / "test_batch").write_bytes(pickle.dumps(content))
    with pytest.raises(DeployBenchError, match=words):
        open_data(folder)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_as_a_batch_are_refused(tmp_path: Path, content: bytes) -> None:
    folder = sets.cifar_10(tmp_path, batches=1)
    (folder / "test_batch").write_bytes(content)
    with pytest.raises(DeployBenchError):
        open_data(folder)


# MNIST


@pytest.mark.parametrize("compressed", [False, True])
def test_mnist_is_read_from_its_own_files_compressed_or_not(
    tmp_path: Path, compressed: bool
) -> None:
    data = open_data(sets.mnist(tmp_path / "MNIST" / "raw", compressed=compressed))
    assert data.splits == ("train", "test")
    assert data.in_split("train").counts() == (2, 2, 2)
    fourth = data.in_split("test").examples[4]
    assert fourth.key == "t10k/000004"
    assert np.allclose(data.input(fourth, PLAIN).pixels, 4 / 255)
    assert open_data(tmp_path).sha256() == data.sha256()


def test_mnist_is_found_by_either_spelling_of_its_names(tmp_path: Path) -> None:
    folder = sets.mnist(tmp_path)
    same = open_data(folder).sha256()
    for path in list(folder.iterdir()):
        path.rename(path.with_name(path.name.replace("s-idx", "s.idx")))
    assert open_data(folder).sha256() == same


def test_packed_and_unpacked_mnist_are_the_same_data(tmp_path: Path) -> None:
    plain = open_data(sets.mnist(tmp_path / "plain"))
    packed = open_data(sets.mnist(tmp_path / "packed", compressed=True))
    assert plain.sha256() == packed.sha256()


def mnist_with(folder: Path, name: str, content: bytes) -> None:
    (sets.mnist(folder) / name).write_bytes(content)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("train-images-idx3-ubyte", b"", "it begins with nothing"),
        ("train-images-idx3-ubyte", b"\0\0\x0d\3" + bytes(12), "type 0x0d in 3"),
        ("train-images-idx3-ubyte", b"\0\0\x08\3\0\0", "ends within its header"),
        ("train-images-idx3-ubyte", sets.idx(np.zeros((6, 28, 28), np.uint8))[:-1], "its header"),
        ("train-images-idx3-ubyte", b"\0\0\x08\3" + b"\xff" * 12, "its header says"),
        ("train-labels-idx1-ubyte", sets.idx(np.zeros(5, np.uint8)), "5 labels, and .* 6 images"),
        ("train-labels-idx1-ubyte", sets.idx(np.zeros((6, 1), np.uint8)), "in 2 dimensions"),
    ],
)
def test_damaged_idx_file_is_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    mnist_with(tmp_path, name, content)
    with pytest.raises(DeployBenchError, match=words):
        open_data(tmp_path)


def test_images_without_their_labels_are_refused(tmp_path: Path) -> None:
    folder = sets.mnist(tmp_path)
    (folder / "t10k-labels-idx1-ubyte").unlink()
    with pytest.raises(DeployBenchError, match="t10k-images-idx3-ubyte has no labels"):
        open_data(folder)


def zipped(content: bytes) -> bytes:
    """Without the moment: the workers of a session name their tests by it, and have to agree."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (zipped(b"\0\0\x08\3" + (60_000).to_bytes(4, "big") * 3), "would unpack from"),
        (zipped(sets.idx(np.zeros((6, 28, 28), np.uint8)) + b"more"), "holds more bytes"),
        (zipped(sets.idx(np.zeros((6, 28, 28), np.uint8))[:-5]), "and its header says"),
        (b"\x1f\x8b\x08 no gzip", "does not read as an idx file"),
    ],
)
def test_compressed_file_that_is_no_set_or_a_bomb_is_refused(
    tmp_path: Path, content: bytes, words: str
) -> None:
    folder = sets.mnist(tmp_path, compressed=True)
    (folder / "t10k-images-idx3-ubyte.gz").write_bytes(content)
    with pytest.raises(DeployBenchError, match=words):
        open_data(folder)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_any_bytes_as_an_idx_file_are_refused(tmp_path: Path, content: bytes) -> None:
    mnist_with(tmp_path, "train-images-idx3-ubyte", content)
    with pytest.raises(DeployBenchError):
        open_data(tmp_path)


OPENERS: list[Callable[[Path], Path]] = [
    lambda folder: sets.cifar_10(folder, batches=1),
    sets.cifar_10_binary,
    sets.mnist,
    lambda folder: medmnist(folder / "x.npz", compressed=False),
    sets.chexpert,
]


@pytest.mark.parametrize("made", OPENERS)
def test_set_can_be_handed_to_another_process(tmp_path: Path, made: Callable[[Path], Path]) -> None:
    data = open_data(made(tmp_path))
    assert pickle.loads(pickle.dumps(data)).sha256() == data.sha256()
