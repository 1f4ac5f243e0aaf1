"""Reads what a model attends to, without changing the model or its exported graph.

The forward pass is the model's own, and every softmax of it is seen as it is computed
(:mod:`deploybench.models.softmaxes`): its values are a map, or it is named as unread, with why.
The zoo's own layers tell their attention for an input by themselves, softmax or not. What is
comparable across mechanisms and what is not, each map says itself: ``quantity``, ``axes`` and
whether its rows sum to one.

| mechanism | quantity | axes |
| softmax (ViT and most of timm's) | weights | image, head, query, key |
| class attention (CaiT, XCiT, CrossViT, VOLO) | class attention, one query | the same |
| talking heads (CaiT) | mixed weights, after the mixing of heads | the same |
| Performer | implicit weights: phi(q) phi(k)^T / z | image, head, query, key |
| Linformer | effective weights: softmax(q (E k)^T) F, may be negative | image, head, query, key |
| Fastformer | query weights, key weights: one global distribution each | image, head, token |
| XCA, XCiT, EdgeNeXt | channel weights | image, head, channel, channel |
| CoaT | key weights of each channel, over the tokens | image, head, channel, token |
| Swin, MaxViT | window weights, an image's windows in a row | window, head, query, key |
| AAConv | weights over the feature map, row by row | image, head, query, key |
| any other softmax whose product is taken | softmax weights | by number |
| CNN | class activation: what each position adds to the first answer's logit | image, y, x |

Class activation: Zhou et al. 2016. The first axis is called group where it holds more than images.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Protocol, overload, runtime_checkable

import torch
from torch import nn

from deploybench.errors import DeployBenchError
from deploybench.models.attention_labels import PER_TOKEN, label_of, mixed_by
from deploybench.models.softmaxes import Softmax, SoftmaxWatch, taken_apart
from deploybench.plurals import counted


class IncompleteAttention(UserWarning):
    """Some softmax of the forward pass could not be read as attention."""


@dataclass(frozen=True)
class Reading:
    """What one layer attends to.

    ``values`` has a dimension for each of ``axes``; rows are along the last of them.
    """

    quantity: str
    values: torch.Tensor
    axes: tuple[str, ...]
    sums_to_one: bool

    @classmethod
    def of_tokens(cls, quantity: str, values: torch.Tensor, *, sums_to_one: bool) -> Reading:
        """A map from tokens to tokens."""
        return cls(quantity, values, PER_TOKEN, sums_to_one)


@dataclass(frozen=True)
class AttentionMap:
    """A reading and the module path of the layer that it is of."""

    layer: str
    reading: Reading


@dataclass(frozen=True)
class Unread:
    """A softmax of the forward pass that is in no map: the module path of its layer, and why."""

    layer: str
    reason: str


@dataclass(frozen=True)
class AttentionMaps(Sequence[AttentionMap]):
    """The maps in order of execution, and what is in none of them."""

    maps: tuple[AttentionMap, ...]
    unread: tuple[Unread, ...] = ()

    @overload
    def __getitem__(self, index: int) -> AttentionMap: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[AttentionMap, ...]: ...
    def __getitem__(self, index: int | slice) -> AttentionMap | tuple[AttentionMap, ...]:
        return self.maps[index]

    def __len__(self) -> int:
        return len(self.maps)


@runtime_checkable
class Readable(Protocol):
    """A layer that tells its attention for an input."""

    def read(self, x: torch.Tensor) -> list[Reading]: ...


def read_attention(model: nn.Module, images: torch.Tensor) -> AttentionMaps:
    """The attention of every layer that has one, in the order of execution.

    Of a model that has none, a CNN, the class activation. ``images`` are normalised, images x
    channels x height x width. A softmax that is in no map is named in ``unread``, with a warning
    (:class:`IncompleteAttention`). Raises DeployBenchError for a model in which nothing can be
    read, and for one in training mode, whose norms would change.
    """
    if model.training:
        raise DeployBenchError("the model is in training mode", action="call model.eval() first")
    watch = SoftmaxWatch(model)
    told: list[_Told] = []
    with torch.no_grad(), ExitStack() as hooks:
        for path, layer in model.named_modules():
            if isinstance(layer, Readable):
                asking = _ask(told, watch, path, layer)
                hook = model.get_submodule(path).register_forward_pre_hook(asking)
                hooks.callback(hook.remove)
        with taken_apart(), watch.following(model), watch:
            model(images)
    found = _joined(model, watch.seen, told, len(images))
    if not found.maps:
        found = _with_class_activation(model, images, found.unread)
    if found.unread:
        verb = "is" if len(found.unread) == 1 else "are"
        softmaxes = counted(len(found.unread), "softmax", "softmaxes")
        words = f"{softmaxes} {verb} in no map: {_named(found.unread)}"
        warnings.warn(words, IncompleteAttention, stacklevel=2)
    return found


@dataclass(frozen=True)
class _Told:
    """What a layer told of itself, after so many softmaxes of the forward pass."""

    softmaxes_before: int
    layer: str
    readings: tuple[Reading, ...]


def _ask(told: list[_Told], watch: SoftmaxWatch, path: str, layer: Readable) -> Callable[..., None]:
    def hook(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        watch.paused = True  # what a layer computes to tell is no part of the forward pass
        try:
            told.append(_Told(len(watch.seen), path, tuple(layer.read(inputs[0]))))
        finally:
            watch.paused = False

    return hook


def _joined(
    model: nn.Module, softmaxes: Sequence[Softmax], told: Sequence[_Told], images: int
) -> AttentionMaps:
    """The maps of both kinds in order of execution, and the softmaxes that are in none."""
    maps: list[AttentionMap] = []
    unread: list[Unread] = []
    # Of a layer that tells by itself, so many softmaxes are told of.
    told_of: dict[str, int] = {}
    waiting = list(told)
    for number, softmax in enumerate(softmaxes):
        while waiting and waiting[0].softmaxes_before <= number:
            _add_told(waiting.pop(0), maps, told_of)
        teller = next((path for path in softmax.layers if path in told_of), None)
        if teller is not None and told_of[teller] > 0:
            told_of[teller] -= 1
        elif teller is not None:
            unread.append(Unread(softmax.layer, f"{teller} tells of fewer softmaxes than it has"))
        else:
            reading = _reading_of(model, softmax, images)
            if isinstance(reading, Unread):
                unread.append(reading)
            else:
                maps.append(AttentionMap(softmax.layer, reading))
    for last in waiting:
        _add_told(last, maps, told_of)
    return AttentionMaps(tuple(maps), tuple(unread))


def _add_told(told: _Told, maps: list[AttentionMap], told_of: dict[str, int]) -> None:
    maps += [AttentionMap(told.layer, reading) for reading in told.readings]
    told_of[told.layer] = told_of.get(told.layer, 0) + len(told.readings)


def _reading_of(model: nn.Module, softmax: Softmax, images: int) -> Reading | Unread:
    """The softmax as a map, or why it is none."""
    if softmax.values is None:
        return Unread(softmax.layer, f"inside the fused kernel {softmax.operator}")
    layer = model.get_submodule(softmax.layer)
    values = softmax.values.movedim(softmax.dim, -1)
    mix = mixed_by(layer)
    if mix is not None:
        values = mix(values)
    elif not softmax.used_as_it_is:
        return Unread(
            softmax.layer,
            f"the softmax of {type(layer).__name__} is no weight of a product: something else "
            f"takes it first",
        )
    quantity, axes = label_of(layer, values.dim())
    if axes[0] == "image" and len(values) != images:
        axes = ("group", *axes[1:])
    sums = values.sum(dim=-1)
    sums_to_one = bool(torch.allclose(sums, torch.ones_like(sums), atol=1e-3))
    return Reading(quantity, values, axes, sums_to_one)


def _named(unread: Sequence[Unread]) -> str:
    return "; ".join(f"{softmax.layer or 'the model'}: {softmax.reason}" for softmax in unread)


def _with_class_activation(
    model: nn.Module, images: torch.Tensor, unread: tuple[Unread, ...]
) -> AttentionMaps:
    try:
        with torch.no_grad():
            return AttentionMaps((class_activation(model, images),), unread)
    except DeployBenchError as error:
        if not unread:
            raise
        raise DeployBenchError(
            f"{error.found}; of its softmaxes, {_named(unread)}",
            expected=error.expected,
            action=error.action,
        ) from error


def class_activation(model: nn.Module, images: torch.Tensor) -> AttentionMap:
    """What each position of the last feature map adds to the logit of the model's first answer.

    Exact for a network that averages its last map and ends in one linear layer: the mean over the
    positions plus the bias is the logit. Raises DeployBenchError for others.
    """
    pool = getattr(model, "global_pool", None)
    classifier = _classifier(model)
    if not isinstance(pool, nn.Module) or not isinstance(classifier, nn.Linear):
        raise DeployBenchError(
            f"nothing that can be read as attention was found in {type(model).__name__}",
            expected="a zoo model, layers with a method 'read', or a CNN with global_pool and a "
            "linear classifier",
        )
    if getattr(pool, "pool_type", "avg") != "avg":
        raise DeployBenchError(
            f"{type(model).__name__} pools by '{pool.pool_type}'", expected="an average"
        )
    pooled: list[torch.Tensor] = []
    hook = pool.register_forward_pre_hook(lambda _, inputs: pooled.append(inputs[0]))
    try:
        answers = model(images).argmax(dim=1)  # images: the class that each is given
    finally:
        hook.remove()
    feature_map = pooled[0]  # images x channels x height x width
    if feature_map.dim() != 4 or feature_map.shape[1] != classifier.in_features:
        raise DeployBenchError(
            f"{type(model).__name__} has layers between its last map and its classifier",
            expected="an average pool right before the linear classifier",
        )
    # The logit is the mean over the positions of the product with the answer's weights.
    weights = classifier.weight[answers]  # images x channels
    values = torch.einsum("bchw,bc->bhw", feature_map, weights)
    reading = Reading("class activation", values, ("image", "y", "x"), sums_to_one=False)
    return AttentionMap("global_pool", reading)


def _classifier(model: nn.Module) -> object:
    """The model's last layer, where it names it as timm's models do."""
    get_classifier = getattr(model, "get_classifier", None)
    if not callable(get_classifier):
        return None
    return get_classifier()
