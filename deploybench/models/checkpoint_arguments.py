"""The arguments of the training that wrote a checkpoint, as plain data by their names.

A training script stores its ``argparse.Namespace`` beside the weights (timm, torchvision),
Lightning its hyper-parameters. They were read without building any object; here what is plain data
in them is picked out, and everything else is left.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch

from deploybench.data.inert_pickle import Inert
from deploybench.models.numpy_pickle import array_of
from deploybench.models.torch_pickle import StoredTensor

NAMES = ("args", "hyper_parameters", "hparams", "config", "cfg", "opt")
"""Where training scripts store their arguments, at the top of a checkpoint."""
MOST_VALUES = 64
"""Of an array: a mean of every channel is an argument, a table of values is none."""


def stored_arguments(content: object) -> dict[str, object]:
    """The arguments in the content of a file by their names; empty where it has none.

    Where several of :data:`NAMES` hold an argument, that under the first counts.
    """
    arguments: dict[str, object] = {}
    if not isinstance(content, Mapping):
        return arguments
    for name in NAMES:
        for key, value in _mapping(content.get(name)).items():
            if isinstance(key, str):
                arguments.setdefault(key, _plain(value))
    return arguments


def _mapping(value: object) -> Mapping[object, object]:
    """A mapping as it is; of an object that was not built its attributes, or its items."""
    if isinstance(value, Mapping):
        return value
    if not isinstance(value, Inert):
        return {}
    if isinstance(value.state, Mapping) and value.state:
        return value.state
    return dict(item for item in value.items if isinstance(item, tuple) and len(item) == 2)


def _plain(value: object) -> object:
    """A small array or tensor as a list; all else as it is."""
    if isinstance(value, Inert):
        array = array_of(value)
        value = value if array is None else array
    if isinstance(value, StoredTensor) and len(value.shape) == 1 and value.shape[0] <= MOST_VALUES:
        try:
            value = value.read()
        except (ValueError, OSError, KeyError):  # a damaged file says so where weights are read
            return None
    if isinstance(value, torch.Tensor) and value.dim() == 1 and len(value) <= MOST_VALUES:
        return value.tolist()
    return value
