"""Checkpoints as timm reads them: by the filter that it has for a kind of module."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

import torch
from torch import nn

from deploybench.models.checkpoint_tree import StateDict, listed

LISTED = 4


def as_timm_reads_it(module: nn.Module, state: StateDict) -> StateDict:
    """The state after timm's own filter for this kind of module, where more of it fits then.

    The filter renames what the architecture's authors called otherwise, and resizes what depends
    on the image size (Swin's and BEiT's tables of relative positions). A checkpoint of another
    patch size stays as it is: resampled, its patches would be another model's. A module may bring
    a ``checkpoint_filter_fn`` of its own.
    """
    own = module.state_dict()
    if _fitting(own, state) == len(own) or _of_other_patches(own, state):
        return state
    written_in = sys.modules.get(type(module).__module__)
    read = getattr(module, "checkpoint_filter_fn", None)
    if read is None:
        read = getattr(written_in, "checkpoint_filter_fn", None)
    if read is None:
        return state
    try:
        filtered = {
            str(name): tensor
            for name, tensor in read(dict(state), module).items()
            if isinstance(tensor, torch.Tensor)
        }
    except Exception:  # it is written for checkpoints of this kind of module, and may meet others
        return state
    if _fitting(own, filtered) > _fitting(own, state):
        return filtered
    return state


def changes_in_words(given: StateDict, read: StateDict) -> list[str]:
    """What the reading changed beyond names and the order of numbers, a sentence each.

    Nothing where every number of ``given`` stands somewhere in ``read``, under whatever name.
    """
    remarks = []
    resized = [
        f"{name} from {_shape(given[name])} to {_shape(tensor)}"
        for name, tensor in read.items()
        if name in given and given[name].numel() != tensor.numel()
    ]
    if resized:
        remarks.append(f"resampled to this model's size, as timm does: {listed(resized, LISTED)}")
    gone = [name for name in given if name not in read]
    come = [name for name in read if name not in given]
    if _numbers(given, gone) == _numbers(read, come):
        return remarks
    # What has as many numbers under another name was renamed.
    made = []
    for name in come:
        of_that_size = [old for old in gone if given[old].numel() == read[name].numel()]
        if of_that_size:
            gone.remove(of_that_size[0])
        else:
            made.append(name)
    if made:
        remarks.append(
            f"renamed and resized, as timm does for this architecture: {listed(made, LISTED)}"
        )
    elif gone:
        remarks.append(f"left out, as timm does for this architecture: {listed(gone, LISTED)}")
    return remarks


def _numbers(state: StateDict, names: Sequence[str]) -> int:
    return sum(state[name].numel() for name in names)


def _shape(tensor: torch.Tensor) -> str:
    return str(tuple(tensor.shape))


def _fitting(own: Mapping[str, torch.Tensor], state: StateDict) -> int:
    """How many of the module's tensors the state has in their shape."""
    return sum(name in state and state[name].shape == tensor.shape for name, tensor in own.items())


def _of_other_patches(own: StateDict, state: StateDict) -> bool:
    """Whether the state embeds patches of another shape than the module."""
    for name, tensor in own.items():
        if "patch_embed" in name and name in state and state[name].shape != tensor.shape:
            return True
    return False
