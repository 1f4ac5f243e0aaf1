"""How good a model is after an epoch, by the same figures as an evaluation of an artifact."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from deploybench.data.dataset import DataSet
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.statistics.figures import Figure
from deploybench.statistics.multi_label import multi_label
from deploybench.statistics.quality import classification
from deploybench.training.losses import evaluation_loss

NO_RESAMPLES = 1
"""Of the bootstrap: an epoch's figures are values without intervals. (Of one resample there is no
spread.)"""


@dataclass(frozen=True)
class Scores:
    """Figures of one evaluation, shares from 0 to 1; None where one is not defined.

    ``loss`` is the mean over the images, unsmoothed and unweighted. ``area`` is the macro mean of
    the areas under the ROC curves.
    """

    loss: float
    top1: float | None
    top5: float | None
    balanced_accuracy: float | None
    area: float | None
    exact_match: float | None

    @property
    def criterion(self) -> float:
        """What the best epoch has most of: balanced accuracy, or the macro area of a multi-label
        set."""
        if self.balanced_accuracy is not None:
            return self.balanced_accuracy
        return self.area or 0.0


def scores_of(logits: torch.Tensor, data: DataSet) -> Scores:
    """The figures of logits (images x classes, float32, in the order of ``data``).

    Raises DeployBenchError for logits that are not finite.
    """
    finite = torch.isfinite(logits).all(dim=1)
    if not bool(finite.all()):
        count = int((~finite).sum())
        raise DeployBenchError(
            f"the model answers {count} of {counted(len(logits), 'image')} with numbers that are "
            "not finite",
            expected="finite logits",
            action="a lower --learning-rate, a longer --warmup-epochs, --clip-gradient 1, or "
            "--precision fp32",
        )
    with warnings.catch_warnings():
        # Of a model that answers all images alike, SciPy says that their spread is not known well.
        warnings.simplefilter("ignore", RuntimeWarning)
        if data.task == "multi-label":
            return _of_several(logits, data.targets())
        return _of_one(logits, data)


def _of_one(logits: torch.Tensor, data: DataSet) -> Scores:
    labels = np.array([(example.labels or (-1,))[0] for example in data], dtype=np.int64)
    loss = float(evaluation_loss(logits, torch.from_numpy(labels), None))
    probabilities = torch.softmax(logits.double(), dim=1).numpy()
    found = classification(probabilities, labels, resamples=NO_RESAMPLES)
    return Scores(
        loss=loss,
        top1=found.top1.value,
        top5=_value(found.top5),
        balanced_accuracy=found.balanced_accuracy.value,
        area=_value(found.area),
        exact_match=None,
    )


def _of_several(logits: torch.Tensor, table: npt.NDArray[np.int8]) -> Scores:
    known = torch.from_numpy(table >= 0)
    targets = torch.from_numpy((table == 1).astype(np.float32))
    loss = float(evaluation_loss(logits, targets, known))
    probabilities = torch.sigmoid(logits.double()).numpy()
    found = multi_label(probabilities, table, resamples=NO_RESAMPLES)
    return Scores(
        loss=loss,
        top1=None,
        top5=None,
        balanced_accuracy=None,
        area=_value(found.area),
        exact_match=found.exact_match.value,
    )


def _value(figure: Figure | None) -> float | None:
    if figure is None:
        return None
    return figure.value
