"""A module asked in arrays: what it answers, what it looks at. Its callers know no torch."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from deploybench.attention.cam import main_tensor
from deploybench.attention.seen import Sight, look

Array = npt.NDArray[np.float32]


def compute_with(threads: int) -> None:
    """With so many threads from now on, in this process."""
    torch.set_num_threads(threads)


def answers(module: nn.Module, inputs: Array) -> Array:
    """The main output, images x ..., for images x channels x height x width: one after another, so
    that a model of one image answers, too."""
    with torch.no_grad():
        outputs = [main_tensor(module(torch.from_numpy(one[None]))).numpy() for one in inputs]
    return np.concatenate(outputs)


def sight_of(module: nn.Module, pixels: Array) -> Sight:
    """What it looks at in one image, channels x height x width; no pixels ask."""
    return look(module, torch.from_numpy(np.ascontiguousarray(pixels))[None], ())
