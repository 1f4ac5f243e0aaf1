"""What a runner tells of a file that nobody exported here: its inputs, its outputs, what it holds.

A runner that reads such files names their suffixes in ``Runner.adopts``. Everything is told as the
file has it; what it does not tell stays None or empty, and is never made up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from deploybench.artifacts.artifact import PathStep

Size = int | str
"""A size, or the name of a dimension that is free; empty where it has no name."""


@dataclass(frozen=True)
class ForeignTensor:
    """An input or an output. ``shape`` None: the file does not tell it.

    ``dtype`` is NumPy's name of it, or the format's own where NumPy has none (``bfloat16``,
    ``string``); empty where the file does not tell. ``layout`` is what the file itself says of an
    input, where it says so. ``path`` is where an output stands in what a call returns.
    """

    name: str
    dtype: str
    shape: tuple[Size, ...] | None
    layout: Literal["nchw", "nhwc"] | None = None
    path: tuple[PathStep, ...] = ()


@dataclass(frozen=True)
class ForeignFile:
    """What a file tells of itself.

    ``files`` are the names of all that belongs to it, relative to its folder, itself among them.
    ``precision`` is what its weights are in (int8 where products are quantised), ``parameters``
    how many numbers its weights have; None where that cannot be known. ``label_names`` are the
    classes in the order of the outputs, where the file carries them. ``outputs`` are empty where
    only a call tells them (:meth:`Runner.outputs_of`).
    """

    inputs: tuple[ForeignTensor, ...]
    outputs: tuple[ForeignTensor, ...]
    files: tuple[str, ...]
    precision: str | None
    parameters: int | None = None
    facts: Mapping[str, str | int] = field(default_factory=dict)
    label_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForeignWork:
    """The multiply-adds of a call; ``uncounted`` are operators that may do more of them."""

    macs: int
    uncounted: tuple[str, ...] = ()
