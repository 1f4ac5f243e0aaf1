"""The PyTorch source of an artifact: built again with its weights, and proved to be what the
artifact was made from.

What a model looks at cannot be read from an exported file: attention and gradients are those of the
source. So it is looked for where the manifest says it was, and nothing else takes its place.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import ValidationError

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.signature import is_signed
from deploybench.errors import DeployBenchError
from deploybench.export.request import ModelRequest
from deploybench.models.source import find_source

if TYPE_CHECKING:
    from torch import nn

LARGEST_ERROR = 1e-3
"""Of the largest answer: the same weights on other threads differ by less, others by far more."""
PROVED_ON = 4
"""Reference images: each goes through the source once."""


def source_of(artifact: Artifact, *, trust: bool) -> nn.Module:
    """The module in eval mode, with the artifact's own weights.

    Raises DeployBenchError, which says why, where there is no source (an artifact that was
    adopted), where its checkpoint is no more where it was or holds other weights, where it cannot
    be built here, and where building it would run code of somebody whom the user has not said to
    ``trust``.
    """
    manifest = artifact.manifest
    if manifest.weights.kind == "adopted":
        raise DeployBenchError("it was adopted as a file, and has no PyTorch source")
    try:
        asked = ModelRequest.model_validate(manifest.request.get("model"))
    except ValidationError:
        raise DeployBenchError("its manifest does not say how its model is built") from None
    source, own_name = find_source(asked.name)
    if source.must_be_looked_at(own_name) and not trust and not is_signed(artifact):
        raise DeployBenchError(
            f"the code of {asked.name} was made elsewhere and would have to run",
            action="deploybench demo --trust",
        )
    checkpoint = None
    if asked.checkpoint is not None:
        checkpoint = Path(asked.checkpoint)
        if not checkpoint.exists():
            raise DeployBenchError(
                f"its checkpoint is no more at {checkpoint}",
                action="put it back there, or export it again from where it is",
            )
    module, sha256 = _built(asked, checkpoint)
    if sha256 != manifest.weights.sha256:
        raise DeployBenchError(
            "its source holds other weights now than those that were exported",
            action="export it again",
        )
    _prove(artifact, module)
    return module


def _built(asked: ModelRequest, checkpoint: Path | None) -> tuple[nn.Module, str]:
    """The module and the sha256 of its weights."""
    from deploybench.models.loading import load_model

    try:
        built, weights = load_model(
            asked.name,
            asked.build_options(),
            checkpoint,
            allow_partial=asked.allow_partial,
            checkpoint_key=asked.checkpoint_key,
            one_image=True,
        )
    except DeployBenchError:
        raise
    except Exception as error:  # a factory or a library may raise anything
        raise DeployBenchError(
            f"{asked.name} could not be built here: {type(error).__name__}: {error}"
        ) from error
    return built.module, weights.sha256


def _prove(artifact: Artifact, module: nn.Module) -> None:
    """Raise DeployBenchError where the module answers otherwise than fp32 eager did on export."""
    from deploybench.attention.asking import answers

    inputs, expected = artifact.reference()
    expected = expected[:PROVED_ON]
    found = answers(module, inputs[:PROVED_ON])
    if found.shape != expected.shape:
        raise DeployBenchError(
            f"its source answers with other shapes: {found.shape[1:]}, not {expected.shape[1:]}"
        )
    error = float(np.abs(found - expected).max())
    if not error <= LARGEST_ERROR * float(np.abs(expected).max()):
        raise DeployBenchError(
            f"its source answers otherwise than on export: by up to {error:.3g}",
            action="export it again",
        )
