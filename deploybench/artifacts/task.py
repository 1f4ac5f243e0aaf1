"""What a model's main output means: its task, what its numbers are, and how that is known.

A softmax belongs over the logits of classes of which an image has one, a sigmoid over each logit
where it may have any number of them, and nothing over what is a probability already, or a quantity.
The numbers do not tell that by themselves, so a manifest says it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from deploybench.documents import Document
from deploybench.errors import DeployBenchError, unknown_name

TaskKind = Literal[
    "multi_class", "multi_label", "binary", "regression", "embedding", "dense", "unknown"
]
Scores = Literal["logits", "probabilities", "classes", "values"]
SCORED: tuple[TaskKind, ...] = ("multi_class", "multi_label", "binary", "dense")
"""The tasks whose numbers are scores of classes; those of the others are values as they are."""
NAMED_TASKS = tuple(kind for kind in get_args(TaskKind) if kind != "unknown")
TASK_ASSUMED = "task: "
"""How the sentence begins that says, in a manifest, which task is assumed."""

_MEANINGS: dict[TaskKind, str] = {
    "multi_class": "one class of several",
    "multi_label": "any number of classes",
    "binary": "yes or no",
    "regression": "quantities",
    "embedding": "a vector that describes the image",
    "dense": "a class for each pixel",
    "unknown": "unknown",
}


class Task(Document):
    """What the main output means.

    ``scores`` are ``logits`` (before softmax or sigmoid), ``probabilities``, ``classes`` (numbers
    of classes: the model has decided by itself) or ``values`` (nothing is to be done with them).
    ``known``: the user gave it, the model showed it, or it is assumed; ``because`` says by what.
    """

    kind: TaskKind
    scores: Scores
    known: Literal["given", "found", "assumed"]
    because: str = ""

    @property
    def words(self) -> str:
        """``multi_class over logits (assumed: …)``."""
        text: str = self.kind
        if self.kind == "unknown":
            text = "unknown task"
        elif self.kind in SCORED:
            text += f" over {self.scores}"
        known = self.known
        if self.because:
            return f"{text} ({known}: {self.because})"
        return f"{text} ({known})"

    @property
    def meaning(self) -> str:
        return _MEANINGS[self.kind]


def read_task(text: str) -> tuple[TaskKind, Scores | None]:
    """The kind and the scores in ``multi_label`` or ``multi_label:probabilities``.

    None are scores that were not said. Raises DeployBenchError for words that are none.
    """
    words, colon, said = text.strip().lower().partition(":")
    kind = words.replace("-", "_")
    if kind not in NAMED_TASKS:
        raise unknown_name("task", text, NAMED_TASKS)
    if not colon:
        return kind, None  # type: ignore[return-value]
    if said not in ("logits", "probabilities") or kind not in SCORED:
        raise DeployBenchError(
            f"the task {text}",
            expected="KIND, or KIND:logits or KIND:probabilities where the outputs are scores: "
            + ", ".join(SCORED),
        )
    return kind, said  # type: ignore[return-value]


def task_of_shape(shape: tuple[int, ...]) -> Task:
    """What is assumed of a main output of that shape (of one image) of which no more is known.

    One number may be a quantity or a score, and a row of numbers may be anything: scores of classes
    are what most vision models put out.
    """
    if len(shape) == 1 and shape[0] > 1:
        return Task(kind="multi_class", scores="logits", known="assumed")
    if len(shape) in (2, 3):
        scores: Scores = "values"
        if len(shape) == 3 and shape[0] > 1:
            scores = "logits"
        return Task(kind="dense", scores=scores, known="assumed")
    return Task(kind="unknown", scores="values", known="assumed")


def check_fits(task: Task, shape: tuple[int, ...]) -> None:
    """Refuse a task that does not go with a main output of that shape (of one image)."""
    fits = {
        "multi_class": len(shape) <= 1 and (task.scores == "classes" or shape > (1,)),
        "multi_label": len(shape) == 1,
        "binary": shape in ((), (1,), (2,)),
        "dense": len(shape) in (2, 3),
    }
    if fits.get(task.kind, len(shape) <= 1):
        return
    words = " x ".join(map(str, ("N", *shape)))
    raise DeployBenchError(
        f"the task {task.kind} with a main output of {words}",
        expected=_EXPECTED.get(task.kind, "one vector or number an image"),
        action="choose another --task, or the output that it is for: --output NAME",
    )


_EXPECTED: Mapping[TaskKind, str] = {
    "multi_class": "N x classes, of two classes or more",
    "multi_label": "N x classes",
    "binary": "one number an image, or two",
    "dense": "N x classes x height x width, or N x height x width",
}


def task_asked(asked: str | None, shape: tuple[int, ...], written: Task) -> Task:
    """The task that the user gives, else the one that is ``written`` in the manifest.

    Where nobody says whether scores are probabilities, they are what is written, or else logits.
    ``shape`` is that of the main output of one image; raises DeployBenchError for a task that does
    not go with it.
    """
    if asked is None:
        return written
    kind, said = read_task(asked)
    scores: Scores = "values"
    if kind in SCORED:
        scores = said or written.scores
        if scores == "values":
            scores = "logits"
    task = Task(kind=kind, scores=scores, known="given", because="--task")
    check_fits(task, shape)
    return task
