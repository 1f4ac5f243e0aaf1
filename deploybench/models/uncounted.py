"""Names what a model computes and nothing counts.

A figure is then *at least*. Named are: an operator of PyTorch's own that takes a weight and that no
formula knows, one that multiplies without weights (Fourier transforms, decompositions), any unknown
operator of another library, and a ``torch.autograd.Function`` whose kernel no operator shows (a
compiled extension). A weight is a parameter, a floating-point buffer, the packed weights of a
quantised layer, or what was made of those alone: a view, a cast, standardised weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from deploybench.models.operators import Formulas, is_counted, may_do_macs, operator_name

ALLOCATIONS = ("empty", "new_empty", "zeros", "new_zeros", "ones", "new_ones", "full", "new_full")
"""How operators begin that make memory for others to fill."""


class OperatorWatch(TorchDispatchMode):
    """Sees every operator that runs under it, and names those that are not counted.

    ``weights`` are the tensors that the model holds, ``formulas`` what counts besides PyTorch's own
    registry. A mode that counts must be entered after this one, so that it takes an operator apart
    first.
    """

    supports_higher_order_operators = True

    def __init__(self, weights: Iterable[torch.Tensor], formulas: Formulas) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._formulas = formulas
        # By identity; the tensors are held, so that no other takes the identity of one that died.
        self._weights = {id(tensor): tensor for tensor in weights if tensor.is_floating_point()}
        self._taken: set[int] = set()
        self._functions: list[_FunctionCall] = []
        self._uncounted: dict[str, None] = {}

    @property
    def uncounted(self) -> tuple[str, ...]:
        """The names of what was not counted, each once, in order of execution."""
        return tuple(self._uncounted)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given, _ = tree_flatten((args, kwargs or {}))
        result = func(*args, **(kwargs or {}))
        made, _ = tree_flatten(result)
        for call in self._functions:
            call.note(func, made)
        tensors = [value for value in given if isinstance(value, torch.Tensor)]
        weights = [tensor for tensor in tensors if id(tensor) in self._weights]
        packed = any(isinstance(value, torch.ScriptObject) for value in given)
        self._taken.update(id(tensor) for tensor in weights)
        takes_weights = packed or bool(weights)
        if not is_counted(func, self._formulas) and may_do_macs(func, takes_weights=takes_weights):
            self._uncounted[operator_name(func)] = None
        if weights and len(weights) == len(tensors):  # made of weights alone
            for value in made:
                if isinstance(value, torch.Tensor) and value.is_floating_point():
                    self._weights[id(value)] = value
        return result

    @contextmanager
    def watching_functions(self) -> Iterator[None]:
        """Name each ``torch.autograd.Function`` that computes where no operator shows.

        It is called a function of its own when it returns memory that no operator filled, or takes
        a weight that none reads.
        """
        function = torch.autograd.Function
        own_apply = function.__dict__["apply"]  # a class method, bound to no class
        watch = self

        def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
            call = _FunctionCall()
            watch._functions.append(call)
            try:
                result = own_apply.__get__(None, cls)(*args, **kwargs)
            finally:
                watch._functions.remove(call)
            weights = {id(value) for value in args if id(value) in watch._weights}
            if call.hides(result, args) or not weights <= watch._taken:
                watch._uncounted[f"autograd.Function {cls.__name__}"] = None
            return result

        function.apply = classmethod(apply)
        try:
            yield
        finally:
            function.apply = own_apply


class _FunctionCall:
    """Which memory operators allocated and which they filled, during a function's call."""

    def __init__(self) -> None:
        self._made: list[torch.Tensor] = []
        """Held, so that no other memory takes the identity of theirs."""
        self._empty: set[int] = set()

    def note(self, func: Any, made: list[Any]) -> None:
        tensors = [value for value in made if isinstance(value, torch.Tensor)]
        self._made += tensors
        storages = {_storage(tensor) for tensor in tensors}
        if operator_name(func).lstrip("_").startswith(ALLOCATIONS):
            self._empty |= storages
        elif not getattr(func, "is_view", False):
            self._empty -= storages

    def hides(self, result: Any, args: tuple[Any, ...]) -> bool:
        """Whether something of the result was filled by no operator, and was not handed in."""
        known = {_storage(tensor) for tensor in self._made}
        known |= {_storage(value) for value in args if isinstance(value, torch.Tensor)}
        values, _ = tree_flatten(result)
        for value in values:
            if not isinstance(value, torch.Tensor):
                continue
            storage = _storage(value)
            if storage in self._empty or storage not in known:
                return True
        return False


def _storage(tensor: torch.Tensor) -> int:
    """The identity of the memory behind a tensor; of the tensor itself where there is none."""
    try:
        return int(tensor.untyped_storage()._cdata)
    except (NotImplementedError, RuntimeError):  # sparse, and other tensors without a storage
        return id(tensor)
