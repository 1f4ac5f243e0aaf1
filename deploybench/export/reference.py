"""The reference of an export: images, and what the model makes of them eagerly in fp32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from deploybench.artifacts.artifact import TensorSpec
from deploybench.artifacts.own_images import OwnImages
from deploybench.artifacts.references import Array, write_references
from deploybench.export.request import ModelRequest
from deploybench.models.source import BuiltModel

if TYPE_CHECKING:
    import torch

    from deploybench.models.outputs import Outputs, OutputTensor

LARGEST_BATCH = 8
"""Images that the model sees at once, as many as are built in: more would take more memory."""


@dataclass(frozen=True)
class Reference:
    """What every artifact of the model is held against: images and the fp32 eager outputs on them.

    All are float32: ``images`` of shape (images, channels, height, width), ``outputs``, those of
    the main output, of (images, classes), ``further`` those of the others by name, of (images, …).
    ``layout`` says what the model returns, and where; ``own`` what is told of the user's images
    among them.
    """

    images: torch.Tensor
    outputs: torch.Tensor
    layout: Outputs
    further: Mapping[str, torch.Tensor] = field(default_factory=dict)
    own: OwnImages | None = None

    @property
    def by_name(self) -> dict[str, torch.Tensor]:
        """All outputs, the main one first."""
        return {self.layout.main.name: self.outputs, **self.further}


def output_spec(output: OutputTensor, batch: int | Literal["batch"]) -> TensorSpec:
    return TensorSpec(
        name=output.name,
        dtype="float32",
        shape=(batch, *output.shape),
        path=output.path,
        model_dtype=output.dtype_name,
    )


def reference_of(asked: ModelRequest, built: BuiltModel, *, one_image: bool) -> Reference:
    """The reference images, and what the model makes of them eagerly in fp32.

    First the built-in ones, then those of the user's, read as the artifact's preprocessing says;
    where the model hardly tells all these apart, further built-in ones. ``one_image``: it sees one
    at a time, as the artifact will. Raises DeployBenchError for a file that is no image.
    """
    import torch

    from deploybench.artifacts.parity import hardly_differs
    from deploybench.data.own_images import own_inputs
    from deploybench.data.references import more_telling_inputs
    from deploybench.models.loading import reference_images
    from deploybench.models.outputs import check_same, find_outputs

    images = reference_images(built.preprocessing)
    own = None
    if asked.reference_images:
        inputs, own = own_inputs(asked.reference_images, built.preprocessing)
        images = torch.cat([images, torch.from_numpy(inputs)])
    classes = built.num_classes
    # Other images, and another number of them: what belongs to an image has to follow.
    first, other = images[:LARGEST_BATCH], images[1:LARGEST_BATCH]
    if one_image:
        first, other = images[:1], images[-1:]
    with torch.no_grad():
        returned = built.module(first)
        layout = find_outputs(returned, len(first), classes=classes, chosen=asked.outputs)
        check_same(layout, find_outputs(built.module(other), len(other), classes=classes))
        tensors = _outputs_on(images, built, layout, one_image=one_image)
        if hardly_differs(tensors[layout.main.name].numpy()):
            # The images may be at fault, not the weights: ask more of them.
            more = torch.from_numpy(more_telling_inputs(built.preprocessing))
            images = torch.cat([images, more])
            tensors = _outputs_on(images, built, layout, one_image=one_image)
    main = tensors.pop(layout.main.name)
    return Reference(images, main, layout, tensors, own)


def _outputs_on(
    images: torch.Tensor, built: BuiltModel, layout: Outputs, *, one_image: bool
) -> dict[str, torch.Tensor]:
    """The outputs of the images by name, as float32; each image by itself where it has to be."""
    import torch

    from deploybench.models.outputs import at_path, check_integers

    size = 1 if one_image else LARGEST_BATCH
    returned = [built.module(batch) for batch in images.split(size)]
    tensors = {}
    for output in layout.tensors:
        values = torch.cat([at_path(answer, output.path) for answer in returned])
        check_integers(output, values)
        tensors[output.name] = values.float()
    return tensors


def wrapped(built: BuiltModel, reference: Reference, dtype: torch.dtype) -> torch.nn.Module:
    """The model as exporters get it: float32 in and out, its outputs in the manifest's order."""
    from deploybench.models.outputs import NamedOutputs

    return NamedOutputs(built.module, dtype, reference.layout.paths).eval()


def costs_of(built: BuiltModel, reference: Reference, *, one_image: bool) -> dict[str, Array]:
    """The main outputs in float64 (fp32's own cost), and with every number rounded to each reduced
    precision.

    Nothing for a precision that the model cannot be run in this way, as with torch before 2.0:
    parity then holds it to the budget of all models.
    """
    import torch

    from deploybench.models.outputs import NamedOutputs, at_path
    from deploybench.models.precision_cost import MEASURED, exact, outputs_in

    main = reference.layout.main
    if main.is_integer:
        return {}
    model = NamedOutputs(built.module, torch.float32, [main.path]).eval()
    size = 1 if one_image else LARGEST_BATCH
    batches = reference.images.split(size)

    def in_precision(precision: str, batch: torch.Tensor) -> torch.Tensor:
        if precision == "fp32":
            return at_path(exact(built.module, batch), main.path).float()
        return outputs_in(model, batch, precision)

    costs = {}
    for precision in ("fp32", *MEASURED):
        try:
            parts = [in_precision(precision, batch) for batch in batches]
        except Exception:  # runs the model's own code in an unusual mode, as the counters do
            continue
        costs[precision] = torch.cat(parts).numpy()
    return costs


def write_reference(reference: Reference, costs: Mapping[str, Array], staging: Path) -> None:
    outputs = {name: tensor.numpy() for name, tensor in reference.by_name.items()}
    write_references(staging, reference.images.numpy(), outputs, costs)
