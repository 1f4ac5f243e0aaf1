"""What is in a set: its splits and classes with counts, the sizes and modes of its images, those
that do not read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.dataset import UNREADABLE, DataSet, Example
from deploybench.data.image_values import GREY_FOR_COLOURS
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.data.splits import groups_in_several_splits
from deploybench.errors import DeployBenchError

AS_IT_IS = Preprocessing(
    channels=3,
    height=224,
    width=224,
    crop_fraction=1,
    interpolation="bilinear",
    mean=(0, 0, 0),
    std=(1, 1, 1),
)
"""Only reading is looked at; the size plays no part."""
USUAL_SAMPLE = 200


@dataclass(frozen=True)
class ClassCount:
    """The images of a class, in all and in each split; ``unknown`` are those of which nobody says
    whether they have it."""

    name: str
    images: int
    by_split: tuple[int, ...]
    unknown: int = 0


@dataclass(frozen=True)
class ImageKind:
    """Images of one mode and size, of those that were looked at."""

    mode: str
    width: int
    height: int
    images: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Unreadable:
    """An image that does not read, and why."""

    place: str
    reason: str
    action: str


@dataclass(frozen=True)
class Copies:
    """Images whose content is that of an earlier one, to the byte: how many; how many of them are
    in another split than the earlier one, and how many have another label."""

    images: int = 0
    in_another_split: int = 0
    with_another_label: int = 0


@dataclass(frozen=True)
class Survey:
    """All that is told of a set; ``sampled`` images were opened, of all that there are."""

    data: DataSet
    sha256: str | None
    classes: tuple[ClassCount, ...]
    split_sizes: tuple[tuple[str, int], ...]
    """(split, images); images without a split are not in it."""
    unlabelled: int
    patients: int
    shared_patients: int
    copies: Copies | None
    """None where the images were not hashed."""
    sampled: int
    kinds: tuple[ImageKind, ...]
    unreadable: tuple[Unreadable, ...]


def survey(
    data: DataSet,
    *,
    sample: int | None = USUAL_SAMPLE,
    hashed: bool = True,
    options: PreprocessingOptions | None = None,
    progress: Callable[[str, int, int], object] = lambda step, done, total: None,
) -> Survey:
    """Count, open ``sample`` images that are spread evenly (None: all), hash all.

    ``options`` say what is black and white, as for reading. ``progress`` is told the step, how far
    it is, and of how many. Raises DeployBenchError for options that no model can take.
    """
    spec = AS_IT_IS if options is None else options.applied_to(AS_IT_IS)
    chosen = spread(data.examples, sample)
    kinds, unreadable = _looked_at(data, chosen, spec, progress)
    sha256 = None
    copies = None
    if hashed:
        firsts = _Firsts()
        sha256 = data.sha256(lambda done: progress("hash", done, len(data)), firsts.look)
        copies = firsts.copies
    groups = {example.group for example in data.examples if example.group is not None}
    sizes = Counter(example.split for example in data.examples)
    return Survey(
        data=data,
        sha256=sha256,
        classes=_classes(data),
        split_sizes=tuple((name, sizes[name]) for name in data.splits),
        unlabelled=sum(example.labels is None for example in data.examples),
        patients=len(groups),
        shared_patients=len(groups_in_several_splits(data)),
        copies=copies,
        sampled=len(chosen),
        kinds=kinds,
        unreadable=unreadable,
    )


class _Firsts:
    """Finds images that were there before, by their hashes."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[str | None, tuple[int, ...] | None]] = {}
        self.copies = Copies()

    def look(self, example: Example, content: str) -> None:
        """Another image with the hash of its content."""
        if content == UNREADABLE:
            return
        key = bytes.fromhex(content)
        if key not in self._known:
            self._known[key] = example.split, example.labels
            return
        split, labels = self._known[key]
        self.copies = Copies(
            self.copies.images + 1,
            self.copies.in_another_split + (split != example.split),
            self.copies.with_another_label + (labels != example.labels),
        )


def spread(examples: Sequence[Example], count: int | None) -> list[Example]:
    """So many examples from all over the list: the middle of each of as many equal parts."""
    if count is None or count >= len(examples):
        return list(examples)
    if not count:
        return []
    step = len(examples) / count
    return [examples[int((index + 0.5) * step)] for index in range(count)]


def _classes(data: DataSet) -> tuple[ClassCount, ...]:
    all_of_them = data.counts()
    parts = [data.in_split(name).counts() for name in data.splits]
    unknown: Counter[int] = Counter()
    for example in data.examples:
        unknown.update(example.unknown)
    return tuple(
        ClassCount(name, all_of_them[index], tuple(part[index] for part in parts), unknown[index])
        for index, name in enumerate(data.class_names)
    )


def _looked_at(
    data: DataSet,
    chosen: Sequence[Example],
    spec: Preprocessing,
    progress: Callable[[str, int, int], object],
) -> tuple[tuple[ImageKind, ...], tuple[Unreadable, ...]]:
    counts: Counter[tuple[str, int, int]] = Counter()
    notes: dict[tuple[str, int, int], dict[str, None]] = {}
    unreadable: list[Unreadable] = []
    for index, example in enumerate(chosen):
        try:
            picture = data.picture(example, spec)
        except DeployBenchError as error:
            unreadable.append(Unreadable(data.place(example), error.found, error.action or ""))
        else:
            kind = (picture.mode, *picture.size)
            counts[kind] += 1
            # No model is asked about here.
            told = (note for note in picture.notes if note != GREY_FOR_COLOURS)
            notes.setdefault(kind, {}).update(dict.fromkeys(told))
        progress("images", index + 1, len(chosen))
    kinds = tuple(
        ImageKind(mode, width, height, count, tuple(notes[mode, width, height]))
        for (mode, width, height), count in counts.most_common()
    )
    return kinds, tuple(unreadable)
