"""``reference.npz``: the reference images of an artifact, and what fp32 eager makes of them.

It holds ``inputs`` (float32, images x channels x height x width, already normalised) and the fp32
eager outputs on them: ``outputs`` are those of the main output (float32, images x classes),
``output:NAME`` those of every further one (float32, images x …). For each reduced precision whose
cost was measured ``cost:bf16``, say, holds the main outputs with every number rounded to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.cost import COST_PREFIX

REFERENCE = "reference.npz"
FURTHER_OUTPUT = "output:"
"""Before the name of an output that is not the main one."""
Array = npt.NDArray[np.float32]


def write_references(
    folder: Path,
    images: Array,
    outputs: Mapping[str, Array],
    costs: Mapping[str, Array] | None = None,
) -> None:
    """Write the reference images and the outputs on them by name, the main output first.

    ``costs`` are the main outputs rounded to each reduced precision, by precision.
    """
    main, *further = outputs
    arrays = {"inputs": images, "outputs": outputs[main]}
    for name in further:
        arrays[FURTHER_OUTPUT + name] = outputs[name]
    for precision, rounded in (costs or {}).items():
        arrays[COST_PREFIX + precision] = rounded
    np.savez(folder / REFERENCE, **arrays)  # type: ignore[arg-type]


def read_images(folder: Path) -> Array:
    """The reference images."""
    with np.load(folder / REFERENCE, allow_pickle=False) as archive:
        images: Array = archive["inputs"]
        return images


def read_references(folder: Path, names: Sequence[str]) -> dict[str, Array]:
    """The outputs of that folder's reference by these names, the first of which is the main one."""
    main, *further = names
    with np.load(folder / REFERENCE, allow_pickle=False) as archive:
        references = {main: archive["outputs"]}
        for name in further:
            references[name] = archive[FURTHER_OUTPUT + name]
    return references


def read_cost(folder: Path, precision: str) -> Array | None:
    """The main outputs with every number rounded to that precision.

    None where they were not measured: by an older version, or for a precision without a cost.
    """
    with np.load(folder / REFERENCE, allow_pickle=False) as archive:
        name = COST_PREFIX + precision
        if name not in archive:
            return None
        rounded: Array = archive[name]
        return rounded
