"""Refuses images that cannot be trained with, before they are needed where that can be."""

from __future__ import annotations

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.dataset import DataSet
from deploybench.data.survey import USUAL_SAMPLE, spread
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted, counted_of

NAMED = 5


def check_labels(data: DataSet) -> None:
    """Raise DeployBenchError for a set that has no images, or images without a label."""
    if not len(data):
        raise DeployBenchError(f"{data.root} has no images to train with")
    without = [example for example in data if example.labels is None]
    if without:
        raise DeployBenchError(
            f"{counted_of(len(without), len(data), 'image')} found without a label, the first is "
            f"{data.place(without[0])}",
            expected="a label for each image that is trained or evaluated with",
            action="leave them out, or label them",
        )


def check_images(data: DataSet, spec: Preprocessing, sample: int | None = USUAL_SAMPLE) -> None:
    """Read ``sample`` images that are spread evenly (None: all) before they are needed.

    Raises DeployBenchError that names those that do not read.
    """
    failed: list[DeployBenchError] = []
    looked_at = spread(data.examples, sample)
    for example in looked_at:
        try:
            data.input(example, spec)
        except DeployBenchError as error:
            failed.append(error)
    if not failed:
        return
    if len(failed) == 1:
        raise untrainable(failed[0])
    listed = "; ".join(error.found for error in failed[:NAMED])
    more = len(failed) - NAMED
    if more > 0:
        listed += f"; and {more} more"
    raise DeployBenchError(
        f"{len(failed)} of {counted(len(looked_at), 'image')} looked at do not read: {listed}",
        expected=failed[0].expected,
        action=_action_after(failed[0]),
    )


def untrainable(error: DeployBenchError) -> DeployBenchError:
    """The error of an image, with what to do about it: none is left out in silence."""
    return DeployBenchError(error.found, expected=error.expected, action=_action_after(error))


def _action_after(error: DeployBenchError) -> str:
    advice = "mend the image or take it out of the data (`deploybench data show` lists all)"
    if error.action:
        return f"{error.action}; or {advice}"
    return advice
