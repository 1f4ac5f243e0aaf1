"""Are the weights of the model in the exported file? Each is looked for, by its name or its values.

Parity looks at outputs, and a small wrong weight may change them by less than rounding does. Where
a format can be read, every tensor of the model, as it was cast to the artifact's precision, is
looked for in the file: as it is, transposed, or folded with the batch norm that follows its layer.
What is not found is said, and is no fault by itself: exporters transform weights in many ways. But
a tensor that stands under its own name, in its own shape, with other values, is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted

Array = npt.NDArray[np.float32]

WRAPPER = "model."
"""What stands before every name of the model in an exported file: exporters get a wrapper of it."""
TOLERANCES = {"fp32": 1e-5, "tf32": 1e-5, "int8-weights": 1e-5, "fp16": 4e-3, "bf16": 3e-2}
"""Of a folded weight, relative to the tensor's largest: folding rounds a few times, in the
artifact's precision."""
STEPS = {"int8-weights": 1e-2}
"""Of a weight that is stored in 8 bits (biases are not), relative to the tensor's largest. A step
is at most 2/255 of it; a weight is off by half a step, by another half where the zero point was
rounded, and by what fp16 rounds of the scale."""
WEIGHTS_AUDITED = "weights audited"
"""The fact of a manifest that says in words what was found."""
NAMED = 4
"""How many names are listed."""


@dataclass(frozen=True)
class Folded:
    """A batch norm that follows a layer, by the names of both modules, and what it adds to its
    variance."""

    layer: str
    norm: str
    epsilon: float


class WeightsAudit(Document):
    """How many of a model's tensors were found again in the exported file.

    ``wrong`` stand there under their own names with other values.
    """

    found: int
    tensors: int
    missing: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """In words, with the first names of what was not found."""
        label = f"{self.found} of {self.tensors} found"
        if not self.missing:
            return label
        return f"{label}, {len(self.missing)} not found: {_listed(self.missing)}"

    def check(self, entry: str) -> None:
        """Raise DeployBenchError where a tensor of the file ``entry`` is wrong."""
        if self.wrong:
            raise DeployBenchError(
                f"{entry} holds other values than the model under the names of "
                f"{len(self.wrong)} of its {counted(self.tensors, 'tensor')}: "
                f"{_listed(self.wrong)}",
                expected="the model's own weights, cast to the artifact's precision",
                action="this is a fault of the exporter: choose another version of it, or another "
                "backend",
            )


def audit_weights(
    source: Mapping[str, Array],
    stored: Mapping[str, Array],
    folds: tuple[Folded, ...],
    precision: str,
) -> WeightsAudit:
    """Look for every tensor of ``source`` among those of the file.

    ``source`` are the model's tensors by name, ``stored`` the file's by whatever names it has;
    float32 views of what is stored.
    """
    tolerance = TOLERANCES.get(precision, 0.0)
    step = STEPS.get(precision, 0.0)
    named: dict[str, Array] = {}
    unnamed: dict[int, list[Array]] = {}
    for stored_name, tensor in stored.items():
        name = stored_name.removeprefix(WRAPPER)
        if name in source:
            named[name] = tensor
        else:
            unnamed.setdefault(tensor.size, []).append(tensor)

    forms = dict(_folded_forms(source, folds))
    found = set()
    wrong = []
    for name, tensor in source.items():
        folded = forms.get(name)
        own = named.get(name)
        others = unnamed.get(tensor.size, [])
        if (own is not None and _is_it(tensor, folded, own, tolerance, step)) or any(
            _is_it(tensor, folded, other, tolerance, step, turned=True) for other in others
        ):
            found.add(name)
        elif own is not None and own.shape == tensor.shape:
            wrong.append(name)
    by_size = {size: list(tensors) for size, tensors in unnamed.items()}
    for tensor in named.values():
        by_size.setdefault(tensor.size, []).append(tensor)
    found |= _found_in_folds(source, by_size, folds, found, tolerance)
    wrong = [name for name in wrong if name not in found]
    missing = [name for name in source if name not in found and name not in wrong]
    return WeightsAudit(
        found=len(found), tensors=len(source), missing=tuple(missing), wrong=tuple(wrong)
    )


