"""Image classifiers of transformers from a folder, with the preprocessing that the folder names."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import torch

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.errors import DeployBenchError
from deploybench.models.source import BuildOptions, BuiltModel
from deploybench.models.weights_folder import weights_file

PREPROCESSOR = "preprocessor_config.json"
REMEDY = 'pip install "deploybench[transformers]"'
CLASSIFIER = "ForImageClassification"
PIL_FILTERS = {0: "nearest", 2: "bilinear", 3: "bicubic"}
"""Pillow's numbers of the filters that a preprocessing knows."""
ONE_OVER_255 = 1 / 255
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
    )


def preprocessing_of_folder(
    folder: Path, settings: Any, image_size: tuple[int, int] | None
) -> Preprocessing:
    """What the folder's image processor does, as far as that can be said here.

    Raises DeployBenchError for a processor that does something else.
    """
    from deploybench.models.hub_source import read_json

    path = folder / PREPROCESSOR
    channels = int(getattr(settings, "num_channels", 3))
    if not path.is_file():
        raise DeployBenchError(
            f"{folder} has no {PREPROCESSOR}: nothing says what the model's images are",
            expected=f"{PREPROCESSOR} beside config.json",
            action="copy it from the model hub, or write it with "
            "image_processor.save_pretrained(FOLDER)",
        )
    processor = read_json(path)
    height, width, crop_fraction, squashed = _sizes(processor, path)
    if image_size is not None:
        height, width = image_size
    if not processor.get("do_resize", True):
        squashed = False
    rescaled = processor.get("do_rescale", True)
    factor = float(processor.get("rescale_factor", ONE_OVER_255))
    odd = processor.get("rescale_offset") or processor.get("include_top")
    if not rescaled or abs(factor - ONE_OVER_255) > 1e-9 or odd:
        raise _no_words(path, "pixels scaled otherwise than to [0, 1]")
    number = processor.get("resample", 2)
    interpolation = PIL_FILTERS.get(number)
    if interpolation is None:
        raise _no_words(path, f"the resampling filter {number} of Pillow's")
    mean, std = (0.0,) * channels, (1.0,) * channels
    if processor.get("do_normalize", True):
        mean, std = tuple(processor["image_mean"]), tuple(processor["image_std"])
    if len(mean) != channels or len(std) != channels:
        raise _no_words(path, f"means of {len(mean)} channels for a model of {channels}")
    fields: dict[str, Any] = {
        "channels": channels,
        "height": height,
        "width": width,
        "crop_fraction": crop_fraction,
        "interpolation": interpolation,
        "mean": mean,
        "std": std,
    }
    if squashed:
        if "crop_mode" not in Preprocessing.model_fields:
            raise _no_words(path, "both sides resized whatever their ratio")
        fields["crop_mode"] = "squash"
    return Preprocessing.model_validate(fields)


def _sizes(processor: dict[str, Any], path: Path) -> tuple[int, int, float, bool]:
    """Height, width, the fraction that the crop keeps, and whether both sides are resized to it
    whatever their ratio."""
    size = processor.get("size")
    if isinstance(size, int):
        size = {"height": size, "width": size}
    if not isinstance(size, dict):
        raise _no_words(path, f"a size of {size}")
    cropped = processor.get("crop_size")
    if isinstance(cropped, int):
        cropped = {"height": cropped, "width": cropped}
    if "crop_pct" in processor and "shortest_edge" in size:
        # ConvNeXt: below 384 pixels the image is resized to size / crop_pct and cropped.
        edge = int(size["shortest_edge"])
        if edge < 384:
            return edge, edge, float(processor["crop_pct"]), False
        return edge, edge, 1.0, True
    if processor.get("do_center_crop") and isinstance(cropped, dict):
        height, width = int(cropped["height"]), int(cropped["width"])
        if "shortest_edge" in size and height == width:
            return height, width, min(height / int(size["shortest_edge"]), 1.0), False
        if "height" in size and height == width and size["height"] == size["width"]:
            return height, width, min(height / int(size["height"]), 1.0), True
        raise _no_words(path, f"a crop of {height} x {width} from {size}")
    if "height" in size and "width" in size:
        return int(size["height"]), int(size["width"]), 1.0, True
    if "shortest_edge" in size:
        raise _no_words(path, f"a shorter side of {size['shortest_edge']} without a crop")
    raise _no_words(path, f"a size of {size}")


def _no_words(path: Path, what: str) -> DeployBenchError:
    return DeployBenchError(
        f"{path} asks for {what}, which no preprocessing here does",
        expected="resize, crop, scale to [0, 1], normalise",
        action="pass the model as package.module:factory with a pretrained_cfg, and --checkpoint "
        f"{weights_file(path.parent)}",
    )


def _labels(config: dict[str, Any], classes: int) -> tuple[str, ...] | None:
    """The class names in output order; None where the folder has only LABEL_0, LABEL_1, …"""
    names = config.get("id2label") or {}
    labels = [names.get(str(index)) for index in range(classes)]
    if None in labels or all(name == f"LABEL_{index}" for index, name in enumerate(labels)):
        return None
    return tuple(str(name) for name in labels)
