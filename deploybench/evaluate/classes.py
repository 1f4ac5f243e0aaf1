"""How the classes of the data become the classes of the model.

By name where both have names. What is assumed is said; where the two orders contradict each other
nothing is guessed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.data.dataset import DataSet
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted

FEW = 6
BY_NAME = "by name"


@dataclass(frozen=True)
class Matched:
    """The data with the model's classes in the model's order, and how that was found."""

    data: DataSet
    how: str


def matched(
    data: DataSet, labels: Sequence[str] | None, classes: int, *, given: bool = False
) -> Matched:
    """The data in the classes of a model that has so many and, if it has names, ``labels``.

    ``given`` says that the user named the data's classes in the model's order (``--class-names``).

    Raises DeployBenchError where the numbers of classes do not go together, for a class that the
    model does not have, and for the same names in two orders that both were meant.
    """
    names = data.class_names
    if given:
        if len(names) != classes:
            raise DeployBenchError(
                f"--class-names has {counted(len(names), 'name')}, and the model puts out "
                f"{counted(classes, 'class', 'classes')}",
                expected="a name for each output of the model, in its order",
            )
        how = "as --class-names says"
        if labels is not None and tuple(labels) != names:
            place = _first_other(names, labels)
            how += (
                f": output {place} is '{names[place]}', which the artifact calls '{labels[place]}'"
            )
            if sorted(names) == sorted(labels):
                how += ". It has the same names in another order: by them the answers were others"
        return Matched(data, how)
    if labels is None:
        if len(names) != classes:
            raise DeployBenchError(
                f"{data.root} has {counted(len(names), 'class', 'classes')}, the model puts out "
                f"{classes}, and the artifact does not name them",
                expected="a name for each output of the model, in its order",
                action="--class-names a,b,c (or a file of names), or export with --labels FILE",
            )
        first = ", ".join(names[:FEW]) + (", …" if len(names) > FEW else "")
        return Matched(
            data,
            f"assumed: the model's outputs are the data's classes in their order ({first}), "
            "because the artifact does not name them",
        )
    _check_named(data, labels)
    _check_order(data, labels)
    how = BY_NAME
    if tuple(labels) != names:
        how = f"{BY_NAME}; the data has them in another order, or not all"
    return Matched(data.with_classes(_told_apart(labels)), how)


def _first_other(names: Sequence[str], labels: Sequence[str]) -> int:
    """The first place at which the two have another name."""
    return next(index for index, name in enumerate(names) if name != labels[index])


def _check_named(data: DataSet, labels: Sequence[str]) -> None:
    """Refuse labels that are numbers, of a model whose classes have names: which number is which
    name is written nowhere."""
    numbers = data.class_names
    if set(numbers) & set(labels) or not all(name.isdigit() for name in numbers):
        return
    first = ", ".join(labels[:FEW]) + (", …" if len(labels) > FEW else "")
    raise DeployBenchError(
        f"the labels of {data.root} are numbers ({numbers[0]} to {numbers[-1]}), and the model's "
        f"classes have names ({first})",
        expected="names, or to be told which number is which",
        action="--class-names with the model's names in their order, if the numbers count its "
        "outputs from 0 on; else names in the place of the numbers",
    )


def _told_apart(labels: Sequence[str]) -> list[str]:
    """Names that a model gives twice (ImageNet has two cranes) with their place, so that neither is
    taken for the other."""
    count = Counter(labels)
    apart = []
    for index, label in enumerate(labels):
        if count[label] > 1:
            label = f"{label} (output {index})"
        apart.append(label)
    return apart


def _check_order(data: DataSet, labels: Sequence[str]) -> None:
    """Refuse the same names in another order that is not the alphabet's.

    Folders are sorted by their names, and nobody meant that order. An order that somebody wrote
    down goes with the numbers of the labels: one of the two lists is then wrong.
    """
    names = data.class_names
    if sorted(names) != sorted(labels) or tuple(labels) == names:
        return
    if list(names) == sorted(names):
        return
    first = _first_other(names, labels)
    raise DeployBenchError(
        f"{data.root} has the model's classes in another order: class {first} is '{names[first]}' "
        f"in the data and '{labels[first]}' in the model",
        expected="one order, or to be told which one holds",
        action="--class-names with the names in the model's order, if the labels' numbers are its",
    )
