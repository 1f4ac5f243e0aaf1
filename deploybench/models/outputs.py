"""What a model returns, as tensors with names; which of them is the main one.

A model returns a tensor or a structure of them: a dict, a tuple, a list, a dataclass, one within
the other. Runtimes know flat lists of tensors, so every tensor gets a name and the path at which it
stands: a key of a dict, a field of a named tuple or of a dataclass, ``output_0`` in a plain tuple,
joined by points where structures nest. A complex tensor becomes two, ``NAME.real`` and
``NAME.imag``, for no runtime has complex outputs. Integers and truth values are handed out as
float32, which holds every whole number up to :data:`LARGEST_INTEGER`.

What is no tensor, or has no dimension of images, cannot be handed out: it is left out and said, and
a model that returns nothing else is refused by what it returns.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from deploybench.artifacts.artifact import PathStep
from deploybench.contracts import INPUT_NAME, OUTPUT_NAME
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.plurals import counted

Path = tuple[PathStep, ...]
LARGEST_INTEGER = 1 << 24
"""Above it float32 leaves out whole numbers (its mantissa has 24 bits)."""
MAIN_NAMES = (
    "logits",
    "out",
    "output",
    "pred_logits",
    "class_logits",
    "prediction",
    "predictions",
    "pred",
    "probabilities",
    "probs",
    "scores",
)
"""What authors call the answer of their model, the surest first."""
MOST_KEYS = 6


@dataclass(frozen=True)
class OutputTensor:
    """A tensor of what a model returns. ``shape`` is that of one image, ``dtype`` the model's."""

    name: str
    path: Path
    shape: tuple[int, ...]
    dtype: torch.dtype

    @property
    def is_integer(self) -> bool:
        """Whether its values are whole numbers or truth values: equal, or wrong."""
        return not self.dtype.is_floating_point and not self.dtype.is_complex

    @property
    def dtype_name(self) -> str:
        return str(self.dtype).removeprefix("torch.")

    @property
    def described(self) -> str:
        return f"{self.name} ({' x '.join(map(str, ('N', *self.shape)))})"


@dataclass(frozen=True)
class Outputs:
    """The outputs of an artifact, the main one first. ``assumed`` are sentences for the manifest:
    what was taken for granted, and what was left out."""

    tensors: tuple[OutputTensor, ...]
    assumed: tuple[str, ...] = ()

    @property
    def main(self) -> OutputTensor:
        return self.tensors[0]

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(tensor.name for tensor in self.tensors)

    @property
    def paths(self) -> tuple[Path, ...]:
        return tuple(tensor.path for tensor in self.tensors)


class NamedOutputs(nn.Module):
    """Float32 in, float32 out, whatever the model inside computes in or returns around it.

    It returns the tensors at ``paths``, in that order: one as it is, several as a tuple. Without
    paths it returns the first tensor, as artifacts before outputs had names did.
    """

    def __init__(
        self, model: nn.Module, dtype: torch.dtype, paths: Sequence[Sequence[PathStep]] = ()
    ) -> None:
        super().__init__()
        self.model = cast_floats(model, dtype)
        self.dtype = dtype
        self.paths = tuple(tuple(path) for path in paths)

    def forward(self, input: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, ...]:  # noqa: A002 - the name that exporters record
        returned = self.model(input.to(self.dtype))
        if not any(self.paths):
            return _first_tensor(returned).float()
        tensors = []
        for path in self.paths:
            tensors.append(at_path(returned, path).float())
        if len(tensors) == 1:
            return tensors[0]
        return tuple(tensors)


