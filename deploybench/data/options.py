"""What a user says of data whose files leave it open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from deploybench.errors import DeployBenchError

Uncertain = Literal["ones", "zeros", "ignore"]
"""What a label counts as that says 'uncertain' (CheXpert's -1): present, absent, or not known."""
ColumnUse = Literal["path", "label", "split", "patient"]


class LabelsLackError(DeployBenchError):
    """Images that have no labels, or none that are known: they open with ``unlabelled``."""


@dataclass(frozen=True)
class DataOptions:
    """What a user says of the data; None leaves it to the data.

    ``class_names`` are the classes in the order of the labels: of numbered labels they are the
    names, of named ones the order. ``unlabelled`` takes folders as folders, not as classes.
    ``columns`` says which column of a table is which.
    """

    class_names: tuple[str, ...] | None = None
    uncertain: Uncertain | None = None
    unlabelled: bool = False
    columns: Mapping[ColumnUse, str] = field(default_factory=dict)
