"""Modules whose blocks have one form for training and a smaller one for inference (RepVGG,
MobileOne, FastViT, RepGhost): the second, which computes the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    from torch import nn

ARGUMENT = "reparameterised"
"""Among the arguments that a model is built with again."""


def reparameterised(name: str, module: nn.Module) -> nn.Module:
    """A copy of the module in its form for inference, by ``timm.utils.reparameterize_model``.

    Raises DeployBenchError where timm is too old for it, and where the module has no such block.
    """
    try:
        from timm.utils.model import reparameterize_model
    except ImportError:
        raise DeployBenchError(
            "this timm cannot reparameterise models",
            expected="timm 0.8 or later",
            action="pip install -U timm, or leave out --option reparameterise=true",
        ) from None
    try:
        changed = reparameterize_model(module)
    except Exception as error:  # the blocks' own code, which a user may have written
        raise DeployBenchError(
            f"'{name}' cannot be reparameterised: {type(error).__name__}: {error}",
            action="leave out --option reparameterise=true",
        ) from error
    if _structure(changed) == _structure(module):
        raise DeployBenchError(
            f"'{name}' has nothing to reparameterise",
            expected="blocks with a form for inference: RepVGG, MobileOne, FastViT, RepGhost",
            action="leave out --option reparameterise=true",
        )
    result: nn.Module = changed.eval().requires_grad_(False)
    return result


def _structure(module: nn.Module) -> list[tuple[str, tuple[int, ...]]]:
    return [(name, tuple(tensor.shape)) for name, tensor in module.state_dict().items()]
