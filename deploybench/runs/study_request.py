"""What a study is asked for: the models, the images, and what all of them have in common."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploybench.data.options import ColumnUse, Uncertain
from deploybench.errors import DeployBenchError
from deploybench.evaluate.job import DataRequest
from deploybench.files import slug
from deploybench.hardware.pinning import AUTO as PIN_AUTO
from deploybench.hardware.pinning import Pin
from deploybench.hardware.precisions import check_precision
from deploybench.models.weights_folder import sha256_of_weights
from deploybench.training.recipe import Recipe
from deploybench.training.request import TrainingDevice

KEY_LETTERS = 12


@dataclass(frozen=True)
class StudyModel:
    """One model of a study. Only ``name`` has to be said: what is None is the study's, or the
    model's own."""

    name: str
    """As ``deploybench models`` lists them, ``timm:NAME``, or ``package.module:factory``."""
    recipe: Recipe | None = None
    """Another recipe than the study's; the table says so."""
    init_from: Path | None = None
    """A checkpoint to begin with, whose head is replaced."""
    image_size: tuple[int, int] | None = None
    """(height, width) in pixels."""
    patch_size: int | None = None
    """Of a transformer, in pixels."""


@dataclass(frozen=True)
class StudyRequest:
    """Which models are trained on which images, exported where, and measured how long.

    The defaults are those of ``deploybench study``. Raises DeployBenchError for a study that cannot
    be.
    """

    models: Sequence[StudyModel]
    data: Path
    """A folder or a file of images: see :func:`deploybench.data.opening.open_data`."""
    recipe: Recipe
    """Of every model that has none of its own."""
    train_split: str | None = None
    eval_split: str | None = None
    """The split that judges the epochs. None, as of ``train_split``: the training's own choice."""
    test_split: str | None = None
    """The split on which the artifacts are evaluated; None: ``test``, else ``val``. Data without
    splits is split once, and the workspace keeps the table."""
    class_names: Sequence[str] | None = None
    uncertain: Uncertain | None = None
    columns: Mapping[ColumnUse, str] = field(default_factory=dict)
    backends: Sequence[str] = ()
    """Exporters by name; empty: all whose artifacts something runs here."""
    runners: Sequence[str] = ()
    """By name; empty: all that work on the devices."""
    devices: Sequence[str] = ()
    """That are measured: ``cpu``, ``cuda``, ``cuda:1``; empty: the CPU."""
    precisions: Sequence[str] = ()
    """Of the cells; empty: fp32."""
    in_channels: int | None = None
    """Of every model's input; None: the model's own."""
    train_device: TrainingDevice = "auto"
    train_devices: int = 1
    workers: int | None = None
    """The three as in :class:`~deploybench.training.request.TrainingRequest`."""
    seed: int = 0
    """Of the trainings."""
    threads: int | None = None
    """Of every runner; None: the usable cores, or those of ``pin``."""
    pin: Pin = PIN_AUTO
    precision_target: float = 0.01
    budget_s: float = 60.0
    """As in :class:`~deploybench.runs.request.RunRequest`."""
    measure_again: bool = False
    """Whether cells are measured although a run of the workspace holds all of them."""
    workspace: Path | None = None
    """The folder of everything; None: $DEPLOYBENCH_WORKSPACE, else ./deploybench-workspace."""

    def __post_init__(self) -> None:
        if not self.models:
            raise DeployBenchError(
                "no model to study", expected="one name at least", action="deploybench models"
            )
        names = [model.name for model in self.models]
        for name in names:
            if names.count(name) > 1:
                raise DeployBenchError(f"{name} is in the study twice", expected="each model once")
        for precision in self.precisions:
            check_precision(precision)

    def recipe_of(self, model: StudyModel) -> Recipe:
        """Its own recipe, else the study's."""
        return self.recipe if model.recipe is None else model.recipe

    @property
    def data_request(self) -> DataRequest:
        """The images as they are opened, all splits."""
        names = None if self.class_names is None else tuple(self.class_names)
        return DataRequest(
            path=str(self.data.absolute()),
            class_names=names,
            uncertain=self.uncertain,
            columns=dict(self.columns),
        )


def training_folder(trained: Path, model: StudyModel, request: StudyRequest, data: str) -> Path:
    """Where the training of a model lies below ``trained``: its name, and a key of all that decides
    the weights. ``data`` is the sha256 of the images.

    So a study that is asked for again finds what it has trained, and one that is asked for
    otherwise trains anew. Raises DeployBenchError for a checkpoint that is not there.
    """
    init = None
    if model.init_from is not None:
        init = sha256_of_weights(model.init_from)
    identity = {
        "name": model.name,
        "recipe": request.recipe_of(model).model_dump(mode="json", exclude={"source", "changed"}),
        "init_from": init,
        "image_size": model.image_size,
        "patch_size": model.patch_size,
        "in_channels": request.in_channels,
        "data": data,
        "splits": (request.train_split, request.eval_split),
        "seed": request.seed,
        "devices": request.train_devices,
    }
    text = json.dumps(identity, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:KEY_LETTERS]
    return trained / f"{slug(model.name)}-{key}"
