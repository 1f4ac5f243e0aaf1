"""The task of a model: given, found where the model shows it, else assumed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.artifacts.task import Task
from deploybench.artifacts.weights import Weights
from deploybench.errors import DeployBenchError
from deploybench.models.outputs import at_path, find_outputs
from deploybench.models.source import BuildOptions, BuiltModel, find_source
from deploybench.models.tasks import task_assumed, task_of

CHECKPOINT = Weights(kind="checkpoint", source="a.pt", sha256="0" * 64)
SPEC = Preprocessing(
    channels=3,
    height=8,
    width=8,
    crop_fraction=1,
    interpolation="bicubic",
    mean=(0, 0, 0),
    std=(1, 1, 1),
)


class Net(nn.Module):
    """Scores of 5 classes, of each pixel or of the image, and what ``last`` makes of them."""

    def __init__(self, last: Callable[[torch.Tensor], torch.Tensor], dense: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head = nn.Conv2d(3, 5, 1)
        self.last, self.dense = last, dense

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.head(x)
        if not self.dense:
            scores = scores.mean((2, 3))
        return self.last(scores)


def task(module: nn.Module, asked: str | None = None, **known: str) -> Task:
    built = BuiltModel(module=module, preprocessing=SPEC, num_classes=5, **known)  # type: ignore[arg-type]
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        returned = module(images)
    main = find_outputs(returned, 4).main
    return task_of(asked, built, CHECKPOINT, at_path(returned, main.path).float(), main)


SOFTMAXED = "predict and --end-to-end took the softmax"


@pytest.mark.parametrize(
    ("last", "kind", "scores", "known"),
    [
        (lambda x: x, "multi_class", "logits", "assumed"),
        pytest.param(
            lambda x: x.softmax(1),
            "multi_class",
            "probabilities",
            "found",
            marks=pytest.mark.trust(
                item=14,
                case="softmax inside the model",
                before=f"{SOFTMAXED} once more: 9 % to 12 % for each of 10 classes",
                now="found; printed as it is",
            ),
        ),
        pytest.param(
            torch.sigmoid,
            "multi_label",
            "probabilities",
            "found",
            marks=pytest.mark.trust(
                item=14,
                case="independent sigmoids inside the model",
                before=f"{SOFTMAXED} over them",
                now="found: multi_label, printed as they are",
            ),
        ),
        (lambda x: x.log_softmax(1), "multi_class", "logits", "found"),
        pytest.param(
            lambda x: x[:, :1],
            "unknown",
            "values",
            "assumed",
            marks=pytest.mark.trust(
                item=14,
                case="one output (a logit, or a quantity)",
                before="100 % of class 0 for every image",
                now="the number as it is, and --task binary or regression is asked for",
            ),
        ),
        (lambda x: torch.sigmoid(x[:, :1]), "binary", "probabilities", "assumed"),
        (lambda x: x.argmax(1), "multi_class", "classes", "found"),
    ],
)
def test_task_is_found_where_the_model_shows_it(
    last: Callable[[torch.Tensor], torch.Tensor], kind: str, scores: str, known: str
) -> None:
    found = task(Net(last))
    assert (found.kind, found.scores, found.known) == (kind, scores, known)
    assert bool(task_assumed(found, CHECKPOINT)) == (known == "assumed")


def test_dense_and_embedding_are_found_by_shape_and_by_length() -> None:
    assert task(Net(lambda x: x, dense=True)).words == "dense over logits (assumed)"
    assert task(Net(lambda x: x.softmax(1), dense=True)).scores == "probabilities"
    vectors = Net(lambda x: nn.functional.normalize(x.repeat(1, 8), dim=1))
    assert task(vectors).kind == "embedding"


def test_task_that_is_given_wins_and_has_to_go_with_the_output() -> None:
    assert task(Net(lambda x: x), "multi-label").scores == "logits"
    assert task(Net(torch.sigmoid), "multi_label").scores == "probabilities"
    assert task(Net(lambda x: x), "regression").scores == "values"
    for asked, words in (("binary", "N x 5"), ("sorting", "unknown task"), ("dense:x", "dense:x")):
        with pytest.raises(DeployBenchError, match=words):
            task(Net(lambda x: x), asked)


@pytest.mark.trust(
    item=14,
    case="the zoo's CheXpert model (five findings)",
    before=f"{SOFTMAXED} over five findings that do not exclude each other (67 % and 31 %)",
    now="multi_label, declared by the zoo",
)
def test_chexpert_models_of_the_zoo_are_multi_label_with_their_own_classes() -> None:
    source, name = find_source("densenet121")
    assert source.build(name, BuildOptions(image_size=(32, 32))).task == "multi_label"
    other = source.build(name, BuildOptions(num_classes=10, image_size=(32, 32)))
    assert other.task is None
