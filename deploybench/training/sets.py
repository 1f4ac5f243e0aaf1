"""Which images are trained on and which the epochs are judged by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

from deploybench.data.dataset import UNREADABLE, DataSet, Example
from deploybench.data.forms.folders import CLASSES, CLASSES_IN_SPLITS
from deploybench.data.opening import open_data
from deploybench.data.splits import groups_in_several_splits, split_data
from deploybench.errors import DeployBenchError
from deploybench.files import from_here
from deploybench.plurals import counted
from deploybench.training.images import check_labels
from deploybench.training.request import TrainingRequest

TRAIN = "train"
EVALUATED_ON = ("val", "test")
"""The first of them that there is judges the epochs."""
MADE_SHARES = {"train": 0.8, "val": 0.2}
NAMED = 8


@dataclass(frozen=True)
class TrainingSets:
    """The two sets, what they are called, and what was decided about them in sentences.

    ``held_out`` is a split that plays no part. ``made`` is the whole set with the split that was
    made for it; None where it had one.
    """

    training: DataSet
    evaluation: DataSet
    training_name: str
    evaluation_name: str
    notes: tuple[str, ...]
    held_out: str | None = None
    made: DataSet | None = None


def training_sets(request: TrainingRequest) -> TrainingSets:
    """Open the data and tell its splits apart.

    Raises DeployBenchError for data that nothing can be learned from: without labels, with images
    of one class only, without a split that was named. And where the training would write among the
    folders of classes.
    """
    data = open_data(
        request.data,
        class_names=request.class_names,
        uncertain=request.uncertain,
        columns=request.columns,
    )
    _check_apart(request, data)
    if not data.class_names:
        raise DeployBenchError(
            f"{data.root} has no labels ({data.form}), and nothing can be learned without",
            expected="a folder for each class, or a table with a column of labels",
            action=f"deploybench data show {data.root} says how it is read",
        )
    sets = _told_apart(data, request)
    for part in (sets.training, sets.evaluation):
        check_labels(part)
    _check_classes(sets)
    if len(sets.evaluation) < request.devices:
        raise DeployBenchError(
            f"{counted(len(sets.evaluation), 'image')} to judge by ('{sets.evaluation_name}') and "
            f"--devices {request.devices}",
            expected="an image for each device at least",
            action="fewer --devices, or another --eval-split",
        )
    return _with_notes(sets)


def _check_apart(request: TrainingRequest, data: DataSet) -> None:
    """Refuse to write where each folder is a class: the training's, in which an image lies, would
    be one the next time."""
    if data.form not in (CLASSES, CLASSES_IN_SPLITS):
        return
    root, out = data.root.resolve(), request.out.resolve()
    if out != root and root not in out.parents:
        return
    raise DeployBenchError(
        f"--out {request.out} lies within --data {request.data}, where a folder is a class",
        expected="a folder beside the images, not among them",
        action=f"another --out, such as {from_here(root.parent / 'trained')}; a training that lies "
        "there already can be moved",
    )


def _told_apart(data: DataSet, request: TrainingRequest) -> TrainingSets:
    if not data.splits:
        return _split(data, request)
    training = request.train_split
    if training is None:
        training = _first_of((TRAIN,), data, None)
    evaluation = request.eval_split
    if evaluation is None:
        others = tuple(name for name in EVALUATED_ON if name != training)
        evaluation = _first_of(others, data, training)
    if training is None:
        raise DeployBenchError(
            f"{data.root} has no split '{TRAIN}': it has {', '.join(data.splits)}",
            expected="a split to train on",
            action="name it: --train-split NAME",
        )
    if evaluation is None:
        return _split(data.in_split(training), request, _left_out(data, (training,)))
    if training == evaluation:
        raise DeployBenchError(
            f"--train-split and --eval-split are both '{training}'",
            expected="other images to judge the training by than those that it learns",
        )
    notes = _left_out(data, (training, evaluation))
    if evaluation == "test" and request.eval_split is None:
        notes = (
            *notes,
            "the epochs are judged by 'test', as there is no 'val': the best epoch is chosen on "
            "those images, so its figures on them are a little too good",
        )
    held_out = None
    if "test" in data.splits and "test" not in (training, evaluation):
        held_out = "test"
    return TrainingSets(
        data.in_split(training),
        data.in_split(evaluation),
        training,
        evaluation,
        notes,
        held_out=held_out,
    )


def _first_of(names: tuple[str, ...], data: DataSet, taken: str | None) -> str | None:
    """The first of the names that is a split of the data and not taken by the other part."""
    for name in names:
        if name in data.splits and name != taken:
            return name
    return None


def _left_out(data: DataSet, used: tuple[str, ...]) -> tuple[str, ...]:
    """A sentence about the images that are in none of the ``used`` splits; none where all are."""
    without = sum(example.split is None for example in data)
    others = Counter(
        example.split for example in data if example.split is not None and example.split not in used
    )
    parts = [f"{count} in the split '{name}'" for name, count in others.items()]
    if without:
        parts.append(f"{without} without a split")
    if not parts:
        return ()
    left = counted(without + others.total(), "image takes", "images take")
    return (f"{left} no part, of {len(data)}: {', '.join(parts)}",)


def _split(data: DataSet, request: TrainingRequest, left_out: tuple[str, ...] = ()) -> TrainingSets:
    """A split made by class and by patient, where the data has none to judge by; ``left_out`` is
    what was said of images that ``data`` does not have."""
    for name in (request.train_split, request.eval_split):
        if name is not None and name not in data.splits:
            data.in_split(name)  # which says what there is
    check_labels(data)
    # Of the same seed whatever the training's: a comparison of seeds is on the same images.
    result = split_data(data, MADE_SHARES)
    notes = (
        *left_out,
        f"{data.root} has no split to judge by: {MADE_SHARES['val']:.0%} of the images were set "
        "aside, by class and by patient",
        *result.notes,
    )
    whole = result.data
    return TrainingSets(
        whole.in_split("train"), whole.in_split("val"), "train", "val", notes, made=whole
    )


def _check_classes(sets: TrainingSets) -> None:
    """Refuse images from which no difference can be learned, or by which none can be judged."""
    data = sets.training
    counts = data.counts()
    if data.task == "multi-label":
        judged = sets.evaluation.targets()
        usable = ((judged == 1).any(axis=0) & (judged == 0).any(axis=0)).any()
        if not usable:
            raise DeployBenchError(
                f"the split '{sets.evaluation_name}' has no label that some images have and others "
                "do not: no epoch can be judged by it",
                expected="images of both kinds",
                action="another --eval-split",
            )
        return
    present = [name for name, count in zip(data.class_names, counts, strict=True) if count]
    if len(present) < 2:
        raise DeployBenchError(
            f"all {counted(len(data), 'image')} to train on are of one class: {', '.join(present)}",
            expected="images of two classes at least",
            action=f"deploybench data show {data.root} counts them",
        )


def _with_notes(sets: TrainingSets) -> TrainingSets:
    data = sets.training
    notes = [*data.notes, *sets.notes]
    names = data.class_names
    absent = [name for name, count in zip(names, data.counts(), strict=True) if not count]
    if absent:
        words = counted(len(absent), "class has", "classes have")
        listed = ", ".join(absent[:NAMED]) + (", …" if len(absent) > NAMED else "")
        notes.append(f"{words} no image to train on and cannot be learned: {listed}")
    both = data.with_examples((*sets.training.examples, *sets.evaluation.examples))
    shared = groups_in_several_splits(both)
    if shared:
        notes.append(
            f"{counted(len(shared), 'patient has', 'patients have')} images in both splits "
            f"({', '.join(shared[:3])}, …): the figures are better than for new patients"
        )
    return replace(sets, notes=tuple(dict.fromkeys(notes)))


def hash_of(sets: TrainingSets, tell: Callable[[int, int], object]) -> tuple[str, str]:
    """The hashes of the content of the two sets; every image is read once. ``tell`` is told how
    many of how many were.

    Raises DeployBenchError for images that cannot be read from the disk.
    """
    total = len(sets.training) + len(sets.evaluation)
    lost: list[str] = []

    def seen(part: DataSet, example: Example, content: str) -> None:
        if content == UNREADABLE:
            lost.append(part.place(example))

    hashes = []
    before = 0
    for part in (sets.training, sets.evaluation):
        start = before

        def progress(done: int, start: int = start) -> None:
            tell(start + done, total)

        def note(example: Example, content: str, part: DataSet = part) -> None:
            seen(part, example, content)

        hashes.append(part.sha256(progress, note))
        before += len(part)
    if lost:
        raise DeployBenchError(
            f"{counted(len(lost), 'image')} of {total} cannot be read: "
            f"{', '.join(lost[:NAMED])}" + (", …" if len(lost) > NAMED else ""),
            expected="every image that the data names",
            action="bring them back, or take them out of the data: none is left out in silence",
        )
    return hashes[0], hashes[1]
