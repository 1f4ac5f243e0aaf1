"""What a study did for one model before its cells were measured: how it was trained, what of it
failed, and which artifacts are its own."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from deploybench.documents import Document

Stage = Literal["training", "export", "evaluation", "measuring"]


class Trained(Document):
    """How the weights came about.

    ``recipe`` is its name, with what was asked to be otherwise; ``epochs`` are those that were run,
    ``best_epoch`` the one whose weights were kept, both counted from 1.
    """

    folder: str
    checkpoint: str
    recipe: str
    epochs: int
    best_epoch: int | None = None
    seconds: float = Field(description="in all, over however many sittings")
    stopped_early: bool = False
    init_from: str | None = None


class Failure(Document):
    """What was not done of a model, and why.

    ``backend`` is set where one export failed; ``interrupted`` where nothing did, but the user
    ended the study.
    """

    stage: Stage
    reason: str
    advice: str = ""
    backend: str | None = None
    interrupted: bool = False


class StudiedModel(Document):
    """One model of a study; ``title`` is unique in it.

    The records of its cells are those of ``artifact_keys``. ``image_size`` (height, width) and
    ``patch_size`` are in pixels, None where the model's own were taken.
    """

    title: str
    name: str
    image_size: tuple[int, int] | None = None
    patch_size: int | None = None
    trained: Trained | None = None
    artifact_keys: tuple[str, ...] = ()
    failures: tuple[Failure, ...] = ()
