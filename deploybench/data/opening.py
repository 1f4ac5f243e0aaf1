"""One door for data: which form a folder or a file has, and the set that it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from deploybench.data.dataset import DataSet, check_class_names
from deploybench.errors import DeployBenchError

Uncertain = Literal["ones", "zeros", "ignore"]
"""What a label counts as that says 'uncertain' (CheXpert's -1): present, absent, or not known."""


@dataclass(frozen=True)
class DataOptions:
    """What a user says of the data; None leaves it to the data.

    ``class_names`` are the classes in the order of the labels: of numbered labels they are the
    names, of named ones the order. ``unlabelled`` takes folders as folders, not as classes.
    """

    class_names: tuple[str, ...] | None = None
    uncertain: Uncertain | None = None
    unlabelled: bool = False


def open_data(
    path: str | Path,
    *,
    split: str | None = None,
    class_names: Sequence[str] | None = None,
    uncertain: Uncertain | None = None,
    unlabelled: bool = False,
) -> DataSet:
    """The set of images in a folder or a file; its form is recognised.

    No image is read: one that does not read shows when it is asked for. ``split`` None takes all.

    Raises DeployBenchError that names the file, the line and the column of what is wrong, and for
    data without images, with one class only (unless ``class_names`` names more), or in no form
    that is known.
    """
    names = None
    if class_names is not None:
        names = tuple(class_names)
        check_class_names(names)
    options = DataOptions(names, uncertain, unlabelled)
    data = _recognised(Path(path), options)
    if split is not None:
        data = data.in_split(split)
    return data


def _recognised(path: Path, options: DataOptions) -> DataSet:
    from deploybench.data.forms import folders

    if not path.exists():
        raise DeployBenchError(
            f"there is no data at {path}",
            expected="a folder of images, or a file that lists or holds them",
            action="check the path",
        )
    if path.is_dir():
        return folders.open_folder(path, options)
    raise DeployBenchError(
        f"{path} is no set of images in a form that is known",
        expected="a folder of images, or a file that lists or holds them",
    )
