"""The search for the layers that stay in float, whatever quantises: attempts are made and judged.

Where nobody says anything, an artifact that agrees with fp32 eager stays as it is; of one that does
not, as few layers as it takes go back to float. It is then int8-mixed, and lists them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.calibration import AUTO, wanted_agreement
from deploybench.artifacts.output_parity import compare_batches
from deploybench.artifacts.references import Array, read_images
from deploybench.contracts import ExportSpec
from deploybench.data.synthetic import whole_batches
from deploybench.errors import DeployBenchError

from .bias_correction import Biases
from .quantisation import INT8, images_of
from .sensitivity import keep_fewest, ranked

if TYPE_CHECKING:
    import torch

Batch = npt.NDArray[np.float32]
Infer = Callable[[Batch], Mapping[str, Array]]
"""The outputs by name of a batch of images (images x channels x height x width)."""
Attempt = Callable[[Sequence[str]], Infer]
"""Quantises with these layers in float, and returns what runs it."""


@dataclass(frozen=True)
class Judge:
    """What an attempt is held to: the reference in the artifact's folder ``out``; and ``classes``
    (images,), fp32 eager's of the calibration images, where a share of them has to be the same."""

    spec: ExportSpec
    out: Path
    classes: npt.NDArray[np.intp] | None = None
    share: float | None = None

    @classmethod
    def of(cls, model: torch.nn.Module, spec: ExportSpec, out: Path) -> Judge:
        """By what ``model`` answers now, before anything of it is changed.

        Raises DeployBenchError where a share of agreement was asked of outputs that are no scores.
        """
        share = wanted_agreement(spec.keep_fp32)
        if share is None:
            return cls(spec, out)
        return cls(spec, out, _classes(_eager(model), spec), share)

    def agrees(self, infer: Infer) -> bool:
        """Whether what runs computes what fp32 eager computed, within int8's budget."""
        spec = self.spec
        batches = whole_batches(read_images(self.out), spec.batch or 1)
        found = [infer(batch) for batch in batches]
        names = list(spec.output_names)
        report = compare_batches(self.out, found, names, INT8, integers=spec.integer_outputs)
        if not report.passed:
            return False
        if self.classes is None or self.share is None:
            return True
        return float(np.mean(_classes(infer, spec) == self.classes)) >= self.share


def float_layers(
    biases: Biases, spec: ExportSpec, judge: Judge, attempt: Attempt
) -> tuple[str, ...]:
    """The layers that have to stay in float beside those that the spec names.

    Where the search is only what happens by default and half of the layers are not enough, there
    are none, and the artifact is for parity to refuse; ``attempt`` was called with others since.
    Where the search was asked for, it raises DeployBenchError then.
    """
    if spec.keep_fp32 and not _searches(spec):
        return ()
    tried: dict[tuple[str, ...], bool] = {}

    def agrees(layers: Sequence[str]) -> bool:
        key = tuple(layers)
        if key not in tried:
            tried[key] = judge.agrees(attempt(key))
        return tried[key]

    if agrees(()):
        return ()
    biases.restore()  # what moves the outputs is told from those of the model as it is
    order = ranked(biases.model, images_of(spec).pixels, spec.batch)
    try:
        return keep_fewest(order, agrees)
    except DeployBenchError:
        if _searches(spec):
            raise
        return ()


def _searches(spec: ExportSpec) -> bool:
    return any(pattern.partition(":")[0] == AUTO for pattern in spec.keep_fp32)


def _eager(model: torch.nn.Module) -> Infer:
    import torch

    def infer(batch: Batch) -> Mapping[str, Array]:
        with torch.no_grad():
            outputs = model(torch.from_numpy(batch))
        first = outputs[0] if isinstance(outputs, tuple) else outputs
        return {"": first.numpy()}

    return infer


def _classes(infer: Infer, spec: ExportSpec) -> npt.NDArray[np.intp]:
    """The best class of each calibration image, by the main output.

    Raises DeployBenchError where that is not one score a class.
    """
    found = []
    for batch in whole_batches(images_of(spec).pixels, spec.batch or 1):
        scores = next(iter(infer(batch).values()))
        if scores.ndim != 2 or scores.shape[1] < 2:
            raise DeployBenchError(
                f"--keep-fp32 {AUTO} with a share of images, of a model whose output has the "
                f"shape {tuple(scores.shape)}",
                expected="scores of classes: (images, classes)",
                action=f"--keep-fp32 {AUTO}: parity decides",
            )
        found.append(scores.argmax(axis=1))
    return np.concatenate(found)
