"""A folder that a training of ours wrote: weights, and beside them what they are weights of.

``config.json`` is timm's (``timm.create_model("local-dir:FOLDER")`` reads it, and so does
``hub:FOLDER``) where the architecture is one of timm's, with a part of our own: the model by the
name that it was trained under, how it was built, its images, its classes. That part counts wherever
the weights are loaded from that folder, so that nothing has to be said again at an export. What the
user does say at an export goes before it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.documents import Document, first_error
from deploybench.errors import DeployBenchError
from deploybench.models.source import BuildOptions, BuiltModel
from deploybench.untrusted import read_json

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
PART = "deploybench"
"""The key of our own part in config.json."""
HUB_PREFIX = "hub:"
"""A name that means the folder itself."""


class TrainedModel(Document):
    """What the weights in a folder are weights of: all that an export has to know.

    ``preprocessing`` is what the images went through before the model saw them at evaluation.
    ``labels`` are in the order of the outputs. ``epoch`` is that of the weights, of ``epochs``;
    ``finished`` says whether the training had ended when they were written.
    """

    schema_version: Literal[1] = 1
    model: str
    num_classes: int
    in_channels: int
    image_size: tuple[int, int]
    patch_size: int | None = None
    batchnorm_epsilon: float | None = None
    preprocessing: Preprocessing
    labels: tuple[str, ...]
    task: Literal["multi_class:logits", "multi_label:logits"]
    epoch: int
    epochs: int
    finished: bool

    def options(self, asked: BuildOptions) -> BuildOptions:
        """How the model is built: what was asked for, and for the rest as it was trained."""
        return replace(
            asked,
            num_classes=asked.num_classes or self.num_classes,
            in_channels=asked.in_channels or self.in_channels,
            image_size=asked.image_size or self.image_size,
            patch_size=asked.patch_size or self.patch_size,
            batchnorm_epsilon=asked.batchnorm_epsilon or self.batchnorm_epsilon,
        )

    def described(self, built: BuiltModel, options: BuildOptions) -> BuiltModel:
        """The model with its images, classes and task as they were in the training.

        Nothing of the images is assumed then. An image size that was asked for stays.
        """
        if options.num_classes != self.num_classes or options.in_channels != self.in_channels:
            return built
        height, width = options.image_size or self.image_size
        spec = self.preprocessing.replaced(height=height, width=width, assumed=())
        return replace(
            built,
            preprocessing=spec,
            labels=self.labels,
            task=self.task,
            usual_preprocessing=False,
            known_files={},
        )

    @property
    def remarks(self) -> tuple[str, ...]:
        """What is said of the weights where they are loaded."""
        if self.finished:
            return ()
        return (
            f"of a training that had not ended: the best of {self.epoch} of {self.epochs} epochs",
        )

    def check_model(self, name: str, checkpoint: Path) -> None:
        """Refuse another model than the one that was trained: its tensors may fit all the same."""
        if name == self.model or name.startswith(HUB_PREFIX):
            return
        raise DeployBenchError(
            f"{checkpoint} was trained as {self.model}, and {name} is asked for",
            expected=f"the model that its {CONFIG} names",
            action=f"--model {self.model}; or copy {WEIGHTS} elsewhere, to take its tensors alone",
        )


def trained_model(checkpoint: Path) -> TrainedModel | None:
    """What the folder of a checkpoint says of it; None where no training of ours wrote it.

    ``checkpoint`` is the folder, or the file of weights in it. Raises DeployBenchError where our
    part of its config.json does not read.
    """
    part = _part(checkpoint)
    if part is None:
        return None
    try:
        return TrainedModel.model_validate_json(json.dumps(part))
    except ValidationError as error:
        raise DeployBenchError(
            f"{_config_path(checkpoint)} does not read as what a training wrote: "
            f"{first_error(error)}",
            expected=f"a '{PART}' part of this version",
            action=f"train again, or copy {WEIGHTS} elsewhere, to take its tensors alone",
        ) from None


def sha256_of_description(checkpoint: Path) -> str | None:
    """The hash of what the folder says of its weights; None where it says nothing.

    What an export takes from there is part of what is exported.
    """
    part = _part(checkpoint)
    if part is None:
        return None
    return hashlib.sha256(json.dumps(part, sort_keys=True).encode()).hexdigest()


def config_text(
    trained: TrainedModel, architecture: str | None, arguments: Mapping[str, Any]
) -> str:
    """The text of config.json. ``architecture`` with its ``arguments`` is timm's name of the model,
    None where timm cannot build it."""
    spec = trained.preprocessing
    content: dict[str, Any] = {}
    if architecture is not None:
        content["architecture"] = architecture
        content["model_args"] = dict(arguments)
    content |= {
        "num_classes": trained.num_classes,
        "label_names": list(trained.labels),
        "pretrained_cfg": {
            "num_classes": trained.num_classes,
            "input_size": [spec.channels, spec.height, spec.width],
            "mean": list(spec.mean),
            "std": list(spec.std),
            "crop_pct": spec.crop_fraction,
            "crop_mode": spec.crop_mode,
            "interpolation": spec.interpolation,
            "label_names": list(trained.labels),
        },
        PART: trained.model_dump(mode="json"),
    }
    return json.dumps(content, indent=1)


def _config_path(checkpoint: Path) -> Path:
    if checkpoint.is_dir():
        return checkpoint / CONFIG
    return checkpoint.parent / CONFIG


def _part(checkpoint: Path) -> object | None:
    """Our part of the config.json that belongs to a checkpoint."""
    if not checkpoint.is_dir() and checkpoint.name != WEIGHTS:
        return None  # another file that happens to lie there
    path = _config_path(checkpoint)
    if not (path.parent / WEIGHTS).is_file():
        return None
    try:
        content = read_json(path)
    except (OSError, ValueError):  # whatever it is, it is none of ours
        return None
    if not isinstance(content, Mapping):
        return None
    part: object | None = content.get(PART)
    return part
