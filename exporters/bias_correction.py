"""Biases that make up for what rounding to 8 bits shifts.

A rounded layer is off in two ways: its outputs scatter, and their mean is another one. Scatter
averages out over the products of the next layer; a shift does not, and a depthwise convolution,
whose outputs sum nine products, shifts most. So each layer's bias takes back its shift, channel by
channel, measured where it arises: behind layers that are rounded and corrected already (Nagel et
al. 2019, "Data-free quantization through weight equalization and bias correction", section 4.2, in
its empirical form).

Two passes over the images: one in float for the means, one in which every layer is rounded and
corrected as the images come by. On the trained EfficientNet-Lite0 (120 parts of photographs, root
mean square error of the outputs in units of their spread): see ``docs/precisions.md``.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deploybench.contracts import ExportSpec
from deploybench.contracts.layers import module_name
from deploybench.plurals import counted

from .quantisation import images_of, kept_layers, layers_said
from .sensitivity import (
    Range,
    batches_of,
    is_quantised_layer,
    range_of,
    rounded_input,
    rounded_weight,
)

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import torch


@dataclass(frozen=True)
class Norms:
    """The batch norms that exporters fold into the layers before them: ``before`` has the path of
    the layer by that of its norm, ``after`` the norm by the layer. One that normalises by each
    batch's own statistics is folded into nothing, and is none of them."""

    before: Mapping[str, str]
    after: Mapping[torch.nn.Module, torch.nn.Module]


CORRECTED_ON = 32
"""Images. The mean of a channel is one over all their pixels."""
Hook = Callable[[Any, Any, Any], Any]
"""A forward hook: of a layer, its positional inputs and its output."""


def correct_biases(
    model: torch.nn.Module,
    images: npt.NDArray[np.float32],
    norms: Norms,
    in_float: Collection[str] = (),
    batch: int | None = None,
) -> int:
    """Change the biases of ``model``; how many layers were corrected.

    ``images`` are images x channels x height x width, normalised; the model takes ``batch`` at
    once, None: as many as there are. The mean of a batch norm takes the correction of a layer
    without a bias. Layers ``in_float``, by path, are not rounded: theirs is what those before them
    shifted.
    """
    import torch

    batches = batches_of(images[:CORRECTED_ON], batch)
    layers = _layers_in(model)
    exact_layers = {
        layer for path, layer in model.named_modules() if (module_name(path) or path) in in_float
    }
    means: dict[torch.nn.Module, list[torch.Tensor]] = defaultdict(list)
    ranges: dict[torch.nn.Module, Range] = {}
    shifts: dict[torch.nn.Module, list[torch.Tensor]] = defaultdict(list)
    # One bias cannot make up for two shifts: of a layer that is called twice, or of two layers
    # before one norm. What is called in an odd way is left alone as well.
    left_alone = {
        layer
        for layer, norm in norms.after.items()
        if layer.bias is None and list(norms.after.values()).count(norm) > 1
    }

    def note(layer: torch.nn.Module, given: Any, output: torch.Tensor) -> None:
        means[layer].append(_channel_means(layer, output))
        if given:
            ranges[layer] = range_of(given[0], ranges.get(layer))
        else:
            left_alone.add(layer)

    def correcting(number: int) -> Hook:
        """Rounds a layer and takes back the shift of this batch, for those behind it."""

        def hook(layer: torch.nn.Module, given: Any, output: torch.Tensor) -> torch.Tensor:
            if layer not in exact_layers and given:
                # Of all images at once the range is that of what came out of corrected layers.
                output = _rounded(layer, given[0], ranges.get(layer) if len(batches) > 1 else None)
            if layer in left_alone or layer not in means:
                return output
            shift = means[layer][number] - _channel_means(layer, output)
            shifts[layer].append(shift)
            return output + _along_channels(layer, shift, output)

        return hook

    with torch.no_grad():
        for images_at_once in batches:
            _run_with(model, images_at_once, layers, note)
        left_alone |= {layer for layer, found in means.items() if len(found) != len(batches)}
        for number, images_at_once in enumerate(batches):
            _run_with(model, images_at_once, layers, correcting(number))
        corrections = {layer: torch.stack(found).mean(0) for layer, found in shifts.items()}
        for layer, shift in corrections.items():
            _shift_bias(layer, shift, norms.after.get(layer))
    return len(corrections)


