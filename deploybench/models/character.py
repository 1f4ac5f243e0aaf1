"""What a model is, beside a function of one image: recognised before anything is exported.

An artifact is held against its source on given images, in batches of any size. That means something
only where the answer for an image is the same at each call, and the same in any company.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import nn

from deploybench.artifacts.parity import compare_outputs
from deploybench.errors import DeployBenchError

SAME_TWICE = 1e-5
"""Of the largest output: one thread sums in one order, so that even this is never reached."""
FIRST_LAYERS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, nn.Embedding, nn.EmbeddingBag)


def check_character(name: str, module: nn.Module, images: torch.Tensor, batch: int | None) -> None:
    """Refuse a model that is random, changes its state, or lets images influence each other.

    ``images`` is float32, images x channels x height x width; ``batch`` the fixed one that the
    artifact is for, None where it is free. A batch of 1 is exported whatever the company does.
    Raises DeployBenchError with what was found and what to do.
    """
    with torch.no_grad():
        if isinstance(_first_layer(module, images), nn.Conv3d):
            raise _volumes(name)
        if batch == 1:
            images = images[:1]
        before = _state(module)
        first = outputs_of(module(images))
        after = _state(module)
        second = outputs_of(module(images))
        changed = [key for key, value in before.items() if not torch.equal(value, after[key])]
        if changed:
            raise DeployBenchError(
                f"'{name}' changes its own state at every call, in evaluation mode as well: "
                f"{', '.join(changed[:3])}",
                expected="a model whose answer depends on the image alone",
                action="leave the update out where self.training is False",
            )
        if _differ(first, second):
            raise DeployBenchError(
                f"'{name}' answers the same images otherwise at the next call, in evaluation mode "
                "as well: it draws random numbers, or keeps a count",
                expected="a model whose answer depends on the image alone",
                action="drop nothing out where self.training is False "
                "(F.dropout(x, p, self.training)), and draw nothing in forward",
            )
        if batch != 1:
            _check_company(name, module, images, first)


def _check_company(
    name: str, module: nn.Module, images: torch.Tensor, together: list[torch.Tensor]
) -> None:
    try:
        alone = [outputs_of(module(image[None])) for image in images]
    except Exception as error:  # the model's own code
        raise DeployBenchError(
            f"'{name}' runs on {len(images)} images, and not on one: {error}",
            expected="a model that takes a batch of any size",
            action="look for a number of images in forward (view, reshape, squeeze)",
        ) from error
    for index, tensor in enumerate(together):
        each = [outputs[index] for outputs in alone if index < len(outputs)]
        if tensor.shape[:1] != (len(images),) or any(one.shape[:1] != (1,) for one in each):
            continue  # no output by image; what is exported of it is decided elsewhere
        one_by_one = torch.cat(each)
        if one_by_one.shape == tensor.shape and _same(tensor, one_by_one):
            continue
        raise DeployBenchError(
            f"in '{name}' the images of a batch influence each other: the answer for an image "
            f"alone is another than among {len(images)}",
            expected="an answer that depends on the image alone (a batch norm in training mode, or "
            "without running statistics, or a mean over the batch does not give one)",
            action="use running statistics, or export --batch 1: one image at a time",
        )


def explained(
    name: str, module: nn.Module, images: torch.Tensor, error: Exception
) -> DeployBenchError | None:
    """What kind of model it is that raised ``error`` on images; None where that is not known."""
    first = _first_layer(module, images)
    if isinstance(first, (nn.Embedding, nn.EmbeddingBag)):
        return DeployBenchError(
            f"'{name}' takes integers, not images: its first layer is {type(first).__name__}",
            expected="a model of images, float32, (batch, channels, height, width)",
            action="export the part of it that sees images, by a factory of its own",
        )
    if isinstance(first, nn.Conv3d):
        return _volumes(name)
    try:
        with torch.no_grad():
            module(images[:1])
    except Exception:  # it does not run on one image either: the error is told as it is
        return None
    return DeployBenchError(
        f"'{name}' runs on one image, and not on {len(images)}: {error}",
        expected="a model that takes a batch of any size",
        action="export --batch 1, or look for a number of images in forward (view, reshape, "
        "squeeze)",
    )


def _volumes(name: str) -> DeployBenchError:
    return DeployBenchError(
        f"'{name}' takes volumes: its first layer is Conv3d, whose input is (batch, channels, "
        "depth, height, width)",
        expected="a model of images, (batch, channels, height, width)",
        action="export it by a factory that takes the depth as channels and puts it in its place "
        "in forward",
    )


def _first_layer(module: nn.Module, images: torch.Tensor) -> nn.Module | None:
    """The first layer with weights that is given something of the image's own shape."""
    seen: list[nn.Module] = []

    def note(layer: nn.Module, inputs: tuple[object, ...]) -> None:
        given = inputs[0] if inputs else None
        if isinstance(given, torch.Tensor) and given.numel() == images[:2].numel():
            seen.append(layer)

    hooks = [
        part.register_forward_pre_hook(note)
        for part in module.modules()
        if isinstance(part, FIRST_LAYERS)
    ]
    try:
        with torch.no_grad():
            module(images[:2])
    except Exception:  # what it raises is told by who ran it first
        pass
    finally:
        for hook in hooks:
            hook.remove()
    return seen[0] if seen else None


def outputs_of(returned: object) -> list[torch.Tensor]:
    """The floating-point tensors in what a model returned, in order, whatever they lie in."""
    return list(_tensors(returned))


def _tensors(value: object) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        if value.is_floating_point():
            yield value.detach().clone()
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _tensors(inner)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _tensors(inner)


def _state(module: nn.Module) -> dict[str, torch.Tensor]:
    """Copies of the buffers: only they change without training."""
    return {name: buffer.clone() for name, buffer in module.named_buffers()}


def _differ(first: list[torch.Tensor], second: list[torch.Tensor]) -> bool:
    if len(first) != len(second):
        return True
    for one, other in zip(first, second, strict=True):
        if one.shape != other.shape:
            return True
        if not one.numel():
            continue
        largest = float(torch.nan_to_num(one).abs().max())
        difference = float(torch.nan_to_num(one - other).abs().max())
        if difference > SAME_TWICE * largest:
            return True
    return False


def _same(together: torch.Tensor, alone: torch.Tensor) -> bool:
    """Whether two ways to run fp32 agree as closely as an artifact has to."""
    if not torch.isfinite(together).all():
        return True  # parity says it
    expected = np.asarray(together.numpy(), np.float32)
    return compare_outputs(expected, np.asarray(alone.numpy(), np.float32), "fp32").passed
