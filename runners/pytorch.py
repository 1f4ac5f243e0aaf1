"""PyTorch eager: the module as its author wrote it, rebuilt from the artifact's recipe and
weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import RunOptions

from .torch_device import open_device
from .torch_session import TorchRunner, TorchSession, effective_precision, prepare_threads

if TYPE_CHECKING:
    import torch


class PyTorchRunner(TorchRunner):
    name: ClassVar[str] = "pytorch"
    formats: ClassVar[frozenset[str]] = frozenset({"pytorch"})
    requires: ClassVar[tuple[str, ...]] = ("torch", "timm", "safetensors")
    install: ClassVar[str] = "deploybench[torch]"
    distributions: ClassVar[tuple[str, ...]] = ("torch", "timm")
    reference: ClassVar[bool] = True

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        return eager_precisions(artifact_precision)

    def load(self, artifact: Artifact, options: RunOptions) -> TorchSession:
        prepare_threads(options)
        place = open_device(options)
        module = place.move(load_module(artifact, options))
        return TorchSession(
            artifact, module, place, options, "eager", effective_precision(module, "fp32")
        )


def eager_precisions(artifact_precision: str) -> frozenset[str]:
    """A full-precision module can be cast down when it is loaded."""
    return (
        frozenset({"fp32", "bf16", "fp16"})
        if artifact_precision == "fp32"
        else frozenset({artifact_precision})
    )


def load_module(artifact: Artifact, options: RunOptions) -> torch.nn.Module:
    """The module with the artifact's weights in the precision that was asked for."""
    import torch

    from deploybench.models.loading import rebuild
    from deploybench.models.source import BuildOptions

    manifest = artifact.manifest
    preprocessing = manifest.preprocessing
    given = manifest.model.arguments
    build = BuildOptions(
        num_classes=int(given["num_classes"]) if "num_classes" in given else None,
        in_channels=preprocessing.channels if given.keys() & {"in_chans", "in_channels"} else None,
        image_size=(preprocessing.height, preprocessing.width),
        patch_size=int(given["patch_size"]) if "patch_size" in given else None,
    )
    dtypes = {
        "fp32": torch.float32,
        "tf32": torch.float32,
        "bf16": torch.bfloat16,
        "fp16": torch.float16,
    }
    return rebuild(manifest.model.name, build, artifact.entry, dtypes[options.precision])