def cast_floats(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """The model with its floating weights in ``dtype``.

    ``model.to(dtype)`` would cast complex weights as well, to their real parts.
    """
    if dtype == torch.float16:
        return model.half()
    if dtype == torch.bfloat16:
        return model.bfloat16()
    return model.float()


def find_outputs(
    returned: object, images: int, *, classes: int = 0, chosen: Sequence[str] = ()
) -> Outputs:
    """The outputs of a model that returned ``returned`` for so many ``images``.

    ``classes`` is how many the model is known to have (0: unknown), ``chosen`` are the names that
    the user wants, the main one first; empty: all. Raises DeployBenchError where nothing can be
    handed out, or for a name that is not there.
    """
    tensors: list[OutputTensor] = []
    left_out: list[str] = []
    whole = not isinstance(returned, torch.Tensor)
    for name, path, value in _leaves(returned, (), ()):
        problem = _problem(value, images)
        if problem is not None:
            left_out.append(f"{name} ({problem})" if whole else problem)
            continue
        assert isinstance(value, torch.Tensor)
        tensors += _parts(name, path, value)
    if not tensors:
        raise _nothing_to_hand_out(returned, images)
    named = _with_own_names(tensors)
    assumed = []
    if left_out:
        assumed.append(f"left out of the artifact: {_listed(left_out)}")
    if chosen:
        return Outputs(_chosen(named, chosen), tuple(assumed))
    if len(named) == 1:
        (only,) = named
        return Outputs((dataclasses.replace(only, name=OUTPUT_NAME),), tuple(assumed))
    main = _main(named, classes)
    if main is None:
        main = next((one for one in named if "aux" not in one.name.lower()), named[0])
        choice = ", ".join(tensor.described for tensor in named)
        assumed.append(
            f"main output: {main.name} is assumed to be the answer, of {choice}; "
            "deploybench export --output NAME takes another"
        )
    others = tuple(tensor for tensor in named if tensor is not main)
    return Outputs((main, *others), tuple(assumed))


def check_same(first: Outputs, again: Outputs) -> None:
    """Refuse outputs whose shapes changed with the images. ``again`` are those of other images."""
    shapes = {tensor.path: tensor.shape for tensor in again.tensors}
    for tensor in first.tensors:
        shape = shapes.get(tensor.path)
        if shape == tensor.shape:
            continue
        found = f"the model returns other tensors for other images: {tensor.name} "
        if shape is None:
            found += "is not among those that belong to all images"
        else:
            found += f"has the shape {_shape(tensor.shape)} an image, then {_shape(shape)}"
        raise DeployBenchError(found, expected=EXPECTED, action=WRAP)


def check_integers(output: OutputTensor, values: torch.Tensor) -> None:
    """Refuse whole numbers that float32 does not hold.

    ``values`` are as the model returned them.
    """
    if not output.is_integer or output.dtype == torch.bool:
        return
    largest = int(values.abs().max())
    if largest > LARGEST_INTEGER:
        raise DeployBenchError(
            f"the output {output.name} holds whole numbers up to {largest:,}, and artifacts hand "
            f"out float32, which is exact up to {LARGEST_INTEGER:,}",
            action="let the model return them in parts, or leave the output out: --output NAME",
        )


EXPECTED = "tensors whose first dimension is the images, of one shape whatever the images show"
WRAP = (
    "wrap the model in a module that returns such tensors (of a detector: the scores and boxes "
    "before anything is selected), and export that"
)


def _leaves(
    value: object, names: tuple[str, ...], path: Path
) -> Iterator[tuple[str, Path, object]]:
    """Everything that is no structure: its name, its path and itself, in the model's own order."""
    children: list[tuple[str, PathStep, object]] = []
    if isinstance(value, Mapping):
        children = [(str(key), ("key", key), item) for key, item in value.items()]
    elif isinstance(value, tuple) and hasattr(value, "_fields"):
        children = [(name, ("field", name), getattr(value, name)) for name in value._fields]
    elif isinstance(value, (tuple, list)):
        for index, item in enumerate(value):
            name = str(index)
            if not names:
                name = f"output_{index}"
            children.append((name, ("item", index), item))
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            children.append((field.name, ("field", field.name), getattr(value, field.name)))
    else:
        yield ".".join(names) or OUTPUT_NAME, path, value
        return
    for name, step, child in children:
        yield from _leaves(child, (*names, name), (*path, step))


def at_path(returned: object, path: Sequence[PathStep]) -> torch.Tensor:
    """The tensor at a path. Plain operations alone: exporters trace them."""
    value: object = returned
    for kind, step in path:
        if kind == "field":
            value = getattr(value, str(step))
        elif kind == "part":
            parts = torch.view_as_real(value)  # type: ignore[arg-type]
            value = parts[..., 0] if step == "real" else parts[..., 1]
        else:
            value = value[step]  # type: ignore[index]
    return value  # type: ignore[return-value]


def _first_tensor(returned: object) -> torch.Tensor:
    """What artifacts without paths hand out: ``logits`` or the first of a dict, the first of a
    tuple."""
    if isinstance(returned, dict):
        returned = returned.get("logits", next(iter(returned.values())))
    if isinstance(returned, (tuple, list)):
        returned = returned[0]
    return returned  # type: ignore[return-value]


def _parts(name: str, path: Path, tensor: torch.Tensor) -> list[OutputTensor]:
    """The tensor, or the two that stand for a complex one."""
    shape = tuple(tensor.shape[1:])
    if not tensor.is_complex():
        return [OutputTensor(name, path, shape, tensor.dtype)]
    real = torch.view_as_real(tensor).dtype
    return [
        OutputTensor(f"{name}.{part}", (*path, ("part", part)), shape, real)
        for part in ("real", "imag")
    ]


def _problem(value: object, images: int) -> str | None:
    """Why a value cannot be handed out, in words; None for a tensor that can."""
    if not isinstance(value, torch.Tensor):
        return _described(value)
    if value.layout != torch.strided:
        return f"a {str(value.layout).removeprefix('torch.').replace('_', ' ')} tensor"
    if value.is_nested:
        return "a nested tensor, of another size for each image"
    shape = _shape(tuple(value.shape))
    if value.dim() == 0 or value.shape[0] != images:
        return f"a tensor of shape {shape} for {images} images"
    if value.numel() == 0:
        return f"a tensor of shape {shape}, which holds no value"
    return None


def _described(value: object) -> str:
    """What a value is, in words."""
    if value is None:
        return "None"
    if isinstance(value, str):
        return "a text"
    if isinstance(value, (bool, int, float)):
        return f"a Python {type(value).__name__}"
    if isinstance(value, (tuple, list)) and not value:
        return f"an empty {type(value).__name__}"
    return f"a {type(value).__name__} object"


def _nothing_to_hand_out(returned: object, images: int) -> DeployBenchError:
    """The refusal of a model none of whose outputs can be handed out, by what it returns."""
    what = _problem(returned, images)
    if isinstance(returned, (list, tuple)) and returned:
        first = returned[0]
        many = type(returned).__name__
        if isinstance(first, Mapping):
            keys = ", ".join(str(key) for key in list(first)[:MOST_KEYS])
            what = f"a {many} of dicts with {keys}"
            if {"boxes", "scores"} <= {str(key) for key in first}:
                what += ": a detector, whose number of boxes differs from image to image"
        elif all(isinstance(item, torch.Tensor) for item in returned):
            shapes = ", ".join(_shape(tuple(item.shape)) for item in returned[:MOST_KEYS])
            tensors = counted(len(returned), "tensor")
            what = f"a {many} of {tensors} without a dimension of images: {shapes}"
        else:
            what = f"a {many} of {_listed([_problem(item, images) or '' for item in returned])}"
    elif isinstance(returned, Mapping):
        held = [f"{key} ({_problem(item, images)})" for key, item in returned.items()]
        what = f"a dict of {_listed(held)}"
    return DeployBenchError(f"the model returns {what}", expected=EXPECTED, action=WRAP)


def _with_own_names(tensors: Sequence[OutputTensor]) -> list[OutputTensor]:
    """The tensors with names that differ from each other and from the input's."""
    taken = {INPUT_NAME}
    named = []
    for tensor in tensors:
        name = tensor.name or "output"
        number = 2
        while name in taken:
            name = f"{tensor.name or 'output'}_{number}"
            number += 1
        taken.add(name)
        named.append(dataclasses.replace(tensor, name=name))
    return named


def _main(tensors: Sequence[OutputTensor], classes: int) -> OutputTensor | None:
    """The main output, where its name or its shape tells; None where neither does."""
    by_name = {tensor.name.lower(): tensor for tensor in tensors}
    for name in MAIN_NAMES:
        if name in by_name:
            return by_name[name]
    scores = [tensor for tensor in tensors if classes and tensor.shape == (classes,)]
    if len(scores) == 1 and "aux" not in scores[0].name.lower():
        return scores[0]
    return None


def _chosen(tensors: Sequence[OutputTensor], chosen: Sequence[str]) -> tuple[OutputTensor, ...]:
    """Those of these names, in this order; a single output answers to its usual name, too."""
    by_name = {tensor.name: tensor for tensor in tensors}
    if len(tensors) == 1:
        by_name.setdefault(OUTPUT_NAME, dataclasses.replace(tensors[0], name=OUTPUT_NAME))
    for name in chosen:
        if name not in by_name:
            raise unknown_name("output", name, by_name, action="leave out --output for all of them")
    return tuple(by_name[name] for name in dict.fromkeys(chosen))


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, shape))})"


def _listed(words: Sequence[str]) -> str:
    shown = ", ".join(words[:MOST_KEYS])
    if len(words) > MOST_KEYS:
        shown += f" and {len(words) - MOST_KEYS} more"
    return shown
