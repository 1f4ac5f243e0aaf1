"""What is said of a checkpoint that timm's filter changed: what was lost or resized, no more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from deploybench.models.checkpoint import Checkpoint, load_state

Tensors = dict[str, torch.Tensor]


class Filtered(nn.Module):
    """A layer with a filter of its own, as timm's modules have one."""

    def __init__(self, read: Callable[[Tensors], Tensors]) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)
        self.pos_embed = nn.Parameter(torch.zeros(1, 4, 3))
        self.read = read

    def checkpoint_filter_fn(self, state: Tensors, module: nn.Module) -> Tensors:
        return self.read(state)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer((images + self.pos_embed).mean(dim=1))


GIVEN = {
    "head.weight": torch.ones(2, 3),
    "head.bias": torch.ones(2),
    "pos_embed": torch.ones(1, 4, 3),
}


def renamed(state: Tensors) -> Tensors:
    return {name.replace("head.", "layer."): tensor for name, tensor in state.items()}


def halved(state: Tensors) -> Tensors:
    """Position embeddings of another number of tokens, cut to the module's."""
    return {**state, "pos_embed": state["pos_embed"][:, :4]}


def without_distillation(state: Tensors) -> Tensors:
    return {name: state[name] for name in state if name != "dist_token"}


@pytest.mark.parametrize(
    ("given", "read", "remarks"),
    [
        pytest.param(GIVEN, renamed, (), id="renamed: nothing is lost, nothing is said"),
        pytest.param(
            {**GIVEN, "head.weight": torch.ones(2, 3, 1, 1)},
            lambda state: {**renamed(state), "layer.weight": torch.ones(2, 3)},
            (),
            id="reshaped: nothing is lost",
        ),
        pytest.param(
            {**renamed(GIVEN), "pos_embed": torch.ones(1, 9, 3)},
            halved,
            (
                "resampled to this model's size, as timm does: "
                "pos_embed from (1, 9, 3) to (1, 4, 3)",
            ),
            id="resized",
        ),
        pytest.param(
            {**GIVEN, "dist_token": torch.ones(1, 1, 3)},
            lambda state: renamed(without_distillation(state)),
            ("left out, as timm does for this architecture: dist_token",),
            id="renamed, and one is left out",
        ),
        pytest.param(
            {"layer.weight": torch.ones(2, 3), "layer.bias": torch.ones(2),
             "positions": torch.ones(1, 9, 3)},
            lambda state: {**renamed(GIVEN), "pos_embed": state["positions"][:, :4]},
            ("renamed and resized, as timm does for this architecture: pos_embed",),
            id="renamed and resized",
        ),
        pytest.param(
            {**renamed(GIVEN), "dist_token": torch.ones(1, 1, 3), "pos_embed": torch.ones(1, 2, 6)},
            lambda state: {**without_distillation(state), "pos_embed": torch.ones(1, 4, 3)},
            ("left out, as timm does for this architecture: dist_token",),
            id="left out",
        ),
    ],
)  # fmt: skip
def test_a_filter_s_changes_are_said_where_something_was_lost(
    given: Tensors, read: Callable[[Tensors], Tensors], remarks: tuple[str, ...]
) -> None:
    checkpoint = Checkpoint(Path("c.pt"), given, dict.fromkeys(given, ""))

    report = load_state(Filtered(read), checkpoint, allow_partial=False)

    assert report.remarks == remarks
