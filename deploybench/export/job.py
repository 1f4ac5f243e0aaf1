"""The export child: builds the model, computes the reference and writes the artifact's files.

Run by the parent as ``python -m deploybench.export.job REPLY`` with a job on standard input. The
folder that it fills is a staging folder; the parent verifies and publishes it.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

from deploybench.artifacts.artifact import (
    LABELS,
    MANIFEST,
    Manifest,
    ModelInfo,
    TensorSpec,
    Weights,
    file_entry,
    write_references,
)
from deploybench.artifacts.work import LAYER_VALUES
from deploybench.contracts import INPUT_NAME, ExportedFiles
from deploybench.contracts.registry import exporter
from deploybench.documents import Document, now
from deploybench.errors import DeployBenchError
from deploybench.export.causes import cause_of
from deploybench.export.labels import label_count, read_labels
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.models.source import BuiltModel
from deploybench.models.tasks import task_assumed, task_of
from deploybench.processes import die_with_parent, finish

if TYPE_CHECKING:
    import torch

    from deploybench.models.outputs import Outputs, OutputTensor

DYNAMIC_EXAMPLE_BATCH = 2
"""An example of one image would let tracers take the batch dimension for a constant 1."""


class ExportJob(Document):
    """One export into the folder ``staging``."""

    request: ExportRequest
    staging: str
    key: str
    versions: dict[str, str]


class ExportReply(Document):
    """How it went.

    ``found`` is the cause of a failure, None when the staging folder is complete.
    """

    found: str | None = None
    expected: str | None = None
    action: str | None = None

    def raise_failure(self, reproduce: str | None = None) -> None:
        """Raise the failure that the reply reports, if it reports one."""
        if self.found is None:
            return
        action = self.action or reproduce
        raise DeployBenchError(self.found, expected=self.expected, action=action)


def main() -> None:
    """Read a job from standard input, write the reply to the path in the first argument."""
    die_with_parent()
    warnings.simplefilter("ignore")
    job = ExportJob.model_validate_json(sys.stdin.read())
    try:
        run(job)
        reply = ExportReply()
    except DeployBenchError as error:
        reply = ExportReply(found=error.found, expected=error.expected, action=error.action)
    except OSError as error:
        reply = ExportReply(
            found=f"{error.filename or job.staging} could not be written: {error.strerror}"
        )
    except Exception as error:  # an exporter may raise anything; the row carries its cause
        cause = cause_of(error)
        reply = ExportReply(found=cause.found, expected=cause.expected, action=cause.action)
    finish(reply.model_dump_json())


@dataclass(frozen=True)
class Reference:
    """What every artifact of the model is held against: images and the fp32 eager outputs on them.

    All are float32: ``images`` of shape (images, channels, height, width), ``outputs``, those of
    the main output, of (images, classes), ``further`` those of the others by name, of (images, …).
    ``layout`` says what the model returns, and where.
    """

    images: torch.Tensor
    outputs: torch.Tensor
    layout: Outputs
    further: Mapping[str, torch.Tensor] = field(default_factory=dict)

    @property
    def by_name(self) -> dict[str, torch.Tensor]:
        """All outputs, the main one first."""
        return {self.layout.main.name: self.outputs, **self.further}


def run(job: ExportJob) -> None:
    """Fill the staging folder, the manifest (not yet verified) last."""
    import torch

    request, staging = job.request, Path(job.staging)
    # The weights and the reference must not depend on how many exports run at once.
    torch.set_num_threads(1)
    start = perf_counter()
    built, weights = _loaded(request.model)
    reference = _reference(request.model, built)
    task = task_of(request.model.task, built, weights, reference.outputs, reference.layout.main)
    _write_reference(reference, staging)
    info = _model_info(request.model, built, reference)
    _write_labels(request, built, weights, label_count(task, info.num_classes), staging)
    moved = _values_moved(built, reference)
    # The last that is done with the module: a reduced precision casts its weights.
    torch.set_num_threads(request.threads)
    exported = _exported(request, built, reference, staging)
    facts = {**exported.facts, **moved}
    written = sorted(path for path in staging.rglob("*") if path.is_file())
    batch: int | Literal["batch"] = request.batch or "batch"
    input_shape = (batch, *reference.images.shape[1:])
    manifest = Manifest(
        key=job.key,
        backend=request.backend,
        precision=request.precision,
        batch=request.batch,
        model=info,
        weights=weights,
        inputs=(TensorSpec(name=INPUT_NAME, dtype="float32", shape=input_shape),),
        outputs=tuple(_output_spec(output, batch) for output in reference.layout.tensors),
        preprocessing=built.preprocessing,
        entry=exported.entry,
        facts=facts,
        files=tuple(file_entry(path, staging) for path in written),
        versions=job.versions,
        parity=None,
        parity_note=exported.checked,
        parity_runner=None,
        export_s=round(perf_counter() - start, 3),
        created=now(),
        command=request.command(),
        request=request.model_dump(mode="json"),
        assumed=(*reference.layout.assumed, *task_assumed(task, weights)),
        task=task,
    )
    (staging / MANIFEST).write_text(manifest.sealed().model_dump_json(indent=1))


def _loaded(asked: ModelRequest) -> tuple[BuiltModel, Weights]:
    """The model with its weights, and where those come from."""
    from deploybench.models.loading import load_model

    checkpoint = None
    if asked.checkpoint:
        checkpoint = Path(asked.checkpoint)
    return load_model(
        asked.name, asked.build_options(), checkpoint, allow_partial=asked.allow_partial
    )


def _output_spec(output: OutputTensor, batch: int | Literal["batch"]) -> TensorSpec:
    return TensorSpec(
        name=output.name,
        dtype="float32",
        shape=(batch, *output.shape),
        path=output.path,
        model_dtype=output.dtype_name,
    )


def _reference(asked: ModelRequest, built: BuiltModel) -> Reference:
    """The reference images, and what the model makes of them eagerly in fp32."""
    import torch

    from deploybench.data.synthetic import reference_inputs
    from deploybench.models.outputs import at_path, check_integers, check_same, find_outputs

    images = torch.from_numpy(reference_inputs(built.preprocessing))
    classes = built.num_classes
    with torch.no_grad():
        returned = built.module(images)
        layout = find_outputs(returned, len(images), classes=classes, chosen=asked.outputs)
        # Other images, and another number of them: what belongs to an image has to follow.
        fewer = images[1:]
        again = find_outputs(built.module(fewer), len(fewer), classes=classes)
    check_same(layout, again)
    tensors = {}
    for output in layout.tensors:
        values = at_path(returned, output.path)
        check_integers(output, values)
        tensors[output.name] = values.float()
    main = tensors.pop(layout.main.name)
    return Reference(images, main, layout, tensors)


def _wrapped(built: BuiltModel, reference: Reference, dtype: torch.dtype) -> torch.nn.Module:
    """The model as exporters get it: float32 in and out, its outputs in the manifest's order."""
    from deploybench.models.outputs import NamedOutputs

    return NamedOutputs(built.module, dtype, reference.layout.paths).eval()


