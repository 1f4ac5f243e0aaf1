"""How a model's images are prepared, as it was settled, and what of that nobody gave.

Given is what the user says, what the user's own module says of itself, what the checkpoint carries
of its training's arguments, and what is known of the weights: timm's pretrained ones and the files
of torchvision's. Whatever else an architecture is usually trained with is assumed, and said. With
random weights it makes no difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from deploybench.artifacts.artifact import sha256_of_file
from deploybench.artifacts.preprocessing import Preprocessing, PreprocessingPart
from deploybench.artifacts.weights import Weights
from deploybench.data.assumptions import assumption_of
from deploybench.data.preprocessing_options import PARTS, PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.export.request import ModelRequest
from deploybench.models.source import BuiltModel
from deploybench.models.training_arguments import training_images

PART_OF = {"resize_mode": "crop"}
"""The part of a preprocessing that an option belongs to, where the names differ."""


def settled_preprocessing(
    built: BuiltModel, weights: Weights, asked: ModelRequest
) -> Preprocessing:
    """The preprocessing of the model with these weights, with what the user said about it.

    Raises DeployBenchError for what was said that does not fit the model.
    """
    spec = built.preprocessing
    assumed = spec.assumed
    if weights.kind in ("random", "pretrained"):
        assumed = ()
    elif built.usual_preprocessing:
        assumed = PARTS
    if weights.kind == "checkpoint" and built.known_files:
        known = _known(built, Path(asked.checkpoint or weights.source))
        if known is not None:
            spec, assumed = known, ()
    spec, assumed = _trained(built.training_arguments, spec.replaced(assumed=assumed))
    if asked.image_size is not None:
        assumed = tuple(part for part in assumed if part != "image_size")
    spec = spec.replaced(assumed=assumed)
    if asked.preprocessing is None:
        return spec
    return asked.preprocessing.applied_to(spec)


def _trained(
    arguments: Mapping[str, object], spec: Preprocessing
) -> tuple[Preprocessing, tuple[PreprocessingPart, ...]]:
    """The preprocessing as the training that made the checkpoint had it, and what stays assumed.

    What the module or its source says of itself stays: the arguments tell what would be assumed.
    The size is that of the module, which was built before: here it is only found to agree.
    """
    images = training_images(arguments)
    said = {
        name: value
        for name, value in images.options.model_dump().items()
        if PART_OF.get(name, name) in spec.assumed
    }
    try:
        spec = PreprocessingOptions.model_validate(said).applied_to(spec)
    except DeployBenchError:  # another program's argument of the same name
        return spec, spec.assumed
    assumed = spec.assumed
    if images.whole:
        assumed = ()
    if images.image_size == (spec.height, spec.width):
        assumed = tuple(part for part in assumed if part != "image_size")
    return spec, assumed


def sentences(spec: Preprocessing) -> tuple[str, ...]:
    """What was assumed about the images, as a manifest holds it."""
    sentence = assumption_of(spec)
    if sentence is None:
        return ()
    return (sentence,)


def _known(built: BuiltModel, checkpoint: Path) -> Preprocessing | None:
    """The preprocessing of a checkpoint that is one of the known files."""
    if not checkpoint.is_file():
        return None
    digest = sha256_of_file(checkpoint)
    for digits, spec in built.known_files.items():
        if digest.startswith(digits):
            return spec
    return None
