"""What one image takes: multiply-adds, parameters, and the numbers that have to move."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from deploybench.artifacts.artifact import Manifest

LAYER_VALUES = "layer_values"
"""The manifest's fact: numbers that the products and convolutions of one image read and write,
weights apart."""


@dataclass(frozen=True)
class Work:
    """What one image takes.

    ``macs`` are its multiply-adds, ``values_per_image`` the numbers in its input and output,
    ``layer_values`` those that its layers read and write (None where nobody counted).
    ``parameters`` are read once a call, however many images it has.
    """

    macs: int
    parameters: int
    values_per_image: int
    layer_values: int | None = None


def work_of(manifest: Manifest) -> Work | None:
    """The work of an artifact; None where its MACs are not known."""
    if manifest.model.macs is None or manifest.model.parameters is None:
        return None
    values = 0
    for tensor in (*manifest.inputs, *manifest.outputs):
        values += prod(tensor.sizes(batch=1)[1:])
    layer_values = manifest.facts.get(LAYER_VALUES)
    if not isinstance(layer_values, int):  # an older artifact has none
        layer_values = None
    return Work(manifest.model.macs, manifest.model.parameters, values, layer_values)
