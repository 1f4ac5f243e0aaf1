"""From a model name and its weights to a module in eval mode, ready to export."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from deploybench.artifacts.artifact import Preprocessing, Weights
from deploybench.artifacts.parity import SMALLEST_SPREAD
from deploybench.data.synthetic import reference_inputs
from deploybench.errors import DeployBenchError
from deploybench.models.checkpoint import classes_in, load_state, read_checkpoint
from deploybench.models.initialise import spread_random_weights
from deploybench.models.source import RANDOM_WEIGHTS, BuildOptions, BuiltModel, find_source

SEED = 0


class SingleOutput(nn.Module):
    """Float32 in, one float32 tensor out, whatever the model inside computes in or returns around
    it."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = model.to(dtype)
        self.dtype = dtype

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - the name that exporters record
        output = self.model(input.to(self.dtype))
        if isinstance(output, dict):
            output = output.get("logits", next(iter(output.values())))
        if isinstance(output, (tuple, list)):
            output = output[0]
        logits: torch.Tensor = output.float()
        return logits


def load_model(
    name: str, options: BuildOptions, checkpoint: Path | None, *, allow_partial: bool
) -> tuple[BuiltModel, Weights]:
    """Build ``name`` with its weights, in eval mode, float32, without gradients.

    Without a checkpoint and without ``options.pretrained`` the weights are random from a fixed seed
    and rescaled so that the logits have spread; a user's factory may have loaded its own, which
    stay as they are.
    """
    source, own_name = find_source(name)
    state = None
    if checkpoint is not None:
        state = read_checkpoint(checkpoint)
    torch.manual_seed(SEED)
    built = source.build(own_name, options)
    if state is not None and checkpoint is not None:
        classes = classes_in(state, built.module, built.head)
        if classes and classes != built.num_classes and options.num_classes is None:
            built = source.build(own_name, replace(options, num_classes=classes))
        load_state(built.module, state, checkpoint, allow_partial=allow_partial)
    module = built.module.float().eval().requires_grad_(False)
    unknown = state is None and not options.pretrained
    logits = _first_run(name, module, built.preprocessing)
    random = unknown and (not built.own_weights or float(logits.std()) < SMALLEST_SPREAD)
    if random:
        spread_random_weights(module, torch.from_numpy(reference_inputs(built.preprocessing)), SEED)
        kind, where = "random", f"seed {SEED}, version {RANDOM_WEIGHTS}"
    elif unknown:
        kind, where = "factory", name
    elif state is not None:
        kind, where = "checkpoint", str(checkpoint)
    else:
        kind, where = (
            "pretrained",
            str(getattr(module, "pretrained_cfg", {}).get("hf_hub_id") or name),
        )
    weights = Weights.model_validate(
        {"kind": kind, "source": where, "sha256": weights_hash(module)}
    )
    return built, weights


def _first_run(name: str, module: nn.Module, spec: Preprocessing) -> torch.Tensor:
    """The outputs on the reference images; refuses a module that does not run on its own input."""
    try:
        outputs: torch.Tensor = SingleOutput(module, torch.float32)(
            torch.from_numpy(reference_inputs(spec))
        )
    except Exception as error:  # a model may raise anything on an input that it was not made for
        raise DeployBenchError(
            f"'{name}' does not run on images of {spec.channels} x {spec.height} x {spec.width}: "
            f"{error}",
            expected="an image size and channels that the architecture takes",
            action="choose another --image-size or --in-channels",
        ) from error
    return outputs


def rebuild(name: str, arguments: BuildOptions, state_file: Path, dtype: torch.dtype) -> nn.Module:
    """The module of a ``pytorch`` artifact: the architecture by name, every weight from
    ``state_file``."""
    from safetensors.torch import load_file

    source, own_name = find_source(name)
    module = (
        source.build(own_name, replace(arguments, pretrained=False))
        .module.eval()
        .requires_grad_(False)
    )
    wrapped = SingleOutput(module, dtype)
    result = wrapped.load_state_dict(load_file(state_file), strict=False)
    if result.missing_keys or result.unexpected_keys:
        raise DeployBenchError(
            f"the model '{name}' of this environment has other weights than {state_file}: "
            f"missing {result.missing_keys[:4]}, unexpected {result.unexpected_keys[:4]}",
            action="install the versions that the manifest names, or export again",
        )
    return wrapped


def count_parameters(module: nn.Module) -> int:
    """The number of trainable scalars; buffers such as running means are not parameters."""
    return sum(parameter.numel() for parameter in module.parameters())


def weights_hash(module: nn.Module) -> str:
    """sha256 over the name, dtype, shape and bytes of every parameter and buffer, in the order of
    names."""
    return tensors_hash(module.state_dict())


def tensors_hash(tensors: Mapping[str, torch.Tensor]) -> str:
    """sha256 over the name, dtype, shape and bytes of every tensor, in the order of names."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(
            tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()
