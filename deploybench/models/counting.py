"""Parameters and MACs of a model by name, counted on the meta device: nothing is computed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploybench.artifacts.work import Work
from deploybench.errors import DeployBenchError
from deploybench.models.source import BuildOptions, BuiltModel, find_source
from deploybench.models.zoo import BAND_CLASSES, COMPARED_SIZE

if TYPE_CHECKING:
    import torch

    from deploybench.models.flops import MacsByKind


@dataclass(frozen=True)
class ModelCount:
    """A model with its size: MACs are multiply-adds of one image of ``image_size`` (height,
    width)."""

    image_size: tuple[int, int]
    num_classes: int
    patch_size: int | None
    tokens: int | None
    parameters: int
    macs: MacsByKind
    values_per_image: int
    """Numbers in one input and its output."""
    layer_values: int
    """Numbers that the products and convolutions of one image read and write, weights apart."""

    @property
    def work(self) -> Work:
        return Work(self.macs.total, self.parameters, self.values_per_image, self.layer_values)


def count_model(name: str, options: BuildOptions | None = None) -> ModelCount:
    """Count the model called ``name``, built as ``options`` ask.

    Raises DeployBenchError where it cannot be built.
    """
    try:
        from deploybench.models.flops import count_layer_values, count_macs_by_kind
        from deploybench.models.loading import count_parameters
    except ImportError as error:
        raise DeployBenchError(
            f"counting needs torch 2.1 or later: {error}",
            action='pip install "deploybench[torch]" "torch>=2.1"',
        ) from error
    built = _on_meta(name, options or BuildOptions())
    spec, module = built.preprocessing, built.module
    example = _example(built)
    try:
        macs = count_macs_by_kind(module, example)
        layer_values = count_layer_values(module, example)
    except Exception as error:  # a model may raise anything on an input that it was not made for
        raise DeployBenchError(
            f"'{name}' does not run on images of {spec.height} x {spec.width}: {error}",
            action="choose another --image-size or --patch-size",
        ) from error
    return ModelCount(
        image_size=(spec.height, spec.width),
        num_classes=built.num_classes,
        patch_size=built.patch_size,
        tokens=built.tokens,
        parameters=count_parameters(module),
        macs=macs,
        values_per_image=example.numel() + built.num_classes,
        layer_values=layer_values,
    )


def listed_counts(name: str) -> dict[str, int]:
    """What ``deploybench models`` lists of a zoo model, counted.

    See :func:`deploybench.models.zoo.zoo_counts`.
    """
    from deploybench.models.flops import count_macs
    from deploybench.models.loading import count_parameters

    native = _on_meta(name, BuildOptions(num_classes=BAND_CLASSES))
    compared_size = (COMPARED_SIZE, COMPARED_SIZE)
    compared = _on_meta(name, BuildOptions(num_classes=BAND_CLASSES, image_size=compared_size))
    return {
        "parameters": count_parameters(native.module),
        "macs": count_macs(native.module, _example(native)),
        f"macs_{COMPARED_SIZE}": count_macs(compared.module, _example(compared)),
    }


def _on_meta(name: str, options: BuildOptions) -> BuiltModel:
    """The model as it answers, without weights."""
    import torch

    source, own_name = find_source(name)
    with torch.device("meta"):
        built = source.build(own_name, options)
    built.module.eval()
    return built


def _example(built: BuiltModel) -> torch.Tensor:
    """One image of the size that it was built for."""
    import torch

    spec = built.preprocessing
    return torch.empty(1, spec.channels, spec.height, spec.width, device="meta")
