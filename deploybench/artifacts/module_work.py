"""The work of each module of a model: what its layers' times are laid beside."""

from __future__ import annotations

from deploybench.documents import Document


class ModuleWork(Document):
    """One module of a PyTorch model, in one call on one image, without the modules inside it.

    ``macs`` are its multiply-adds, ``parameters`` its own numbers, ``values`` those that it reads
    and writes. ``follows`` is the layer whose output a batch norm takes in, if it is one: exporters
    fold the norm into that layer.
    """

    name: str
    kind: str
    macs: int = 0
    parameters: int = 0
    values: int = 0
    follows: str | None = None
