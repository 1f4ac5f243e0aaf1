"""``bundle.json``: what a bundle holds, and what its own programs have to know."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploybench.artifacts.artifact import FileEntry
from deploybench.artifacts.task import Scores, TaskKind
from deploybench.documents import Document

BUNDLE = "bundle.json"


class BundledOutput(Document):
    """An output, and how far it may be from the stored one.

    ``tolerance`` is in the output's own units; of whole numbers it is the share that may differ.
    """

    name: str
    tolerance: float
    whole_numbers: bool = False


class BundledTask(Document):
    """What the main output means: see :class:`deploybench.artifacts.task.Task`."""

    kind: TaskKind
    scores: Scores


class Bundle(Document):
    """The content of a bundle.

    ``outputs`` has the main one first. ``options`` are those of the cell beyond what every runner
    obeys; ``requirements`` what its ``requirements.txt`` pins.
    """

    schema_version: Literal[1] = 1
    created: str
    deploybench: str
    model: str
    weights: str
    weights_sha256: str
    artifact_key: str
    artifact_sha256: str
    backend: str
    runner: str
    precision: str
    threads: int
    batch: int
    options: dict[str, bool | int | str]
    entry: str
    input: str
    outputs: tuple[BundledOutput, ...]
    task: BundledTask
    python: str
    requirements: tuple[str, ...]
    files: tuple[FileEntry, ...] = Field(description="all but this one")
