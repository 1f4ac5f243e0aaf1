"""PyTorch eager: the module as its author wrote it.

It is rebuilt from the artifact's recipe and weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import ProfiledSession, RunOptions

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
    cell_options: ClassVar[frozenset[str]] = TorchRunner.cell_options | {"memory_format"}
    reference: ClassVar[bool] = True
    profiles_layers: ClassVar[bool] = True

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        return eager_precisions(artifact_precision)

    def load(self, artifact: Artifact, options: RunOptions) -> TorchSession:
        prepare_threads(options)
        place = open_device(options)
        module = place.move(load_module(artifact, options))
        precision = effective_precision(module, "fp32")
        return TorchSession(artifact, module, place, options, "eager", precision)

    def load_profiled(self, artifact: Artifact, options: RunOptions) -> ProfiledSession:
        from .torch_layers import EagerModules, ProfiledTorchSession

        session = self.load(artifact, options)
        return ProfiledTorchSession(session, EagerModules(session.module))


def eager_precisions(artifact_precision: str) -> frozenset[str]:
    """A full-precision module can be cast down when it is loaded."""
    if artifact_precision == "fp32":
        return frozenset({"fp32", "bf16", "fp16"})
    return frozenset({artifact_precision})


def load_module(artifact: Artifact, options: RunOptions) -> torch.nn.Module:
    """The module with the artifact's weights in the precision that was asked for."""
    import torch

    from deploybench.models.built_again import options_of
    from deploybench.models.loading import rebuild

    manifest = artifact.manifest
    dtypes = {
        "fp32": torch.float32,
        "tf32": torch.float32,
        "bf16": torch.bfloat16,
        "fp16": torch.float16,
    }
    return rebuild(
        manifest.model.name,
        options_of(manifest),
        artifact.entry,
        dtypes[options.precision],
        [output.path for output in manifest.outputs],
        manifest.built,
    )