def _folded_forms(
    source: Mapping[str, Array], folds: tuple[Folded, ...]
) -> Iterator[tuple[str, Array]]:
    """The weight of each layer that a norm follows, and its bias if it has one, with the norm
    folded into them."""
    for fold in folds:
        weight = source.get(f"{fold.layer}.weight")
        scale, shift = _norm_as_scale_and_shift(source, fold)
        if weight is None or scale is None or shift is None or len(weight) != len(scale):
            continue
        yield f"{fold.layer}.weight", weight * scale.reshape(-1, *[1] * (weight.ndim - 1))
        bias = source.get(f"{fold.layer}.bias")
        if bias is not None:
            yield f"{fold.layer}.bias", bias * scale + shift


def _norm_as_scale_and_shift(
    source: Mapping[str, Array], fold: Folded
) -> tuple[Array | None, Array | None]:
    """What the norm multiplies each channel with, and what it then adds."""
    mean = source.get(f"{fold.norm}.running_mean")
    variance = source.get(f"{fold.norm}.running_var")
    if mean is None or variance is None:
        return None, None
    weight = source.get(f"{fold.norm}.weight", np.ones_like(mean))
    bias = source.get(f"{fold.norm}.bias", np.zeros_like(mean))
    scale = weight / np.sqrt(variance + np.float32(fold.epsilon))
    return scale, bias - mean * scale


def _found_in_folds(
    source: Mapping[str, Array],
    by_size: Mapping[int, list[Array]],
    folds: tuple[Folded, ...],
    found: set[str],
    tolerance: float,
) -> set[str]:
    """The tensors of norms that are part of what was found.

    That is a layer's folded weight with the bias that the norm leaves behind; or the norm as a
    scale and a shift of its own.
    """
    parts = set()
    for fold in folds:
        scale, shift = _norm_as_scale_and_shift(source, fold)
        if scale is None or shift is None:
            continue
        bias = source.get(f"{fold.layer}.bias", np.zeros_like(shift))
        left = bias * scale + shift
        vectors = by_size.get(left.size, [])
        weight_found = f"{fold.layer}.weight" in found
        if not weight_found or not any(_close(left, other, tolerance) for other in vectors):
            continue
        for tensor in ("weight", "bias", "running_mean", "running_var"):
            if f"{fold.norm}.{tensor}" in source:
                parts.add(f"{fold.norm}.{tensor}")
    return parts


def _is_it(
    tensor: Array,
    folded: Array | None,
    other: Array,
    tolerance: float,
    step: float,
    *,
    turned: bool = False,
) -> bool:
    """Whether ``other`` is the tensor, as it is or folded; shapes may differ by ones.

    ``step`` is what a stored weight may be off by, 0: it is stored exactly. ``turned``: its two
    last axes may be exchanged. Under its own name it lies as in the model.
    """
    if other.size != tensor.size:
        return False
    values = other.ravel()
    if any(np.array_equal(form, values) for form in _orders(tensor, turned=turned)):
        return True
    if step and tensor.ndim >= 2:
        if any(_close(form, values, step) for form in _orders(tensor, turned=turned)):
            return True
        tolerance = step
    if folded is None:
        return False
    return any(_close(form, values, tolerance) for form in _orders(folded, turned=turned))


def _close(values: Array, others: Array, tolerance: float) -> bool:
    largest = float(np.abs(values).max(initial=0.0))
    return bool(np.abs(values - others.ravel()).max(initial=0.0) <= tolerance * largest)


def _orders(tensor: Array, *, turned: bool) -> list[Array]:
    """The tensor's values in a row, as they lie and with its two last axes exchanged."""
    orders = [tensor.ravel()]
    if turned and tensor.ndim >= 2 and min(tensor.shape[-2:]) > 1:
        orders.append(np.swapaxes(tensor, -1, -2).ravel())
    return orders


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        shown += ", …"
    return shown
