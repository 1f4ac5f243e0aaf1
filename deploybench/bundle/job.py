"""What the parent tells the worker of a bundle, and what comes back."""

from __future__ import annotations

from deploybench.artifacts.parity import ParityReport
from deploybench.documents import Document
from deploybench.measure.job import Job
from deploybench.results.launch import Facts


class ExpectedJob(Job):
    """The cell whose answers are wanted: on the reference images and on the image ``sample``.

    They are written to ``out``, a NumPy archive: see :mod:`deploybench.bundle.expected`.
    """

    measure: bool = False
    sample: str
    out: str


class Answered(Document):
    """What the worker found. ``problem`` says why there are no answers, where there are none."""

    facts: Facts | None = None
    parity: ParityReport | None = None
    problem: str | None = None
