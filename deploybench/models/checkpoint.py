"""Checkpoints: read without running anything that they contain, and fitted to a module.

``checkpoint_files`` tells what a file is and reads it, ``torch_pickle`` the pickles in it;
``checkpoint_tree`` names every tensor in it, ``checkpoint_states`` finds the states among them, and
``checkpoint_fit`` loads one.
"""

from __future__ import annotations

from deploybench.models.checkpoint_fit import (
    LoadReport,
    classes_in,
    held_tensors,
    load_state,
    taken_tensors,
)
from deploybench.models.checkpoint_states import main_tensors, several_states
from deploybench.models.checkpoint_tree import Checkpoint, StateDict, read_checkpoint

__all__ = [
    "Checkpoint",
    "LoadReport",
    "StateDict",
    "classes_in",
    "held_tensors",
    "load_state",
    "main_tensors",
    "read_checkpoint",
    "several_states",
    "taken_tensors",
]
