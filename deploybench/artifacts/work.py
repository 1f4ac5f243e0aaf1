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
    """What one image takes: MACs, the numbers in its input and output (``values_per_image``) and
    those that its layers read and write (``layer_values``, None where nobody counted).
    ``parameters`` are read once a call."""

    macs: int
    parameters: int
    values_per_image: int
    layer_values: int | None = None


def work_of(manifest: Manifest) -> Work | None:
    """The work of an artifact; None where its MACs are not known."""
    if manifest.model.macs is None:
        return None
    tensors = (*manifest.inputs, *manifest.outputs)
    values = sum(
        prod(size for size in tensor.shape[1:] if isinstance(size, int)) for tensor in tensors
    )
    layers = manifest.facts.get(LAYER_VALUES)
    return Work(
        manifest.model.macs,
        manifest.model.parameters,
        values,
        layers if isinstance(layers, int) else None,
    )
