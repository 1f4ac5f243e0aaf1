"""Batches: what evaluation sees where nothing is changed; the same by seed, epoch and place."""

from __future__ import annotations

import os
import pickle
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.dataset import DataSet, Example
from deploybench.errors import DeployBenchError
from deploybench.training import workers
from deploybench.training.augmentation import NOTHING, Augmentation
from deploybench.training.balance import Balance
from deploybench.training.images import (
    Batch,
    EvaluationImages,
    TrainingImages,
    check_images,
)
from tests.training.image_sets import COLOURS, GREY, data_set, every_depth, photographs

EVERYTHING = Augmentation(
    vertical_flip=0.5,
    rand_augment="rand-m9-n2-mstd0.5",
    color_jitter=0.4,
    random_erasing=0.5,
    pad=2,
    mixup=0.8,
    cutmix=1.0,
)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return photographs(tmp_path_factory.mktemp("photos"), {"cat": 7, "dog": 4, "eel": 2})


@pytest.fixture(scope="module")
def depths(tmp_path_factory: pytest.TempPathFactory) -> DataSet:
    return every_depth(tmp_path_factory.mktemp("depths"))


def training(
    data: DataSet,
    augmentation: Augmentation = EVERYTHING,
    *,
    spec: Preprocessing = COLOURS,
    batch: int = 4,
    seed: int = 3,
    balance: Balance = "none",
    workers: int = 0,
    rank: int = 0,
    world: int = 1,
) -> TrainingImages:
    return TrainingImages(
        data,
        spec,
        augmentation,
        batch=batch,
        seed=seed,
        balance=balance,
        workers=workers,
        rank=rank,
        world=world,
    )


def same(first: Batch, second: Batch) -> bool:
    return (
        first.indices == second.indices
        and torch.equal(first.pixels, second.pixels)
        and torch.equal(first.targets, second.targets)
    )


def all_same(first: Iterator[Batch], second: Iterator[Batch]) -> bool:
    pairs = list(zip(first, second, strict=True))
    assert pairs
    return all(same(one, other) for one, other in pairs)


@pytest.mark.parametrize("spec", [COLOURS, GREY, COLOURS.replaced(color="bgr", crop_mode="border")])
def test_without_augmentation_training_sees_what_evaluation_sees(
    depths: DataSet, spec: Preprocessing
) -> None:
    seen = {}
    for batch in training(depths, NOTHING, spec=spec, batch=5).batches(0):
        for pixels, target, index in zip(batch.pixels, batch.targets, batch.indices, strict=True):
            seen[index] = pixels
            assert (int(target),) == depths.examples[index].labels
    assert sorted(seen) == list(range(len(depths)))
    for index, pixels in seen.items():
        expected = depths.input(depths.examples[index], spec).pixels
        np.testing.assert_array_equal(pixels.numpy(), expected)


def test_an_augmentation_that_never_happens_leaves_what_evaluation_sees(depths: DataSet) -> None:
    """The steps themselves change nothing: neither their order nor the depth of the values."""
    hardly = NOTHING.replaced(vertical_flip=1e-9)
    assert hardly.changes_images
    for batch in training(depths, hardly, batch=5).batches(0):
        for pixels, index in zip(batch.pixels, batch.indices, strict=True):
            expected = depths.input(depths.examples[index], COLOURS).pixels
            np.testing.assert_array_equal(pixels.numpy(), expected)


def test_evaluation_comes_in_order_with_a_smaller_last_batch(depths: DataSet) -> None:
    evaluation = EvaluationImages(depths, COLOURS, batch=4, workers=0)
    batches = list(evaluation.batches())
    assert [len(batch.indices) for batch in batches] == [4, 4, 2]
    assert len(evaluation) == 3
    row = 0
    for batch in batches:
        for pixels in batch.pixels:
            expected = depths.input(depths.examples[row], COLOURS).pixels
            np.testing.assert_array_equal(pixels.numpy(), expected)
            row += 1


def test_evaluation_is_shared_out_among_devices(depths: DataSet) -> None:
    seen = []
    for rank in range(3):
        part = EvaluationImages(depths, COLOURS, batch=2, workers=0, rank=rank, world=3)
        for batch in part.batches():
            seen += batch.indices
    assert sorted(seen) == list(range(len(depths)))


def test_epochs_differ_and_come_again(photos: DataSet) -> None:
    batches = training(photos)
    assert all_same(batches.batches(1), training(photos).batches(1))
    assert not all_same(batches.batches(0), batches.batches(1))
    assert not all_same(batches.batches(0), training(photos, seed=4).batches(0))


def test_the_number_of_workers_changes_nothing(photos: DataSet) -> None:
    here = training(photos, workers=0)
    for count in (1, 2):
        assert all_same(here.batches(2), training(photos, workers=count).batches(2))
    evaluation = EvaluationImages(photos, COLOURS, batch=4, workers=0)
    beside = EvaluationImages(photos, COLOURS, batch=4, workers=2)
    assert all_same(evaluation.batches(), beside.batches())


