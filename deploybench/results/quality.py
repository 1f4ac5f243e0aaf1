"""What an evaluation found: how good the answers of one artifact are on one set of images.

It stands in the record of a cell. Which images were right is kept by image, so that two records of
the same data can be compared image by image when nothing but the records is left.
"""

from __future__ import annotations

import base64
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from deploybench.documents import Document
from deploybench.statistics.figures import Figure

Booleans = npt.NDArray[np.bool_]
Labels = Literal["single-label", "multi-label", "none"]
AccuracyKind = Literal["balanced", "top-1", "auc", "all labels"]
"""The figure that accuracy is said in, and models are ordered by."""
ACCURACY_KINDS: tuple[AccuracyKind, ...] = ("balanced", "top-1", "auc", "all labels")

MOST_LISTED = 100
"""Of failed images, and of images that flipped: all are counted, and so many are named."""
ITSELF = "it is fp32 eager itself"
"""Why the cell that the others are compared with is not compared."""


REFERENCE_ITSELF = "it is the reference itself: it was adopted, there is no fp32 eager of it"
"""The same of an adopted file, whose answers stand in fp32 eager's place."""


class Marks(Document):
    """A truth value for each image of the data, in the data's order."""

    images: int
    bits: str = Field(description="eight images a byte, the first in the highest bit; base64")

    @classmethod
    def of(cls, values: Booleans) -> Marks:
        packed = np.packbits(values).tobytes()
        return cls(images=len(values), bits=base64.b64encode(packed).decode())

    @property
    def values(self) -> Booleans:
        packed = np.frombuffer(base64.b64decode(self.bits), dtype=np.uint8)
        return np.unpackbits(packed, count=self.images).astype(np.bool_)


class DataSeen(Document):
    """The images that were evaluated on.

    ``sha256`` identifies their content, their labels and their order: two evaluations with the same
    one saw the same images. ``images`` are all of the set, ``evaluated`` those that read.
    """

    name: str
    path: str
    form: str
    sha256: str
    split: str | None
    labels: Labels
    images: int
    evaluated: int
    class_counts: tuple[int, ...] = ()
    synthetic: str | None = None
    notes: tuple[str, ...] = ()


class FailedImage(Document):
    image: str
    reason: str


class ClassQuality(Document):
    """One class: see :class:`deploybench.statistics.quality.ClassFigures`.

    ``index`` is its place in the model's outputs.
    """

    index: int
    name: str
    images: int
    predicted: int
    sensitivity: Figure | None
    specificity: Figure | None
    area: Figure | None


class Figures(Document):
    """The figures of all images with their intervals; None where one is not defined, or not of this
    kind of labels.

    Of one label an image: ``top1`` to ``calibration_error``. Of several: ``exact_match``,
    ``label_accuracy``, ``sensitivity`` and ``f1``. ``area`` (under the ROC curve, one against the
    rest) and ``specificity`` are means over classes; ``sensitivity`` is too, which with one label
    an image is the balanced accuracy. See ``statistics/quality.py`` and ``multi_label.py``.
    """

    top1: Figure | None = None
    top5: Figure | None = None
    balanced_accuracy: Figure | None = None
    sensitivity: Figure | None = None
    specificity: Figure | None = None
    area: Figure | None = None
    kappa: Figure | None = None
    correlation: Figure | None = None
    calibration_error: Figure | None = None
    exact_match: Figure | None = None
    label_accuracy: Figure | None = None
    f1: Figure | None = None

    @property
    def accuracy(self) -> Figure | None:
        """The share of images that are right: top-1, or all labels of the image."""
        return self.top1 or self.exact_match


class Flip(Document):
    """An image whose most probable class is another than fp32 eager's."""

    image: str
    baseline: str
    candidate: str
    baseline_probability: float | None
    candidate_probability: float | None


class Agreement(Document):
    """How far the answers are from fp32 eager's on the same images; no label is needed.

    ``top1`` is the share of images with the same most probable class (of several labels an image:
    with the same labels given), ``top5`` that with the same five, in any order. The shift of an
    image is the largest change of the probability of any class: ``largest_shift`` over all images,
    ``mean_shift`` over them. None where the model puts out no probabilities.
    """

    images: int
    top1: Figure
    top5: float | None
    largest_shift: float | None
    mean_shift: float | None
    flipped: int
    flips: tuple[Flip, ...] = ()


class Difference(Document):
    """Accuracy less that of fp32 eager, paired by image: see ``statistics/proportions.py``."""

    value: float
    low: float
    high: float
    images: int
    only_baseline: int
    only_candidate: int
    p_value: float


class AgainstEager(Document):
    """What is known beside fp32 eager: the runner and the artifact that stand for it."""

    runner: str
    device: str
    artifact_key: str | None
    agreement: Agreement
    difference: Difference | None
    stands_for: str = Field(
        "", description="whose answers they are where an adopted file has no fp32 eager"
    )


class Quality(Document):
    """The quality of one artifact on one runner, on one set of images.

    ``classes_from`` says how the data's classes were taken for the model's. ``right`` marks the
    images that are right among those that are ``seen``; None without labels.
    """

    schema_version: Literal[1] = 1
    data: DataSeen
    artifact_sha256: str = Field("", description="of the artifact's files: Manifest.content_sha256")
    task: str
    classes_from: str = ""
    preprocessing: str = Field("", description="what was said beyond the manifest about images")
    failed_count: int = 0
    failed: tuple[FailedImage, ...] = ()
    figures: Figures | None = None
    classes: tuple[ClassQuality, ...] = ()
    without_area: tuple[str, ...] = Field(
        (), description="classes that the mean area leaves out, for want of images"
    )
    confusion: tuple[tuple[int, int, int], ...] = Field(
        (), description="true class, predicted class, images; of the pairs that occur"
    )
    seen: Marks
    right: Marks | None = None
    eager: AgainstEager | None = None
    no_eager: str = Field("", description="why there is nothing of fp32 eager to compare with")
    resamples: int = 0
    seed: int = 0

    @property
    def accuracy(self) -> Figure | None:
        if self.figures is None:
            return None
        return self.figures.accuracy

    @property
    def class_names(self) -> dict[int, str]:
        """The names of the classes that occur, by their place in the model's outputs."""
        return {one.index: one.name for one in self.classes}
