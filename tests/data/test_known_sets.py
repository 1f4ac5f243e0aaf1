"""Sets that people have by name: CheXpert, RadImageNet's brain MRI, CIFAR, MNIST, MedMNIST."""

from __future__ import annotations

import gzip
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploybench.data.forms.chexpert import COMPETITION
from deploybench.data.forms.radimagenet import BRAIN_MRI
from deploybench.data.opening import open_data
from deploybench.errors import DeployBenchError
from tests.data import sets
from tests.data.sets import CIFAR_NAMES, PLAIN, image, table


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


# CheXpert


def test_chexpert_has_the_five_findings_of_the_competition_and_its_patients(
    tmp_path: Path,
) -> None:
    data = open_data(sets.chexpert(tmp_path / "renamed"))
    assert data.class_names == COMPETITION
    assert data.task == "multi-label"
    assert data.splits == ("train", "val")
    assert [one.group for one in data] == [
        "patient00001",
        "patient00001",
        "patient00002",
        "patient64541",
    ]
    # Atelectasis 0, Cardiomegaly 1, Consolidation 2, Edema 3, Pleural Effusion 4; -1 is present.
    assert [one.labels for one in data] == [(3,), (3,), (0, 4), (1,)]
    assert data.examples[0].key == "train/patient00001/study1/view1_frontal.jpg"
    said = " ".join(data.notes)
    assert "2 uncertain labels (-1) counted as present (U-Ones); assumed" in said
    assert "1 of 4 views are lateral" in said


def test_chexpert_uncertain_labels_are_what_is_said(tmp_path: Path) -> None:
    root = sets.chexpert(tmp_path)
    zeros = open_data(root, uncertain="zeros")
    assert [one.labels for one in zeros] == [(3,), (), (4,), (1,)]
    ignored = open_data(root, uncertain="ignore")
    assert [one.unknown for one in ignored] == [(), (3,), (0,), ()]
    assert ignored.targets()[2].tolist() == [-1, 0, 0, 0, 1]


def test_chexpert_takes_other_findings_that_are_named(tmp_path: Path) -> None:
    root = sets.chexpert(tmp_path)
    assert open_data(root, class_names=["Edema", "Fracture"]).counts() == (2, 0)
    with pytest.raises(DeployBenchError, match="unknown finding of CheXpert 'Edma'"):
        open_data(root, class_names=["Edma"])


def test_chexpert_names_the_cell_that_is_wrong_and_the_image_that_is_missing(
    tmp_path: Path,
) -> None:
    root = sets.chexpert(tmp_path)
    row = sets.chexpert_row("a/train/patient00001/study1/view1_frontal.jpg", Edema="2.0")
    table(root / "train.csv", sets.CHEXPERT_HEADER, row)
    with pytest.raises(DeployBenchError, match=r"train.csv, line 2, column 'Edema' is '2.0'"):
        open_data(root)
    row = sets.chexpert_row("a/train/patient00009/study1/view1_frontal.jpg")
    table(root / "train.csv", sets.CHEXPERT_HEADER, row)
    with pytest.raises(DeployBenchError, match=r"line 2, column 'Path': there is no file"):
        open_data(root)


# RadImageNet


def brain(folder: Path, *names: str) -> Path:
    for name in names or BRAIN_MRI:
        image(folder / "radiology_ai" / "MR" / "brain" / name / "1.png")
    return folder


def test_brain_mri_has_its_ten_classes_wherever_the_folders_lie(tmp_path: Path) -> None:
    root = brain(tmp_path)
    for place in (root, root / "radiology_ai", root / "radiology_ai" / "MR" / "brain"):
        data = open_data(place)
        assert data.form == "RadImageNet, brain MRI"
        assert data.class_names == BRAIN_MRI
        assert data.counts() == (1,) * 10


def test_part_of_the_brain_mri_keeps_the_ten_classes_and_their_order(tmp_path: Path) -> None:
    data = open_data(brain(tmp_path, *BRAIN_MRI[3:]) / "radiology_ai" / "MR" / "brain")
    assert data.class_names == BRAIN_MRI
    assert data.counts() == (0, 0, 0, 1, 1, 1, 1, 1, 1, 1)


def test_tables_of_radimagenet_give_the_split_and_leave_other_organs_out(tmp_path: Path) -> None:
    brain(tmp_path)
    here = "radiology_ai/MR/brain"
    rows = [(f"{here}/edema/1.png", "x"), ("radiology_ai/MR/knee/fracture/1.png", "y")]
    table(tmp_path / "RadiologyAI_train.csv", ("filename", "label"), *rows)
    table(tmp_path / "RadiologyAI_val.csv", ("filename", "label"), (f"{here}/normal/1.png", "x"))
    data = open_data(tmp_path)
    assert [(one.labels, one.split) for one in data] == [((3,), "train"), ((7,), "val")]
    assert any("1 rows of other organs" in note for note in data.notes)
    assert any("patients are not known" in note for note in data.notes)
    rows = [(f"{here}/oedema/1.png", "x")]
    table(tmp_path / "RadiologyAI_val.csv", ("filename", "label"), *rows)
    with pytest.raises(DeployBenchError, match=r"_val.csv, line 2, column 'filename': 'oedema'"):
        open_data(tmp_path)


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
        ({"data": np.zeros((2, 3072), np.uint8), "labels": [0]}, "2 images .* and 1 labels"),
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


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (gzip.compress(b"\0\0\x08\3" + (60_000).to_bytes(4, "big") * 3), "would unpack from"),
        (gzip.compress(sets.idx(np.zeros((6, 28, 28), np.uint8)) + b"more"), "holds more bytes"),
        (gzip.compress(sets.idx(np.zeros((6, 28, 28), np.uint8))[:-5]), "and its header says"),
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


# NumPy .npz


def medmnist(path: Path, *, compressed: bool, colours: bool = False) -> Path:
    shape = (28, 28, 3) if colours else (28, 28)
    arrays = {}
    for split, count in (("train", 4), ("val", 2), ("test", 3)):
        pixels = np.zeros((count, *shape), dtype=np.uint8)
        pixels[:] = np.arange(count).reshape(-1, *([1] * len(shape)))
        arrays[f"{split}_images"] = pixels
        arrays[f"{split}_labels"] = (np.arange(count) % 3).reshape(-1, 1)
    return sets.npz(path, compressed=compressed, **arrays)


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
