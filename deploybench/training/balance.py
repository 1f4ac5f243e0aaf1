"""Classes with few images get their share: by drawing them more often, or by weighing their errors.

``sampler``: the images of an epoch are drawn so that every class is drawn as often. ``loss``: every
image is seen once an epoch, and the loss of a class is weighted by the inverse of its count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from deploybench.data.dataset import ABSENT, PRESENT, DataSet
from deploybench.plurals import counted

Balance = Literal["none", "sampler", "loss"]
BALANCES: tuple[Balance, ...] = ("none", "sampler", "loss")
NAMED = 12


@dataclass(frozen=True)
class ClassWeights:
    """Weights for a loss, one a class, and what had to be decided about them in sentences.

    Single-label: ``weight`` of ``torch.nn.functional.cross_entropy``, 1 in the mean over the
    images. Multi-label: ``pos_weight`` of ``binary_cross_entropy_with_logits``, the images without
    the class by those with it. A class of which nothing is known weighs 1.
    """

    values: npt.NDArray[np.float32]
    notes: tuple[str, ...] = ()


def class_weights(data: DataSet) -> ClassWeights:
    """The weights of the classes in the loss, by the labels that are known."""
    targets = data.targets()
    present = (targets == PRESENT).sum(axis=0).astype(np.float64)
    absent = (targets == ABSENT).sum(axis=0).astype(np.float64)
    weights = np.ones(len(present))
    if data.task == "multi-label":
        usable = (present > 0) & (absent > 0)
        weights[usable] = absent[usable] / present[usable]
        words = "with both images that have it and images that do not"
    else:
        usable = present > 0
        # Each class has the same sum of weights, and the images have a mean weight of 1.
        share = present.sum() / max(int(usable.sum()), 1)
        weights[usable] = share / present[usable]
        words = "with an image"
    notes: tuple[str, ...] = ()
    if not usable.all():
        notes = (_absent_words(data, usable, words),)
    return ClassWeights(weights.astype(np.float32), notes)


def _absent_words(data: DataSet, usable: npt.NDArray[np.bool_], words: str) -> str:
    names = [name for name, there in zip(data.class_names, usable, strict=True) if not there]
    shown = ", ".join(names[:NAMED])
    if len(names) > NAMED:
        shown += ", …"
    count = counted(len(names), "class is", "classes are")
    return f"{count} not {words}, and weigh 1 in the loss: {shown}"


def image_weights(data: DataSet) -> npt.NDArray[np.float64]:
    """How likely each image is to be drawn, by its class's count: they make 1.

    An image of several classes counts as one of its rarest (Gupta, Dollár, Girshick 2019, LVIS,
    equation 1); those that have no class count as a class of their own.
    """
    labels = [example.labels or (len(data.class_names),) for example in data.examples]
    counts = np.zeros(len(data.class_names) + 1, dtype=np.int64)
    for classes in labels:
        counts[list(classes)] += 1
    rarest = np.array([counts[list(classes)].min() for classes in labels], dtype=np.float64)
    weights = 1 / rarest
    normalised: npt.NDArray[np.float64] = weights / weights.sum()
    return normalised


def epoch_order(
    data: DataSet, balance: Balance, generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """The indices of an epoch's images in their order, as many as the set has.

    Each image once; by ``sampler`` drawn with replacement, so that some come twice and some wait.
    """
    if balance != "sampler":
        return generator.permutation(len(data)).astype(np.int64)
    chosen = generator.choice(len(data), size=len(data), replace=True, p=image_weights(data))
    return chosen.astype(np.int64)
