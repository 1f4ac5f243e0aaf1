"""What a training needs to go on as if it had never been ended, kept on disk.

A state is taken between two steps, written beside the last one and renamed: there is always a whole
one. It holds tensors and plain values only and is read with ``weights_only``. What is drawn at
random is not in it: every draw belongs to the seed, the epoch and the step
(:mod:`deploybench.training.draws`), so the generators need no memory. The learning rate follows
from the step, too.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from deploybench.errors import DeployBenchError
from deploybench.files import writing_whole

LAST = "last"
STATE = "state.pt"
FORMAT = 1


@dataclass
class Standing:
    """How far a training is. ``epoch`` counts those that are over, ``step`` the steps of all,
    ``in_epoch`` those of the epoch under way, ``loss_sum`` and ``seen`` their loss by image.
    ``seconds`` were trained so far, ``epoch_seconds`` in the epoch under way. ``learning_rate`` is
    that of the last step. The epochs themselves are in the curve
    (:mod:`deploybench.training.curve`).
    """

    epoch: int = 0
    step: int = 0
    in_epoch: int = 0
    loss_sum: float = 0.0
    seen: int = 0
    seconds: float = 0.0
    epoch_seconds: float = 0.0
    learning_rate: float = 0.0


def state_path(folder: Path) -> Path:
    """Where the state of the training in ``folder`` lies."""
    return folder / LAST / STATE


def save_state(folder: Path, standing: Standing, tensors: dict[str, Any]) -> None:
    """Write the state whole or not at all; ``tensors`` are state dicts by name.

    Raises DeployBenchError where it cannot be written: the one before it is still there.
    """
    content = {"format": FORMAT, "standing": dict(vars(standing)), **tensors}
    with writing_whole(state_path(folder), option="--out") as partial:
        try:
            # Through a stream of Python's, whose errors say what is wrong with the disk.
            with partial.open("wb") as stream:
                torch.save(content, stream)
        except RuntimeError as error:  # torch's writer noticed first
            raise OSError(str(error).splitlines()[0]) from error


def load_state(folder: Path) -> tuple[Standing, dict[str, Any]] | None:
    """The state of the training in ``folder``; None where there is none.

    Raises DeployBenchError for one that does not read.
    """
    path = state_path(folder)
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content.pop("format") != FORMAT:
            raise ValueError("another version's")
        standing = Standing(**content.pop("standing"))
    except Exception as error:  # torch raises many kinds for a damaged file
        raise DeployBenchError(
            f"{path} does not read as the state of a training: {str(error).splitlines()[0]}",
            action="--force begins anew",
        ) from None
    return standing, content


def drop_state(folder: Path) -> None:
    """Remove the state: the training is over, and it is three times as large as the weights."""
    shutil.rmtree(folder / LAST, ignore_errors=True)
