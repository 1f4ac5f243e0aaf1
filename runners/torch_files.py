"""What a foreign TorchScript file or exported program tells of itself. Both are code: they are
opened in a process of their own, and only with the user's word."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploybench.contracts import Arrays, ForeignFile, ForeignTensor, ForeignWork
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    from deploybench.artifacts.artifact import PathStep

PRECISIONS = {"float32": "fp32", "float16": "fp16", "bfloat16": "bf16", "float64": "fp32"}
TRAINING = "saved_in_training_mode"
"""A fact of a script: it is run in evaluation mode all the same."""
MOST_WORDS = 300


def open_script(file: Path) -> Any:
    """The module. Raises DeployBenchError for what is no TorchScript."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.jit.load(str(file), map_location="cpu")
    except Exception as error:  # torch's own, many types
        raise _unread(file, "TorchScript", error) from None


def is_training(module: Any) -> bool:
    """Whether the script was saved while it trained. A frozen one has forgotten that there is such
    a thing: it is in evaluation mode."""
    return bool(getattr(module, "training", False))


def evaluating(module: Any) -> Any:
    """The script in evaluation mode."""
    if is_training(module):
        module.eval()
    return module


def open_program(file: Path) -> Any:
    """The exported program. Raises DeployBenchError for what is none."""
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.export.load(str(file))
    except Exception as error:  # torch's own, many types
        raise _unread(file, "a program of torch.export", error) from None


def look_into_script(file: Path) -> ForeignFile:
    """A script tells its weights and the number of its inputs, and not their sizes."""
    module = open_script(file)
    names = [value.debugName() for value in module.graph.inputs()][1:]  # the first is itself
    arguments = module.forward.schema.arguments[1:]
    required = [argument for argument in arguments if not argument.has_default_value()]
    precision, parameters, dtype = _weights(module)
    inputs = []
    for argument, name in zip(required, names, strict=False):
        kind = str(argument.type)
        its_dtype = dtype if kind == "Tensor" else kind
        inputs.append(ForeignTensor(argument.name or name, its_dtype, None))
    facts = _channels(module)
    if is_training(module):
        facts[TRAINING] = 1
    return ForeignFile(
        inputs=tuple(inputs),
        outputs=(),
        files=(file.name,),
        precision=precision,
        parameters=parameters,
        facts=facts,
    )


def look_into_program(file: Path) -> ForeignFile:
    program = open_program(file)
    user_inputs = set(program.graph_signature.user_inputs)
    inputs = []
    for node in program.graph.nodes:
        if node.op == "placeholder" and node.name in user_inputs:
            value = node.meta.get("val")
            shape = None
            dtype = ""
            if hasattr(value, "shape"):
                shape = tuple(
                    int(size) if isinstance(size, int) else str(size) for size in value.shape
                )
                dtype = str(value.dtype).removeprefix("torch.")
            inputs.append(ForeignTensor(node.name, dtype, shape))
    precision, parameters, _ = _weights(program)
    return ForeignFile(
        inputs=tuple(inputs),
        outputs=(),
        files=(file.name,),
        precision=precision,
        parameters=parameters,
    )


def outputs_of(module: Any, example: Arrays) -> tuple[ForeignTensor, ...]:
    """The tensors that a call returns, with their places in it."""
    import torch

    (array,) = example.values()
    with torch.inference_mode():
        returned = module(torch.from_numpy(array))
    found: list[ForeignTensor] = []
    _collect(returned, (), found)
    return tuple(found)


def work_in(module: Any, shapes: Mapping[str, tuple[int, ...]]) -> ForeignWork | None:
    """Counted as the model's own are, while it runs; None where that does not see its products."""
    import torch

    from deploybench.models.flops import count_all_macs

    ((_, shape),) = shapes.items()
    dtype = torch.float32
    for tensor in module.parameters():
        if tensor.is_floating_point():
            dtype = tensor.dtype
            break
    try:
        counted = count_all_macs(module, torch.zeros(shape, dtype=dtype))
    except Exception:  # runs it in an unusual mode
        return None
    if not counted.total:
        return None
    return ForeignWork(counted.total, tuple(counted.uncounted))


def _collect(value: Any, path: tuple[PathStep, ...], found: list[ForeignTensor]) -> None:
    """Every tensor in dicts, tuples and lists, in their order."""
    import torch

    if isinstance(value, torch.Tensor):
        name = "_".join(str(step) for _, step in path) or "output"
        if path and path[0][0] == "item":
            name = f"output_{name}"
        dtype = str(value.dtype).removeprefix("torch.")
        found.append(ForeignTensor(name, dtype, tuple(value.shape), path=path))
    elif isinstance(value, dict):
        for key, part in value.items():
            _collect(part, (*path, ("key", key)), found)
    elif isinstance(value, (tuple, list)):
        for index, part in enumerate(value):
            _collect(part, (*path, ("item", index)), found)


def _weights(module: Any) -> tuple[str | None, int | None, str]:
    """The precision, the number and the type of the weights."""
    import torch

    numbers: dict[str, int] = {}
    tensors = [parameter.detach() for parameter in module.parameters()]
    if not tensors:  # frozen: they are constants of the graph
        return None, None, "float32"
    for tensor in tensors:
        if tensor.is_floating_point():
            name = str(tensor.dtype).removeprefix("torch.")
            numbers[name] = numbers.get(name, 0) + tensor.numel()
    total = sum(tensor.numel() for tensor in tensors)
    if not numbers or not isinstance(tensors[0], torch.Tensor):
        return None, total, "float32"
    dtype = max(numbers, key=lambda name: numbers[name])
    return PRECISIONS.get(dtype), total, dtype


def _channels(module: Any) -> dict[str, int]:
    """How many channels the first convolution takes, where it is the first layer with weights."""
    for parameter in module.parameters():
        if parameter.dim() == 4:
            return {"first_channels": int(parameter.shape[1])}
        if parameter.dim() >= 2:
            break
    return {}


def _unread(file: Path, what: str, error: Exception) -> DeployBenchError:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    words = " ".join(lines[:2])[:MOST_WORDS] or type(error).__name__
    return DeployBenchError(
        f"{file} does not open as {what}: {words}",
        expected=f"{what} that this PyTorch reads",
        action="get the file again, or write it anew; a checkpoint of weights goes to "
        "deploybench export --checkpoint",
    )
