"""Which task a model is for, found where the model shows it.

In this order: what the user says (``--task``); what the model's source declares; what the module's
own configuration declares (``problem_type`` of transformers); what the main output shows: whole
numbers, an image of scores, a softmax or a sigmoid as the last operation, probabilities by their
values, vectors of unit length. What is left is assumed from the shape, and said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from deploybench.artifacts.task import (
    SCORED,
    TASK_ASSUMED,
    Scores,
    Task,
    TaskKind,
    check_fits,
    read_task,
    task_of_shape,
)
from deploybench.artifacts.weights import Weights
from deploybench.models.source import BuiltModel

if TYPE_CHECKING:
    import torch

    from deploybench.models.outputs import OutputTensor

PROBLEM_TYPES: Mapping[str, TaskKind] = {
    "single_label_classification": "multi_class",
    "multi_label_classification": "multi_label",
    "regression": "regression",
}
"""Of transformers' configurations."""
SUM_TOLERANCE = 1e-3
"""Of probabilities over the classes of an image, in float32."""
SHORTEST_EMBEDDING = 16
"""Values; fewer that happen to have unit length are no embedding."""
PASSED_ON = frozenset(
    {
        "AliasBackward0",
        "CloneBackward0",
        "ReshapeAliasBackward0",
        "SelectBackward0",
        "SliceBackward0",
        "SqueezeBackward0",
        "SqueezeBackward1",
        "ToCopyBackward0",
        "UnsqueezeBackward0",
        "UnsafeViewBackward0",
        "ViewBackward0",
    }
)
"""Operations that change no value: what made the output stands before them."""
MOST_PASSED_ON = 16


def task_of(
    asked: str | None,
    built: BuiltModel,
    weights: Weights,
    values: torch.Tensor,
    main: OutputTensor,
) -> Task:
    """The task of a model whose main output on the reference images is ``values`` (images, …).

    Raises DeployBenchError where the task that is asked for does not go with that output.
    """
    last = _last_operation(built, main)
    if asked is not None:
        kind, said = read_task(asked)
        task = _declared(kind, said, values, main, last, known="given", because="--task")
        check_fits(task, main.shape)
        return task
    for declared, source in ((built.task, "the model's source"), _problem_type(built.module)):
        if declared is None:
            continue
        kind, said = read_task(declared)
        return _declared(kind, said, values, main, last, known="found", because=source)
    found = _shown(values, main, last)
    if found is not None:
        return found
    if built.num_classes == 0 and built.head is not None and len(main.shape) == 1:
        return Task(kind="embedding", scores="values", known="found", because="no classifier")
    assumed = task_of_shape(main.shape)
    if weights.kind == "pretrained" and assumed.kind == "multi_class":
        return assumed.replaced(known="found", because="pretrained classifier")
    return assumed


def task_assumed(task: Task, weights: Weights) -> tuple[str, ...]:
    """The sentence for the manifest where the task is assumed; the answers of random weights mean
    nothing whatever the task is."""
    if task.known != "assumed" or weights.kind == "random":
        return ()
    return (f"{TASK_ASSUMED}{ASSUMED[task.kind]}; --task KIND says what it is",)


ASSUMED: Mapping[TaskKind, str] = {
    "multi_class": "logits of classes of which an image has one are assumed (softmax)",
    "multi_label": "independent probabilities of several classes are assumed",
    "binary": "the probability of one class is assumed",
    "regression": "quantities are assumed",
    "embedding": "an embedding is assumed",
    "dense": "a class for each pixel is assumed",
    "unknown": "unknown, one number may be a score or a quantity; predict prints it as it is",
}


def _declared(
    kind: TaskKind,
    said: Scores | None,
    values: torch.Tensor,
    main: OutputTensor,
    last: str,
    *,
    known: Any,
    because: str,
) -> Task:
    """A task whose kind is known; what its scores are is found where nobody said."""
    scores: Scores = "values"
    if kind in SCORED:
        scores = said or _scores(values, main, last)
    return Task(kind=kind, scores=scores, known=known, because=because)