def _write_reference(reference: Reference, staging: Path) -> None:
    outputs = {name: tensor.numpy() for name, tensor in reference.by_name.items()}
    write_references(staging, reference.images.numpy(), outputs)


def _model_info(asked: ModelRequest, built: BuiltModel, reference: Reference) -> ModelInfo:
    """What has to be known of the model: its size, its work, its classes."""
    import torch

    from deploybench.models.loading import count_parameters

    model = _wrapped(built, reference, torch.float32)
    macs = _counted("count_macs", model, reference.images[:1])
    flops = None
    if macs is not None:
        flops = 2 * macs  # a multiplication and an addition
    num_classes = 1
    if reference.layout.main.is_integer:  # the numbers of classes, not a score for each
        num_classes = max(built.num_classes, 1)
    elif reference.outputs.dim() > 1:
        num_classes = int(reference.outputs.shape[1])
    return ModelInfo(
        name=asked.name,
        arguments=dict(built.arguments),
        num_classes=num_classes,
        parameters=count_parameters(model),
        macs=macs,
        flops=flops,
        patch_size=built.patch_size,
        tokens=built.tokens,
    )


def _values_moved(built: BuiltModel, reference: Reference) -> dict[str, int]:
    """How many values pass between the layers for one image, as a fact; nothing where unknown."""
    import torch

    model = _wrapped(built, reference, torch.float32)
    layer_values = _counted("count_layer_values", model, reference.images[:1])
    if layer_values is None:
        return {}
    return {LAYER_VALUES: layer_values}


def _exported(
    request: ExportRequest, built: BuiltModel, reference: Reference, staging: Path
) -> ExportedFiles:
    """Have the exporter write its files, in the precision that was asked for."""
    import torch

    plugin = exporter(request.backend).require()
    dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
    dtype = dtypes.get(request.precision, torch.float32)
    batch = request.batch or DYNAMIC_EXAMPLE_BATCH
    example = reference.images[:1].expand(batch, -1, -1, -1).contiguous()
    integers = [output.name for output in reference.layout.tensors if output.is_integer]
    spec = replace(
        request.spec(plugin.default_options()),
        preprocessing=built.preprocessing,
        output_names=reference.layout.names,
        integer_outputs=frozenset(integers),
    )
    with torch.no_grad():
        return plugin.export(_wrapped(built, reference, dtype), example, spec, staging)


def _counted(name: str, model: torch.nn.Module, example: torch.Tensor) -> int | None:
    """What the counter of that name in ``deploybench.models.flops`` counts.

    None for a model that it cannot run, or before torch 2.1: no reason to fail an export.
    """
    try:
        counters = importlib.import_module("deploybench.models.flops")
        count = getattr(counters, name)
        counted: int = count(model, example)
    except Exception:  # a counter runs the model's own code in an unusual mode
        return None
    return counted


def _write_labels(
    request: ExportRequest, built: BuiltModel, weights: Weights, classes: int, staging: Path
) -> None:
    """The user's class names, else the architecture's own when the weights are trained."""
    labels = None
    if request.model.labels:
        labels = read_labels(Path(request.model.labels), classes)
    elif weights.kind != "random":
        labels = built.labels
    if labels and len(labels) == classes:
        (staging / LABELS).write_text(json.dumps(labels))


if __name__ == "__main__":
    main()
