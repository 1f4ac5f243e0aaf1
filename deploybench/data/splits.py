"""Splits a set so that every part has its share of each class, and no patient is in two parts.

Iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011), with groups in place of images: the
group that has the rarest class goes where that class is missed most. It holds for labels of one
class and of several, is the same on every machine for the same data and seed, and needs no library
whose next version might draw otherwise.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from deploybench.data.dataset import DataSet, Example
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted

Integers = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

USUAL_SHARES: Mapping[str, float] = {"train": 0.75, "val": 0.1, "test": 0.15}
"""As RadImageNet was split for its paper."""


@dataclass(frozen=True)
class SplitResult:
    """The set with its splits, and what could not be had, in sentences."""

    data: DataSet
    notes: tuple[str, ...]


def split_data(
    data: DataSet, shares: Mapping[str, float] | None = None, seed: int = 0
) -> SplitResult:
    """The same images with a split for each, by the shares that the splits are to have.

    Images of one group (patient) stay together; where the data has no groups, every image is one.
    A class with too few groups to be in every split goes to the first ones, and a note says so.

    Raises DeployBenchError for shares that are none, and for fewer groups than splits.
    """
    shares = dict(USUAL_SHARES if shares is None else shares)
    check_shares(shares)
    groups = _groups(data, seed)
    if len(groups) < len(shares):
        raise DeployBenchError(
            f"{data.name} has {counted(len(groups), 'patient or image', 'patients or images')}, "
            f"and {counted(len(shares), 'split')} asked for",
            expected="at least one for each",
        )
    chosen = _assigned(data, groups, shares)
    examples = tuple(
        replace(example, split=chosen[index]) for index, example in enumerate(data.examples)
    )
    result = data.with_examples(examples)
    return SplitResult(result, _notes(result, tuple(shares)))


def check_shares(shares: Mapping[str, float]) -> None:
    """Raise DeployBenchError for shares that do not make a whole."""
    total = math.fsum(shares.values())
    positive = all(math.isfinite(share) and share > 0 for share in shares.values())
    if len(shares) < 2 or not positive or not math.isclose(total, 1, abs_tol=1e-6):
        said = ", ".join(f"{name} {share:g}" for name, share in shares.items())
        raise DeployBenchError(
            f"shares of {said or 'nothing'}",
            expected="two or more over 0 that make 1: train 0.75, val 0.1, test 0.15",
        )


def groups_in_several_splits(data: DataSet) -> tuple[str, ...]:
    """The patients of whom there are images in more than one split: what is learned of them in one
    is tested in another."""
    splits: dict[str, set[str | None]] = defaultdict(set)
    for example in data.examples:
        if example.group is not None:
            splits[example.group].add(example.split)
    return tuple(group for group, names in splits.items() if len(names) > 1)


def _groups(data: DataSet, seed: int) -> list[list[int]]:
    """The images of each group, in an order that the seed gives.

    By a hash of the group's name: an image more or less moves no other group's place.
    """
    members: dict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(data.examples):
        members[_group_of(example)].append(index)

    def drawn(name: str) -> bytes:
        return hashlib.sha256(f"{seed}\0{name}".encode(errors="surrogateescape")).digest()

    return [members[name] for name in sorted(members, key=drawn)]


def _group_of(example: Example) -> str:
    if example.group is not None:
        return f"group\0{example.group}"
    return f"image\0{example.key}"


def _assigned(
    data: DataSet, groups: Sequence[Sequence[int]], shares: Mapping[str, float]
) -> dict[int, str]:
    """The split of each image, by its index."""
    names = tuple(shares)
    share = np.array([shares[name] for name in names])
    # groups x classes: how many images of each class a group has. The last column counts the
    # images that have no class, so that they are spread as well.
    table = np.zeros((len(groups), len(data.class_names) + 1), dtype=np.int64)
    for row, members in zip(table, groups, strict=True):
        for index in members:
            labels = data.examples[index].labels or (len(data.class_names),)
            row[list(labels)] += 1
    sizes = np.array([len(members) for members in groups])
    # splits x classes: how many images each split still lacks; and how many in all.
    lacking = share[:, None] * table.sum(axis=0)[None, :]
    room = share * sizes.sum()
    given = np.zeros_like(lacking)
    places = np.zeros(len(groups), dtype=np.int64)
    waiting = np.ones(len(groups), dtype=bool)
    while waiting.any():
        rarest = _rarest(table, waiting)
        rows = np.flatnonzero(waiting & (table[:, rarest] > 0))
        # The largest groups first: what is left over is filled up with small ones.
        ordered = rows[np.argsort(-table[rows, rarest], kind="stable")]
        for position, row in enumerate(ordered):
            # Where the class is missed most; then where images are missed most.
            order = np.lexsort((-room, -lacking[:, rarest]))
            # The last groups of a class go where there is none of it.
            without = order[given[order, rarest] == 0]
            if len(ordered) - position <= len(without):
                order = without
            place = int(order[0])
            given[place] += table[row]
            lacking[place] -= table[row]
            room[place] -= sizes[row]
            waiting[row] = False
            places[row] = place
    _even_out(places, table, sizes, room)
    chosen = {}
    for members, place in zip(groups, places.tolist(), strict=True):
        for index in members:
            chosen[index] = names[place]
    return chosen


def _even_out(places: Integers, table: Integers, sizes: Integers, room: Floats) -> None:
    """Move groups from the split that has most images too many to the one that lacks most.

    Every class may leave a group over in a split. Where images have several classes at a time,
    shares of the classes that are met can still leave a split farther off.

    ``places`` and ``room`` are changed; a group is moved only where another one of its classes
    stays.
    """
    farthest = table.shape[1] * int(sizes.max())
    while float(np.abs(room).max()) > farthest:
        fullest, emptiest = int(np.argmin(room)), int(np.argmax(room))
        there = np.flatnonzero(places == fullest)
        stays = table[there].sum(axis=0) - table[there]
        spared = there[((stays > 0) | (table[there] == 0)).all(axis=1)]
        if len(spared) == 0:
            return
        # The smallest one that has anything: it moves the shares of its classes least.
        row = spared[np.argmin(sizes[spared])]
        places[row] = emptiest
        room[fullest] += sizes[row]
        room[emptiest] -= sizes[row]


def _rarest(table: Integers, waiting: npt.NDArray[np.bool_]) -> int:
    """The class of which the fewest images are left, of those of which any is."""
    left = table[waiting].sum(axis=0)
    return int(np.argmin(np.where(left > 0, left, np.iinfo(np.int64).max)))


def _notes(data: DataSet, names: Sequence[str]) -> tuple[str, ...]:
    """Which classes a split lacks."""
    notes = []
    for name in names:
        part = [example for example in data.examples if example.split == name]
        counts = data.with_examples(part).counts()
        absent = [label for label, count in zip(data.class_names, counts, strict=True) if not count]
        present = data.counts()
        absent = [label for label in absent if present[data.class_names.index(label)]]
        if absent:
            notes.append(f"{name} has no image of {', '.join(absent[:8])}: too few patients")
    return tuple(notes)
