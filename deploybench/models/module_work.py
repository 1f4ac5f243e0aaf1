"""What each module of a model does in one call on one image, counted on the meta device.

MACs are those of :mod:`deploybench.models.flops`, given to the innermost module that does them:
``q k^T`` belongs to the attention layer, its projections to themselves. The numbers that a module
reads and writes are those of its products, or of its input and output where it has none and holds
no other module.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.module_work import ModuleWork
from deploybench.artifacts.signature import is_signed
from deploybench.errors import DeployBenchError
from deploybench.models.built_again import options_of
from deploybench.models.source import find_source

if TYPE_CHECKING:
    import torch
    from torch import nn


def modules_of(artifact: Artifact, *, trust: bool = False) -> tuple[ModuleWork, ...]:
    """The modules of an artifact's model, in the order in which it declares them.

    The model is built again, without weights; no file of the artifact is read. Raises
    DeployBenchError where it cannot be built here, and where that would run code of somebody whom
    the user has not said to ``trust``.
    """
    name = artifact.manifest.model.name
    source, own_name = find_source(name)
    if source.must_be_looked_at(own_name) and not trust and not is_signed(artifact):
        raise DeployBenchError(
            f"the code of {name} was made elsewhere and would have to run", action="--trust"
        )
    try:
        import torch

        with torch.device("meta"):
            built = source.build(own_name, options_of(artifact.manifest))
            module = built.module.eval()
            spec = built.preprocessing
            example = torch.empty(1, spec.channels, spec.height, spec.width)
        return work_by_module(module, example)
    except DeployBenchError:
        raise
    except Exception as error:  # not every model is built without data, nor every torch counts
        raise DeployBenchError(
            f"{name} could not be counted here: {type(error).__name__}: {error}",
            action='pip install "deploybench[torch]" "torch>=2.1"',
        ) from error


def work_by_module(module: nn.Module, example: torch.Tensor) -> tuple[ModuleWork, ...]:
    """The same of a module on ``example`` (one image x channels x height x width)."""
    from deploybench.models.flops import count_by_module
    from deploybench.models.folding import find_folds

    whole = count_by_module(module, example)
    passed = _values_passed(module, example)
    follows = {fold.norm: fold.layer for fold in find_folds(module, example)}
    found = []
    for path, part in module.named_modules():
        macs, values = whole[path]
        for child, _ in part.named_children():
            inside_macs, inside_values = whole.get(f"{path}.{child}" if path else child, (0, 0))
            macs -= inside_macs
            values -= inside_values
        own = sum(tensor.numel() for tensor in part.parameters(recurse=False))
        found.append(
            ModuleWork(
                name=path,
                kind=_kind(part),
                macs=max(macs, 0),
                parameters=own,
                values=max(values, 0) or passed.get(path, 0),
                follows=follows.get(path),
            )
        )
    return tuple(found)


def _values_passed(module: nn.Module, example: torch.Tensor) -> dict[str, int]:
    """By the path of a module without others in it, or with parameters of its own, the numbers in
    its inputs and outputs."""
    import torch

    passed: dict[str, int] = {}

    def count(path: str) -> Callable[..., None]:
        def hook(_: nn.Module, inputs: Any, output: Any) -> None:
            tensors = [*inputs, *(output if isinstance(output, (tuple, list)) else (output,))]
            values = sum(tensor.numel() for tensor in tensors if isinstance(tensor, torch.Tensor))
            passed[path] = passed.get(path, 0) + values

        return hook

    hooks = []
    for path, part in module.named_modules():
        holds_others = next(part.children(), None) is not None
        if not holds_others or next(part.parameters(recurse=False), None) is not None:
            hooks.append(part.register_forward_hook(count(path)))
    try:
        with torch.no_grad():
            module(example)
    finally:
        for hook in hooks:
            hook.remove()
    return passed


def _kind(module: nn.Module) -> str:
    """What a module is, as an engineer calls it: ``Conv2d 3x3 depthwise``."""
    name = type(module).__name__
    size = getattr(module, "kernel_size", None)
    if not isinstance(size, tuple) or not hasattr(module, "groups"):
        return name
    words = [name, "x".join(str(length) for length in size)]
    groups = int(getattr(module, "groups", 1))
    if groups > 1:
        words.append("depthwise" if groups == getattr(module, "in_channels", None) else "grouped")
    return " ".join(words)
