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

from deploybench.artifacts.arrays import array_names, read_arrays
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
    return _floats(folder, ["inputs"])["inputs"]


def read_references(folder: Path, names: Sequence[str]) -> dict[str, Array]:
    """The outputs of that folder's reference by these names, the first of which is the main one."""
    main, *further = names
    stored = _floats(folder, ["outputs", *(FURTHER_OUTPUT + name for name in further)])
    references = {main: stored["outputs"]}
    for name in further:
        references[name] = stored[FURTHER_OUTPUT + name]
    return references


def read_cost(folder: Path, precision: str) -> Array | None:
    """The main outputs with every number rounded to that precision.

    None where they were not measured: by an older version, or for a precision without a cost.
    """
    name = COST_PREFIX + precision
    if name not in array_names(folder / REFERENCE):
        return None
    return _floats(folder, [name])[name]


def _floats(folder: Path, names: Sequence[str]) -> dict[str, Array]:
    """These arrays. Raises DeployBenchError where the file does not hold them as it should."""
    return read_arrays(folder / REFERENCE, names)
