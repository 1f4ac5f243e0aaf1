"""Tracing, and what it loses: a branch that depends on the data is frozen as the example took it.

A tracer follows one call. ``if x.mean() > 0`` becomes whichever side the example took, and
``x / float(x.max())`` divides by the example's maximum for ever. PyTorch warns of every tensor that
becomes a Python value, of sizes too, which are harmless. So, where it warned, the model runs once
more, eagerly, and every value that comes from the image is followed: only where one of those
becomes a Python value is something frozen.
"""

from __future__ import annotations

import ast
import copy
import linecache
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    import torch

READS = frozenset(
    {
        "__bool__",
        "__int__",
        "__float__",
        "__index__",
        "__complex__",
        "__contains__",
        "__array__",
        "item",
        "tolist",
        "numpy",
        "is_nonzero",
        "equal",
        "allclose",
    }
)
"""Calls that make a Python value of a tensor's content."""
SHAPE_ALONE = ("_like", "new_")
"""In the names of operators that take nothing but the shape of their input."""
LIBRARIES = ("torch", "deploybench", "exporters")
"""Frames of these are not where the model's author reads."""


@dataclass(frozen=True)
class Read:
    """Where a value that depends on the image becomes a Python value."""

    file: str
    line: int

    @property
    def text(self) -> str:
        code = linecache.getline(self.file, self.line).strip()
        return f"{self.file}:{self.line} ({code})" if code else f"{self.file}:{self.line}"

    @property
    def only_checks(self) -> bool:
        """Whether the line is an assertion, or a condition that does nothing but raise."""
        try:
            tree = ast.parse(Path(self.file).read_text("utf-8"))
        except (OSError, SyntaxError, ValueError):
            return False
        for node in ast.walk(tree):
            if isinstance(node, ast.Assert) and _covers(node, node, self.line):
                return True
            raises = isinstance(node, ast.If) and not node.orelse
            if raises and isinstance(node, ast.If) and _covers(node, node.test, self.line):
                return all(isinstance(step, ast.Raise) for step in node.body)
        return False


def _covers(begin: ast.stmt, end: ast.AST, line: int) -> bool:
    return begin.lineno <= line <= (getattr(end, "end_lineno", None) or begin.lineno)


@dataclass
class Warned:
    """Whether a tracer warned that a tensor became a Python value."""

    of_values: bool = False
    messages: list[str] = field(default_factory=list)


@contextmanager
def tracer_warnings() -> Iterator[Warned]:
    """Collect what tracers warn of, which this process does not show."""
    warned = Warned()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield warned
    for warning in caught:
        if warning.category.__name__ == "TracerWarning":
            warned.of_values = True
            warned.messages.append(str(warning.message))


def frozen_reads(model: torch.nn.Module, example: torch.Tensor) -> list[Read]:
    """Where the model reads values that depend on ``example``, in the order of the call.

    Checks that only raise are left out: what passes them is computed as before.
    """
    import torch
    from torch.overrides import TorchFunctionMode
    from torch.utils._python_dispatch import TorchDispatchMode

    # Tensors whose values depend on the example, kept so that no identity is used again.
    depending: dict[int, torch.Tensor] = {}
    reads: dict[Read, None] = {}

    def depends(value: object) -> bool:
        if isinstance(value, torch.Tensor):
            return id(value) in depending
        if isinstance(value, (list, tuple)):
            return any(depends(inner) for inner in value)
        return False

    def mark(value: object) -> None:
        if isinstance(value, torch.Tensor):
            depending[id(value)] = value
        elif isinstance(value, (list, tuple)):
            for inner in value:
                mark(inner)

    class Following(TorchDispatchMode):
        """Every operator hands on the dependence of its inputs."""

        def __torch_dispatch__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            given = (*args, *(kwargs or {}).values())
            result = function(*args, **(kwargs or {}))
            name = str(function)
            if depends(given) and not any(word in name for word in SHAPE_ALONE):
                mark(result)
                written = getattr(function, "_schema", None)
                if written is not None and written.is_mutable and args:
                    mark(args[0])  # written in place: x[mask] = y
            return result

    class Reading(TorchFunctionMode):
        """Every call that reads a tensor's content is noted with its place in the model."""

        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            name = getattr(function, "__name__", "")
            if name in READS and depends(args):
                place = _place_of_caller()
                if place is not None:
                    reads[place] = None
            return function(*args, **(kwargs or {}))

    image = example.clone()
    mark(image)
    following: Any = Following  # torch leaves the constructor of its modes without types
    with torch.no_grad(), following(), Reading():
        model(image)
    return [read for read in reads if not read.only_checks]


def _place_of_caller() -> Read | None:
    """The innermost line of the model's own code that is running."""
    frame = sys._getframe(1)
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if module.partition(".")[0] not in LIBRARIES:
            return Read(frame.f_code.co_filename, frame.f_lineno)
        if frame.f_back is None:
            return None
        frame = frame.f_back
    return None


def refusal(reads: list[Read], way: str) -> DeployBenchError:
    """The refusal of a model that reads its image's values, where ``way`` would freeze them."""
    places = "; ".join(read.text for read in reads[:3])
    return DeployBenchError(
        f"the model decides by the values of the image, which {way} at those of one "
        f"example: {places}",
        expected="the same operators for every image (torch.where, torch.clamp, a mask)",
        action="write the branch with torch.where, or take the pytorch backend, which runs the "
        "code as it is",
    )


def keeping_branches(
    model: torch.nn.Module, example: torch.Tensor, trace: Callable[[torch.nn.Module], Any]
) -> Any:
    """What ``trace`` makes of the model; where that would freeze a branch, of the model with its
    inner modules compiled by ``torch.jit.script``, which keeps branches.

    Raises DeployBenchError with file and line where they cannot be kept.
    """
    import torch

    with tracer_warnings() as warned:
        traced = trace(model)
    if not warned.of_values:
        return traced
    reads = frozen_reads(model, example)
    if not reads:
        return traced
    # The outermost module takes apart what the model returns, which cannot be scripted.
    shell = copy.copy(model)
    shell._modules = dict(model._modules)
    try:
        for name, child in model.named_children():
            shell._modules[name] = torch.jit.script(child)
        with tracer_warnings() as warned:
            traced = trace(shell)
    except Exception as error:  # the compiler knows a part of Python only
        raise refusal(reads, "tracing freezes") from error
    if warned.of_values:
        raise refusal(reads, "tracing freezes")
    return traced