def test_without_shared_memory_batches_are_the_same(
    photos: DataSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = list(training(photos).batches(0))
    monkeypatch.setattr(workers, "_free_shared_memory", lambda: 0)
    assert all_same(iter(expected), training(photos, workers=1).batches(0))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_epoch_that_is_begun_in_its_middle_goes_on_with_the_same_batches(
    photos: DataSet, workers: int
) -> None:
    whole = list(training(photos).batches(5))
    assert len(whole) == 3
    assert all_same(iter(whole[1:]), training(photos, workers=workers).batches(5, start=1))
    assert list(training(photos).batches(5, start=3)) == []


def test_reading_images_leaves_the_generators_of_the_model_alone(photos: DataSet) -> None:
    def drawn() -> tuple[float, float, float]:
        return random.random(), float(np.random.rand()), float(torch.rand(()))

    def seed() -> None:
        random.seed(1)
        np.random.seed(1)
        torch.manual_seed(1)

    seed()
    expected = drawn()
    for count in (0, 1):
        seed()
        list(training(photos, workers=count).batches(0))
        assert drawn() == expected


def test_what_is_left_over_waits_for_another_epoch(photos: DataSet) -> None:
    batches = training(photos, NOTHING, batch=4)
    assert len(batches) == 3
    seen: set[int] = set()
    for epoch in range(6):
        indices = [index for batch in batches.batches(epoch) for index in batch.indices]
        assert len(set(indices)) == 12
        seen.update(indices)
    assert seen == set(range(13))


def test_a_set_smaller_than_a_batch_is_one_batch(photos: DataSet) -> None:
    (batch,) = training(photos, NOTHING, batch=64).batches(0)
    assert sorted(batch.indices) == list(range(13))
    # Mixup needs pairs.
    (mixed,) = training(photos, batch=64).batches(0)
    assert len(set(mixed.indices)) == 12


def test_devices_share_the_same_batches(photos: DataSet) -> None:
    alone = list(training(photos, NOTHING, batch=4).batches(0))
    parts = [list(training(photos, NOTHING, rank=rank, world=2).batches(0)) for rank in (0, 1)]
    for whole, first, second in zip(alone, *parts, strict=True):
        assert len(first.indices) == len(second.indices) == 2
        assert whole.indices[0::2] == first.indices
        assert whole.indices[1::2] == second.indices
        assert torch.equal(whole.pixels[1::2], second.pixels)


def test_a_batch_that_cannot_be_shared_is_refused(photos: DataSet) -> None:
    with pytest.raises(DeployBenchError, match="batches of 1 image") as refusal:
        training(photos, batch=1)
    assert "2: 1 device, and pairs of images for mixup" in str(refusal.value)
    assert len(training(photos, NOTHING, batch=1)) == 13


def test_images_without_labels_are_refused(tmp_path: Path) -> None:
    data = data_set(tmp_path, ("a",), [Example("one", labels=(0,)), Example("two"), Example("3")])
    with pytest.raises(DeployBenchError, match=r"2 of 3 images were found without a label.*two"):
        training(data)
    with pytest.raises(DeployBenchError, match="no images"):
        training(data.with_examples(()))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_does_not_read_is_named(tmp_path: Path, workers: int) -> None:
    data = photographs(tmp_path, {"cat": 3, "dog": 3})
    (tmp_path / "dog" / "1.png").write_bytes(b"no image")
    for batches in (
        training(data, NOTHING, batch=2, workers=workers).batches(0),
        EvaluationImages(data, COLOURS, batch=2, workers=workers).batches(),
    ):
        with pytest.raises(DeployBenchError) as refusal:
            list(batches)
        assert "1.png does not read as an image" in refusal.value.found
        assert "Traceback" not in str(refusal.value)
        assert "take it out of the data" in str(refusal.value)


def test_images_that_do_not_read_can_be_found_before_they_are_needed(tmp_path: Path) -> None:
    data = photographs(tmp_path, {"cat": 4, "dog": 4})
    check_images(data, COLOURS)
    (tmp_path / "cat" / "1.png").unlink()
    with pytest.raises(DeployBenchError, match=r"there is no image .*1\.png"):
        check_images(data, COLOURS)
    (tmp_path / "cat" / "2.png").write_bytes(b"")
    with pytest.raises(DeployBenchError, match=r"2 of 8 images looked at do not read: .*2\.png"):
        check_images(data, COLOURS)


def test_workers_end_with_the_loop_that_is_left(photos: DataSet) -> None:
    before = set(psutil.Process().children(recursive=True))
    batches = training(photos, batch=2, workers=2).batches(0)
    next(batches)
    during = set(psutil.Process().children(recursive=True)) - before
    assert len(during) >= 2
    batches.close()  # type: ignore[attr-defined]
    _, alive = psutil.wait_procs(during, timeout=10)
    assert not alive


@pytest.mark.parametrize("start_s", [0, 0.5], ids=["begun", "beginning"])
def test_workers_go_on_at_ctrl_c_until_their_parent_ends_them(
    photos: DataSet, monkeypatch: pytest.MonkeyPatch, start_s: float
) -> None:
    """A worker that has not come to say that it does not heed Ctrl-C goes on as well."""

    def begin_slowly() -> None:
        if torch.utils.data.get_worker_info().id == 1:
            time.sleep(start_s)

    monkeypatch.setattr(workers, "die_with_parent", begin_slowly)
    before = set(psutil.Process().children(recursive=True))
    batches = training(photos, batch=2, workers=2).batches(0)
    made = [next(batches)]
    for process in set(psutil.Process().children(recursive=True)) - before:
        process.send_signal(signal.SIGINT)
    made += batches
    assert all_same(iter(made), training(photos, batch=2).batches(0))


KILLED = """
import sys
from deploybench.data.opening import open_data
from deploybench.training.augmentation import Augmentation
from deploybench.training.images import TrainingImages
from tests.training.image_sets import COLOURS

batches = TrainingImages(
    open_data(sys.argv[1]), COLOURS, Augmentation(), batch=2, seed=0, balance="none", workers=2
).batches(0)
next(batches)
print("begun", flush=True)
sys.stdin.read()
"""


def test_workers_end_with_a_parent_that_is_killed(photos: DataSet) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(photos.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "begun\n"
        children = psutil.Process(parent.pid).children(recursive=True)
        assert len(children) >= 2
        os.kill(parent.pid, signal.SIGKILL)
        parent.wait(timeout=10)
    # On Linux at once; torch's own watch looks every five seconds.
    patience = 3 if sys.platform.startswith("linux") else 60
    _, alive = psutil.wait_procs(children, timeout=patience)
    for process in alive:
        process.kill()
    assert not alive


def test_a_worker_that_dies_is_told_where_its_batch_is_waited_for(photos: DataSet) -> None:
    before = set(psutil.Process().children(recursive=True))
    batches = training(photos, batch=2, workers=1).batches(0)
    next(batches)
    for process in set(psutil.Process().children(recursive=True)) - before:
        process.kill()
    # Here a step is being made, which nothing is to break into.
    time.sleep(0.2)
    with pytest.raises(DeployBenchError, match="a process that reads images has died"):
        list(batches)


def test_what_the_workers_need_can_be_sent_to_them(photos: DataSet) -> None:
    """Where processes are not forked (macOS, Python from 3.14 on) it is pickled."""
    batches = training(photos)
    again = pickle.loads(pickle.dumps(batches))
    assert all_same(batches.batches(0), again.batches(0))


def multi_label(tmp_path: Path) -> DataSet:
    photographs(tmp_path, {"x": 4, "y": 1})
    labels = [((0,), ()), ((0, 1), (2,)), ((), (0,)), ((2,), ())]
    examples = [
        Example(f"x/{index}.png", labels=present, unknown=unknown)
        for index, (present, unknown) in enumerate(labels)
    ]
    return data_set(tmp_path, ("a", "b", "c"), examples, "multi-label")


def test_targets_of_several_labels_say_what_is_known(tmp_path: Path) -> None:
    data = multi_label(tmp_path)
    (batch,) = EvaluationImages(data, COLOURS, batch=4, workers=0).batches()
    assert batch.targets.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1]]
    assert batch.known is not None
    assert batch.known.tolist() == [
        [True, True, True],
        [True, True, False],
        [False, True, True],
        [True, True, True],
    ]


