"""How the model of an artifact was built: the same options build it again."""

from __future__ import annotations

from deploybench.artifacts.artifact import Manifest
from deploybench.models.reparameterised import ARGUMENT
from deploybench.models.source import BuildOptions


def options_of(manifest: Manifest) -> BuildOptions:
    """The options that build the architecture of an artifact.

    Only what the model was built with is given again: a factory of the user's may take no other.
    """
    preprocessing = manifest.preprocessing
    given = manifest.model.arguments
    num_classes = None
    if "num_classes" in given:
        num_classes = int(given["num_classes"])
    in_channels = None
    if "in_chans" in given or "in_channels" in given:
        in_channels = preprocessing.channels
    patch_size = None
    if "patch_size" in given:
        patch_size = int(given["patch_size"])
    batchnorm_epsilon = None
    if "batchnorm_epsilon" in given:
        batchnorm_epsilon = float(given["batchnorm_epsilon"])
    return BuildOptions(
        num_classes=num_classes,
        in_channels=in_channels,
        image_size=(preprocessing.height, preprocessing.width),
        patch_size=patch_size,
        batchnorm_epsilon=batchnorm_epsilon,
        reparameterised=bool(given.get(ARGUMENT, False)),
    )