class Biases:
    """The biases of a model that is quantised again and again, each time with other layers in
    float. ``changing``: they are corrected, which is where there are depthwise convolutions."""

    def __init__(self, model: torch.nn.Module, spec: ExportSpec, norms: Norms) -> None:
        self.model = model
        self.changing = has_depthwise(model)
        self._spec = spec
        self._norms = norms
        self._in_float: set[str] = set()
        self._exact: list[tuple[torch.nn.Module, str, torch.Tensor | None]] = []
        if not self.changing:
            return
        for layer in _layers_in(model):
            bias = layer.bias
            exact = None if bias is None else layer.get_parameter("bias").data.clone()
            self._exact.append((layer, "bias", exact))
            norm = norms.after.get(layer)
            if norm is not None:
                self._exact.append((norm, "running_mean", norm.get_buffer("running_mean").clone()))

    def restore(self) -> None:
        """As the model had them."""
        for module, name, exact in self._exact:
            if exact is None:
                module.register_parameter(name, None)
            else:
                getattr(module, name).data.copy_(exact)

    def leave_in_float(self, nodes: Callable[[], Mapping[str, Sequence[str]]]) -> None:
        """Take from the exporter which layers the user's patterns keep in float.

        ``nodes`` are the names of what it would quantise, by node, as
        :func:`.quantisation.kept_layers` takes them: a pattern may be one of a node, of which the
        module's path says nothing. They are only asked for where they are needed: they may take an
        export.
        """
        if self.changing and layers_said(self._spec.keep_fp32):
            names = nodes()
            for node in kept_layers(self._spec.keep_fp32, names):
                self._in_float.update(names[node])

    def quantise_only(self, paths: Collection[str]) -> None:
        """The exporter knows no other layers: those stay in float."""
        for path, layer in self.model.named_modules():
            name = module_name(path) or path
            if is_quantised_layer(layer) and name not in paths:
                self._in_float.add(name)

    def correct(self, layers: Collection[str] = ()) -> None:
        """Correct them for int8 with these layers in float, beside those that always are."""
        if not self.changing:
            return
        self.restore()
        kept = self._in_float | set(layers)
        images = images_of(self._spec).pixels
        correct_biases(self.model, images, self._norms, kept, self._spec.batch)

    @property
    def facts(self) -> dict[str, str | int]:
        """What a manifest says of it."""
        if not self.changing:
            return {}
        return {"int8_biases": f"{counted(len(_layers_in(self.model)), 'layer')} corrected in turn"}


def _layers_in(model: torch.nn.Module) -> list[torch.nn.Module]:
    return [layer for layer in model.modules() if is_quantised_layer(layer)]


def _rounded(
    layer: torch.nn.Module, given: torch.Tensor, within: Range | None = None
) -> torch.Tensor:
    """What the layer computes of its input in 8 bits, of the range ``within``, else the input's."""
    weight = layer.get_parameter("weight")
    exact = weight.data
    weight.data = rounded_weight(exact)
    try:
        # Not the call of the module, which would call its hooks again.
        output: torch.Tensor = layer.forward(rounded_input(given, within))
    finally:
        weight.data = exact
    return output


def _run_with(
    model: torch.nn.Module, inputs: torch.Tensor, layers: list[torch.nn.Module], hook: Hook
) -> None:
    """One pass over the images with the hook on every layer."""
    handles = [layer.register_forward_hook(hook) for layer in layers]
    try:
        model(inputs)
    finally:
        for handle in handles:
            handle.remove()


def _channel_means(layer: torch.nn.Module, output: torch.Tensor) -> torch.Tensor:
    """(channels,): over images, and over pixels or tokens."""
    axis = _channel_axis(layer, output)
    return output.mean([other for other in range(output.dim()) if other != axis])


def _channel_axis(layer: torch.nn.Module, output: torch.Tensor) -> int:
    import torch

    if isinstance(layer, torch.nn.Linear):
        return output.dim() - 1
    return 1


def _along_channels(
    layer: torch.nn.Module, shift: torch.Tensor, output: torch.Tensor
) -> torch.Tensor:
    shape = [1] * output.dim()
    shape[_channel_axis(layer, output)] = -1
    return shift.reshape(shape)


def _shift_bias(layer: torch.nn.Module, shift: torch.Tensor, norm: torch.nn.Module | None) -> None:
    """Add to the layer's bias; to what the norm behind it subtracts, where it has none."""
    import torch

    if layer.bias is not None:
        layer.get_parameter("bias").data += shift
    elif norm is not None:
        norm.get_buffer("running_mean").data -= shift
    else:
        layer.register_parameter("bias", torch.nn.Parameter(shift, requires_grad=False))


def norms_of(model: torch.nn.Module, example: torch.Tensor) -> Norms:
    """The norms that the output of a module goes into."""
    import torch

    made_by: dict[int, tuple[str, torch.nn.Module, torch.Tensor]] = {}
    before: dict[str, str] = {}
    after: dict[torch.nn.Module, torch.nn.Module] = {}
    hooks = []

    def hook_of(path: str) -> Callable[..., None]:
        def seen(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            is_norm = isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
            if is_norm and module.running_mean is not None and inputs:
                maker = made_by.get(id(inputs[0]))
                if maker is not None:
                    before[path] = maker[0]
                    after[maker[1]] = module
            if isinstance(output, torch.Tensor):
                made_by[id(output)] = (path, module, output)  # kept, so that no other has its id

        return seen

    for path, module in model.named_modules():
        is_norm = isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
        if is_norm or not any(True for _ in module.children()):
            hooks.append(module.register_forward_hook(hook_of(module_name(path) or path)))
    try:
        model(example[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return Norms(before, after)


def has_depthwise(model: torch.nn.Module) -> bool:
    """Whether a convolution has each of its outputs from one channel."""
    import torch

    for layer in model.modules():
        if isinstance(layer, torch.nn.Conv2d) and layer.groups == layer.in_channels > 1:
            return True
    return False