def test_mixed_targets_are_known_where_those_of_both_images_are(tmp_path: Path) -> None:
    data = multi_label(tmp_path)
    mixed = Augmentation(scale=(1, 1), horizontal_flip=0, mixup=1.0)
    (batch,) = training(data, mixed, batch=4).batches(0)
    table = data.targets()
    assert batch.known is not None
    # Row i is mixed with the one at its place from the end.
    for row, (index, other) in enumerate(zip(batch.indices, batch.indices[::-1], strict=True)):
        expected = (table[index] >= 0) & (table[other] >= 0)
        assert batch.known[row].tolist() == expected.tolist()
        both = (table[index] == 1) & (table[other] == 1)
        assert (batch.targets[row][torch.from_numpy(both)] == 1).all()
    assert not torch.equal(batch.targets, batch.targets.round())


def test_mixed_classes_make_one_and_go_with_their_pixels(photos: DataSet) -> None:
    mixed = Augmentation(scale=(1, 1), horizontal_flip=0, mixup=1.0)
    for plain, batch in zip(
        training(photos, NOTHING).batches(0), training(photos, mixed).batches(0), strict=True
    ):
        assert plain.indices == batch.indices
        assert torch.allclose(batch.targets.sum(dim=1), torch.ones(4))
        # pixels = share * own + (1 - share) * other: the share is found again in the pixels.
        own, other = plain.pixels, plain.pixels.flip(0)
        share = ((batch.pixels - other) * (own - other)).sum() / ((own - other) ** 2).sum()
        classes = torch.nn.functional.one_hot(plain.targets, 3).float()
        expected = share * classes + (1 - share) * classes.flip(0)
        assert torch.allclose(batch.targets, expected, atol=1e-4)