def _scores(values: torch.Tensor, main: OutputTensor, last: str) -> Scores:
    if main.is_integer:
        return "classes"
    within = bool((values >= 0).all() and (values <= 1).all())
    if within and (last in ("Sigmoid", "Softmax") or _sums_to_one(values)):
        return "probabilities"
    return "logits"


def _shown(values: torch.Tensor, main: OutputTensor, last: str) -> Task | None:
    """What the main output shows by itself."""
    dimensions = len(main.shape)
    if main.is_integer:
        because = f"the model returns {main.dtype_name}"
        kind: TaskKind = {0: "multi_class", 1: "multi_label", 2: "dense"}.get(dimensions, "unknown")  # type: ignore[assignment]
        if dimensions == 1 and main.dtype_name != "bool":
            kind = "unknown"
        scores: Scores = "classes" if kind != "unknown" else "values"
        return Task(kind=kind, scores=scores, known="found", because=because)
    if dimensions > 1:
        found = task_of_shape(main.shape)
        if found.kind == "dense" and last in ("Sigmoid", "Softmax"):
            return found.replaced(
                scores="probabilities", because=f"the model ends in a {last.lower()}"
            )
        return None
    several = dimensions == 1 and main.shape[0] > 1
    if last == "Sigmoid":
        kind = "multi_label" if several else "binary"
        because = "the model ends in a sigmoid"
        # One number between 0 and 1 may be a quantity that is held there.
        known: Any = "found" if several else "assumed"
        return Task(kind=kind, scores="probabilities", known=known, because=because)
    if last == "LogSoftmax" and several:
        # The softmax of logarithms of probabilities is these probabilities.
        because = "the model ends in a log-softmax"
        return Task(kind="multi_class", scores="logits", known="found", because=because)
    if not several:
        return None
    if last == "Softmax" or _sums_to_one(values):
        because = "the outputs of an image are probabilities that sum to 1"
        return Task(kind="multi_class", scores="probabilities", known="found", because=because)
    if bool((values >= 0).all() and (values <= 1).all()) and not last:
        because = "the outputs are between 0 and 1 and do not sum to 1"
        return Task(kind="multi_label", scores="probabilities", known="assumed", because=because)
    lengths = values.norm(dim=1)
    unit = bool(((lengths - 1).abs() < SUM_TOLERANCE).all())
    if unit and main.shape[0] >= SHORTEST_EMBEDDING:
        because = "vectors of unit length"
        return Task(kind="embedding", scores="values", known="found", because=because)
    return None


def _sums_to_one(values: torch.Tensor) -> bool:
    """Whether the values of every image are at least 0 and sum to 1 over dimension 1."""
    if values.dim() < 2 or values.shape[1] < 2 or bool((values < 0).any()):
        return False
    return bool(((values.sum(dim=1) - 1).abs() < SUM_TOLERANCE).all())


def _problem_type(module: torch.nn.Module) -> tuple[str | None, str]:
    config = getattr(module, "config", None)
    declared = getattr(config, "problem_type", None)
    return PROBLEM_TYPES.get(str(declared)), "problem_type of the model's configuration"


def _last_operation(built: BuiltModel, main: OutputTensor) -> str:
    """What made the main output, by autograd's graph: ``Softmax``, ``Sigmoid``, …

    Empty where there is no such graph (a model that detaches, or computes outside torch).
    """
    import torch

    from deploybench.models.outputs import at_path

    spec = built.preprocessing
    image = torch.zeros(1, spec.channels, spec.height, spec.width, requires_grad=True)
    try:
        with torch.enable_grad():
            output = at_path(built.module(image), main.path)
    except Exception:  # a model that runs without gradients only
        return ""
    node = output.grad_fn
    for _ in range(MOST_PASSED_ON):
        if node is None or node.name() not in PASSED_ON:
            break
        node = node.next_functions[0][0]
    if node is None:
        return ""
    return str(node.name()).removesuffix("Backward0").removesuffix("Backward1").strip("_")
