"""Which layers lose most by 8 bits, and how few of them have to stay in float.

Every layer by itself is rounded in PyTorch, its weights by output channel and its input over the
range that it has on the images; how far that moves the outputs ranks them. Then the exporter tries
with more and more of the worst in float, until what it wrote agrees with fp32 eager.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeAlias

from deploybench.contracts.layers import module_name
from deploybench.data.synthetic import whole_batches
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch

RANKED_ON = 8
"""Images. Each layer costs a pass over them."""
MOST_KEPT = 0.5
"""Of the layers: with more in float the artifact is int8 in name alone."""
LEVELS = 255
Range: TypeAlias = "tuple[torch.Tensor, torch.Tensor]"
"""The least and the greatest number, which are scalars."""


def ranked(
    model: torch.nn.Module, images: npt.NDArray[np.float32], batch: int | None = None
) -> tuple[str, ...]:
    """The paths of the layers with weights, the one that moves the outputs most first.

    ``images`` are images x channels x height x width, normalised; the model takes ``batch`` at
    once, None: as many as there are.
    """
    import torch

    batches = batches_of(images[:RANKED_ON], batch)
    errors = {}
    with torch.no_grad():
        references = [_main(model(inputs)) for inputs in batches]
        for path, layer in model.named_modules():
            if is_quantised_layer(layer):
                squares = []
                with _in_8_bits(layer):
                    for inputs, reference in zip(batches, references, strict=True):
                        squares.append((_main(model(inputs)) - reference).square().mean())
                errors[module_name(path) or path] = float(torch.stack(squares).mean())
    return tuple(sorted(errors, key=lambda path: errors[path], reverse=True))


def batches_of(images: npt.NDArray[np.float32], batch: int | None) -> list[torch.Tensor]:
    """The images in batches of exactly that size; of None in one."""
    import torch

    return [torch.from_numpy(part) for part in whole_batches(images, batch or len(images))]


def keep_fewest(order: Sequence[str], agrees: Callable[[Sequence[str]], bool]) -> tuple[str, ...]:
    """So few of the first layers of ``order`` that what is exported with them in float agrees.

    Twice as many each time until it does; then halves between the last two. The last call of
    ``agrees`` need not be with what is returned. Raises DeployBenchError where half of the layers
    are not enough.
    """
    most = max(int(len(order) * MOST_KEPT), 1)
    too_few = -1
    enough = 0
    while not agrees(order[:enough]):
        too_few = enough
        if enough == most:
            raise DeployBenchError(
                f"int8 is too far from fp32 eager with the {most} most sensitive of {len(order)} "
                "layers in float, too",
                expected="an error within the budget of int8",
                action="calibrate on more images, as different as those that it will see",
            )
        enough = min(max(2 * enough, 1), most)
    while enough - too_few > 1:
        middle = (enough + too_few) // 2
        if agrees(order[:middle]):
            enough = middle
        else:
            too_few = middle
    return tuple(order[:enough])


def is_quantised_layer(layer: torch.nn.Module) -> bool:
    """Whether it is a kind of layer that int8 exports compute in 8 bits."""
    import torch

    return isinstance(layer, (torch.nn.Conv2d, torch.nn.ConvTranspose2d, torch.nn.Linear))


def rounded_weight(exact: torch.Tensor) -> torch.Tensor:
    """Symmetric, each output channel (the first dimension) with a scale of its own."""
    import torch

    channels = exact.abs().flatten(1).amax(1).clamp(min=torch.finfo(exact.dtype).tiny)
    scale = (channels / (LEVELS // 2)).reshape(-1, *[1] * (exact.dim() - 1))
    return (exact / scale).round() * scale


def range_of(exact: torch.Tensor, before: Range | None = None) -> Range:
    """From the least to the greatest number, with 0; and with the range ``before``."""
    import torch

    low, high = exact.min().clamp(max=0), exact.max().clamp(min=0)
    if before is None:
        return low, high
    return torch.minimum(low, before[0]), torch.maximum(high, before[1])


def rounded_input(exact: torch.Tensor, within: Range | None = None) -> torch.Tensor:
    """With one range for all images, which is theirs where none is given."""
    import torch

    low, high = within or range_of(exact)
    step = (high - low).clamp(min=torch.finfo(exact.dtype).tiny) / LEVELS
    return ((exact - low) / step).round() * step + low


@contextmanager
def _in_8_bits(layer: torch.nn.Module) -> Iterator[None]:
    """The layer with weights and input rounded as int8 would, within the block."""
    parameter = layer.get_parameter("weight")
    exact = parameter.data
    parameter.data = rounded_weight(exact)

    def rounded(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.Tensor:
        return rounded_input(inputs[0])

    hook = layer.register_forward_pre_hook(rounded)
    try:
        yield
    finally:
        hook.remove()
        parameter.data = exact


def _main(outputs: torch.Tensor | tuple[torch.Tensor, ...]) -> torch.Tensor:
    """The main output, which comes first where there are several."""
    if isinstance(outputs, tuple):
        return outputs[0]
    return outputs
