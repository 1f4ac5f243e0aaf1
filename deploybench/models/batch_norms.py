"""The epsilon of batch norms: it has no tensor in a checkpoint, and changes every answer a little.

EfficientNet's paper, TensorFlow and timm's ``tf_`` models have 1e-3, PyTorch and most of timm 1e-5.
Weights that were trained with the one load into a model with the other without a word.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm

from deploybench.errors import DeployBenchError
from deploybench.models.source import BuiltModel

PYTORCH, TENSORFLOW = 1e-5, 1e-3
EPSILON = "batchnorm_epsilon"
"""Its name among the arguments of a model in a manifest."""
TRAINING_ARGUMENT = "bn_eps"
"""Its name among the arguments of a training that timm's script stores in a checkpoint."""


def set_epsilon(name: str, module: nn.Module, epsilon: float) -> None:
    """Give every batch norm of the model called ``name`` that epsilon.

    Raises DeployBenchError for a model without batch norms.
    """
    norms = batch_norms(module)
    if not norms:
        raise DeployBenchError(
            f"'{name}' has no batch norm to give an epsilon of {epsilon:g}",
            expected="a model with batch norms",
            action="leave out --batchnorm-epsilon",
        )
    for norm in norms:
        norm.eps = epsilon


def batch_norms(module: nn.Module) -> list[Any]:
    """The layers that divide by a running variance and an epsilon: torch's, and the frozen ones of
    torchvision and timm, which are classes of their own."""
    norms = []
    for layer in module.modules():
        if isinstance(layer, _InstanceNorm):  # it may keep a running variance, and is none
            continue
        frozen = isinstance(getattr(layer, "running_var", None), torch.Tensor)
        if isinstance(layer, _BatchNorm) or (frozen and hasattr(layer, "eps")):
            norms.append(layer)
    return norms


def assumed_epsilon(built: BuiltModel) -> tuple[str, ...]:
    """What is said where weights of either epsilon are about, and nobody told which these have.

    That is so of architectures that timm has twice, with the epsilon of PyTorch and, under
    ``tf_NAME``, with TensorFlow's.
    """
    import timm

    config = getattr(built.module, "default_cfg", None) or {}
    twin = f"tf_{config.get('architecture', '')}"
    said = EPSILON in built.arguments or TRAINING_ARGUMENT in built.arguments
    # A folder of a hub says what its own weights need.
    if said or not built.usual_preprocessing or not timm.is_model(twin):
        return ()
    if {norm.eps for norm in batch_norms(built.module)} != {PYTORCH}:
        return ()
    return (
        f"a batch-norm epsilon of {PYTORCH:g} is assumed; for weights of the paper's or of "
        f"TensorFlow's code, as {twin} has them, --batchnorm-epsilon {TENSORFLOW:g}",
    )


def trained_epsilon(arguments: Mapping[str, object]) -> float | None:
    """The epsilon that a training was told to take; None where it says nothing of it."""
    epsilon = arguments.get(TRAINING_ARGUMENT)
    if isinstance(epsilon, float) and 0 < epsilon < 1:
        return epsilon
    return None
