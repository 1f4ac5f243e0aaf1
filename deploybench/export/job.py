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
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from deploybench.artifacts.artifact import (
    LABELS,
    MANIFEST,
    REFERENCE,
    Manifest,
    ModelInfo,
    TensorSpec,
    Weights,
    file_entry,
)
from deploybench.artifacts.cost import COST_PREFIX
from deploybench.artifacts.weights_audit import (
    WEIGHTS_AUDITED,
    Folded,
    WeightsAudit,
    audit_weights,
)
from deploybench.artifacts.work import LAYER_VALUES
from deploybench.contracts import INPUT_NAME, OUTPUT_NAME, ExportedFiles
from deploybench.contracts.registry import exporter
from deploybench.documents import Document, now
from deploybench.errors import DeployBenchError
from deploybench.export.labels import read_labels
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.models.source import BuiltModel
from deploybench.processes import die_with_parent, finish

if TYPE_CHECKING:
    import torch

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
    except Exception as error:  # an exporter may raise anything; the row carries its words
        text = " ".join(line.strip() for line in str(error).strip().splitlines()[:3])[:500]
        reply = ExportReply(found=f"{type(error).__name__}: {text}")
    finish(reply.model_dump_json())


@dataclass(frozen=True)
class Reference:
    """What every artifact of the model is held against: images and the fp32 eager outputs on them.

    Both are float32: ``images`` of shape (images, channels, height, width), ``outputs`` of
    (images, classes).
    """

    images: torch.Tensor
    outputs: torch.Tensor


def run(job: ExportJob) -> None:
    """Fill the staging folder, the manifest (not yet verified) last."""
    import torch

    request, staging = job.request, Path(job.staging)
    # The weights and the reference must not depend on how many exports run at once.
    torch.set_num_threads(1)
    start = perf_counter()
    built, weights = _loaded(request.model)
    reference = _reference(built)
    _write_reference(reference, _costs(built, reference), staging)
    info = _model_info(request.model, built, reference)
    _write_labels(request, built, weights, info.num_classes, staging)
    moved = _values_moved(built, reference)
    # The last that is done with the module: a reduced precision casts its weights.
    torch.set_num_threads(request.threads)
    folds = _folds(built, reference)
    exported = _exported(request, built, reference, staging)
    audit = _audited(request, built, folds, staging / exported.entry)
    facts = {**exported.facts, **moved}
    if audit is not None:
        audit.check(exported.entry)
        facts[WEIGHTS_AUDITED] = audit.label
    written = sorted(path for path in staging.rglob("*") if path.is_file())
    batch = request.batch or "batch"
    input_shape = (batch, *reference.images.shape[1:])
    output_shape = (batch, *reference.outputs.shape[1:])
    manifest = Manifest(
        key=job.key,
        backend=request.backend,
        precision=request.precision,
        batch=request.batch,
        model=info,
        weights=weights,
        inputs=(TensorSpec(name=INPUT_NAME, dtype="float32", shape=input_shape),),
        outputs=(TensorSpec(name=OUTPUT_NAME, dtype="float32", shape=output_shape),),
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


def _reference(built: BuiltModel) -> Reference:
    """The reference images, and what the model makes of them eagerly in fp32."""
    import torch

    from deploybench.data.synthetic import reference_inputs
    from deploybench.models.loading import SingleOutput

    model = SingleOutput(built.module, torch.float32).eval()
    images = torch.from_numpy(reference_inputs(built.preprocessing))
    with torch.no_grad():
        outputs = model(images)
    return Reference(images, outputs)


def _costs(built: BuiltModel, reference: Reference) -> dict[str, torch.Tensor]:
    """The outputs with every number rounded to each reduced precision, by their names in the file.

    Nothing for a precision that the model cannot be run in this way, as with torch before 2.0:
    parity then holds it to the budget of all models.
    """
    import torch

    from deploybench.models.loading import SingleOutput
    from deploybench.models.precision_cost import MEASURED, outputs_in

    model = SingleOutput(built.module, torch.float32).eval()
    costs = {}
    for precision in MEASURED:
        try:
            costs[COST_PREFIX + precision] = outputs_in(model, reference.images, precision)
        except Exception:  # runs the model's own code in an unusual mode, as the counters do
            continue
    return costs


def _write_reference(
    reference: Reference, costs: Mapping[str, torch.Tensor], staging: Path
) -> None:
    import numpy as np

    tensors = {"inputs": reference.images, "outputs": reference.outputs, **costs}
    arrays: dict[str, Any] = {name: tensor.numpy() for name, tensor in tensors.items()}
    np.savez(staging / REFERENCE, **arrays)


def _model_info(asked: ModelRequest, built: BuiltModel, reference: Reference) -> ModelInfo:
    """What has to be known of the model: its size, its work, its classes."""
    import torch

    from deploybench.models.loading import SingleOutput, count_parameters

    model = SingleOutput(built.module, torch.float32).eval()
    macs = _counted("count_macs", model, reference.images[:1])
    flops = None
    if macs is not None:
        flops = 2 * macs  # a multiplication and an addition
    num_classes = 1
    if reference.outputs.dim() > 1:
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

    from deploybench.models.loading import SingleOutput

    model = SingleOutput(built.module, torch.float32).eval()
    layer_values = _counted("count_layer_values", model, reference.images[:1])
    if layer_values is None:
        return {}
    return {LAYER_VALUES: layer_values}


def _exported(
    request: ExportRequest, built: BuiltModel, reference: Reference, staging: Path
) -> ExportedFiles:
    """Have the exporter write its files, in the precision that was asked for."""
    import torch

    from deploybench.models.loading import SingleOutput

    plugin = exporter(request.backend).require()
    dtypes = {"bf16": torch.bfloat16, "fp16": torch.float16}
    dtype = dtypes.get(request.precision, torch.float32)
    batch = request.batch or DYNAMIC_EXAMPLE_BATCH
    example = reference.images[:1].expand(batch, -1, -1, -1).contiguous()
    spec = replace(request.spec(plugin.default_options()), preprocessing=built.preprocessing)
    with torch.no_grad():
        return plugin.export(SingleOutput(built.module, dtype).eval(), example, spec, staging)


def _folds(built: BuiltModel, reference: Reference) -> tuple[Folded, ...]:
    """The batch norms that an exporter may fold into the layers before them."""
    from deploybench.models.folding import find_folds

    try:
        return find_folds(built.module, reference.images[:1])
    except Exception:  # a model may hand on outputs that are no tensors
        return ()


def _audited(
    request: ExportRequest, built: BuiltModel, folds: tuple[Folded, ...], entry: Path
) -> WeightsAudit | None:
    """Whether the model's weights, as they were cast, are in the file; None where it is not read.

    A file that its own exporter cannot read again is for parity to judge.
    """
    try:
        stored = exporter(request.backend).require().stored_tensors(entry)
    except Exception:  # a library may raise anything on a file
        stored = None
    if stored is None:
        return None
    source = {}
    for name, tensor in built.module.state_dict().items():
        if tensor.is_floating_point() and tensor.numel():
            source[name] = tensor.detach().float().numpy()
    return audit_weights(source, stored, folds, request.precision)


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
