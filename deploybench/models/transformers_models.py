"""Image classifiers of transformers from a folder, with the preprocessing that the folder names."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from deploybench.errors import DeployBenchError
from deploybench.models.source import BuildOptions, BuiltModel
from deploybench.models.tasks import PROBLEM_TYPES
from deploybench.models.transformers_images import preprocessing_of_folder

REMEDY = 'pip install "deploybench[transformers]"'
CLASSIFIER = "ForImageClassification"
WITH_TEACHER = "ForImageClassificationWithTeacher"


class Logits(torch.nn.Module):
    """The classifier with its logits alone: images in, (images, classes) out."""

    def __init__(self, classifier: Any) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.classifier(pixel_values=images, return_dict=True).logits
        return logits

    def checkpoint_filter_fn(
        self, state: dict[str, torch.Tensor], _: torch.nn.Module
    ) -> dict[str, torch.Tensor]:
        """The state as transformers reads it: names of earlier versions are changed to today's."""
        kind = type(self.classifier)
        loaded, report = kind.from_pretrained(
            None, config=self.classifier.config, state_dict=state, output_loading_info=True
        )
        lost = {str(name) for name in report["missing_keys"]}
        lost |= {str(entry[0]) for entry in report["mismatched_keys"]}
        read = {
            f"classifier.{name}": tensor
            for name, tensor in loaded.state_dict().items()
            if name not in lost
        }
        for name in report["unexpected_keys"]:
            read[f"classifier.{name}"] = state[name]
        return read


def build_transformers(folder: Path, config: dict[str, Any], options: BuildOptions) -> BuiltModel:
    """The classifier that the folder's configuration describes, with random weights.

    Raises DeployBenchError where transformers is missing, for what is no image classifier, for
    code in the folder, and for options that the architecture does not take.
    """
    kind = str((config.get("architectures") or ["?"])[0])
    if not kind.endswith((CLASSIFIER, WITH_TEACHER)):
        raise DeployBenchError(
            f"{folder} holds a {kind}",
            expected=f"an image classifier of transformers (…{CLASSIFIER})",
            action="build it in Python, and pass package.module:factory with --checkpoint "
            f"{folder}",
        )
    if "auto_map" in config:
        raise DeployBenchError(
            f"{folder} brings its own code ({', '.join(sorted(config['auto_map']))})",
            expected="an architecture of transformers itself: no code of a folder is run",
            action="read the code, and pass it as package.module:factory with --checkpoint "
            f"{folder}",
        )
    changed = {
        "--num-classes": options.num_classes,
        "--in-channels": options.in_channels,
        "--patch-size": options.patch_size,
    }
    given = [flag for flag, value in changed.items() if value is not None]
    if given:
        raise DeployBenchError(
            f"{', '.join(given)} with a folder of transformers", action="leave it out"
        )
    try:
        transformers = importlib.import_module("transformers")
    except ImportError as error:
        raise DeployBenchError(
            f"{folder} is a model of transformers, which does not import: {error}", action=REMEDY
        ) from None
    settings = transformers.AutoConfig.from_pretrained(
        str(folder), local_files_only=True, trust_remote_code=False
    )
    preprocessing = preprocessing_of_folder(folder, settings, options.image_size)
    classifier_type = getattr(transformers, kind, None)
    if classifier_type is None:
        raise DeployBenchError(
            f"transformers {transformers.__version__} has no {kind}",
            action="install the version that wrote the folder: "
            f"{config.get('transformers_version', 'unknown')}",
        )
    classifier = classifier_type(settings)
    return BuiltModel(
        module=Logits(classifier),
        preprocessing=preprocessing,
        num_classes=int(settings.num_labels),
        head=None,
        labels=_labels(config, int(settings.num_labels)),
        task=PROBLEM_TYPES.get(str(getattr(settings, "problem_type", None))),
    )


def _labels(config: dict[str, Any], classes: int) -> tuple[str, ...] | None:
    """The class names in output order; None where the folder has only LABEL_0, LABEL_1, …"""
    names = config.get("id2label") or {}
    labels = [names.get(str(index)) for index in range(classes)]
    if None in labels or all(name == f"LABEL_{index}" for index, name in enumerate(labels)):
        return None
    return tuple(str(name) for name in labels)
