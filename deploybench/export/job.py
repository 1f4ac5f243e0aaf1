"""The export child: builds the model, computes the reference and writes the artifact's files.

Run by the parent as ``python -m deploybench.export.job REPLY`` with a job on standard input. The
folder that it fills is a staging folder; the parent verifies and publishes it.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from deploybench.artifacts.artifact import (
    LABELS,
    MANIFEST,
    Manifest,
    ModelInfo,
    TensorSpec,
    file_entry,
)
from deploybench.artifacts.built import Built
from deploybench.artifacts.calibration import CalibrationImages
from deploybench.artifacts.weights import Weights
from deploybench.artifacts.weights_audit import (
    WEIGHTS_AUDITED,
    Folded,
    WeightsAudit,
    audit_weights,
)
from deploybench.artifacts.work import LAYER_VALUES
from deploybench.children.processes import die_with_parent, finish
from deploybench.contracts import INPUT_NAME, REPARAMETERISE, ExportedFiles
from deploybench.contracts.registry import exporter
from deploybench.documents import Document, now
from deploybench.errors import DeployBenchError
from deploybench.export.assumptions import sentences, settled_preprocessing
from deploybench.export.causes import cause_of
from deploybench.export.labels import label_count, read_labels
from deploybench.export.quantisation import INT8, images_for
from deploybench.export.reference import (
    Reference,
    costs_of,
    output_spec,
    reference_of,
    wrapped,
    write_reference,
)
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.models.source import BuiltModel
from deploybench.models.tasks import task_assumed, task_of
from deploybench.tracebacks import where_its_traceback_is

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
    built: Built | None = None
    """What the model was when it was looked at, where that had to be done."""


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
    finish(reply_of(lambda: run(job), job.staging, "could not be written").model_dump_json())


def reply_of(work: Callable[[], None], staging: str, undone: str) -> ExportReply:
    """Do the work, and say how it ended; ``undone`` is what the system refused to do with a file,
    in words."""
    try:
        work()
    except DeployBenchError as error:
        return ExportReply(found=error.found, expected=error.expected, action=error.action)
    except OSError as error:
        return ExportReply(found=f"{error.filename or staging} {undone}: {error.strerror}")
    except Exception as error:  # exporters and runtimes may raise anything; the row has its cause
        cause = cause_of(error)
        found = f"{cause.found}{where_its_traceback_is(error)}"
        return ExportReply(found=found, expected=cause.expected, action=cause.action)
    return ExportReply()


def run(job: ExportJob) -> None:
    """Fill the staging folder, the manifest (not yet verified) last."""
    import torch

    request, staging = job.request, Path(job.staging)
    # The weights and the reference must not depend on how many exports run at once.
    torch.set_num_threads(1)
    start = perf_counter()
    built, weights = _loaded(request)
    weights = _as_looked_at(job, built, weights)
    _check_character(request, built)
    one_image = request.batch == 1
    reference = reference_of(request.model, built, one_image=one_image)
    task = task_of(request.model.task, built, weights, reference.outputs, reference.layout.main)
    write_reference(reference, costs_of(built, reference, one_image=one_image), staging)
    # From here on it is the module that is exported; the reference is that of its author's form.
    built = _optimised(request, built)
    info = _model_info(request.model, built, reference)
    _write_labels(request, built, weights, label_count(task, info.num_classes), staging)
    moved = _values_moved(built, reference)
    # The last that is done with the module: a reduced precision casts its weights.
    torch.set_num_threads(request.threads)
    folds = _folds(built, reference)
    calibration = images_for(request, built.preprocessing)
    exported = _exported(request, built, reference, staging, calibration)
    audit = _audited(request, built, folds, staging / exported.entry)
    facts = {**exported.facts, **moved}
    if audit is not None:
        audit.check(exported.entry)
        facts[WEIGHTS_AUDITED] = audit.label
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
        outputs=tuple(output_spec(output, batch) for output in reference.layout.tensors),
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
        assumed=(
            *sentences(built.preprocessing),
            *reference.layout.assumed,
            *task_assumed(task, weights),
        ),
        built=_identity(job, built),
        task=task,
        own_images=reference.own,
        calibration=None if calibration is None else calibration.told,
        kept_fp32=exported.kept_fp32,
    )
    (staging / MANIFEST).write_text(manifest.sealed().model_dump_json(indent=1))


def _loaded(request: ExportRequest) -> tuple[BuiltModel, Weights]:
    """The model with its weights, and where those come from."""
    from deploybench.models.loading import load_model

    asked = request.model
    checkpoint = None
    if asked.checkpoint:
        checkpoint = Path(asked.checkpoint)
    built, weights = load_model(
        asked.name,
        asked.build_options(),
        checkpoint,
        allow_partial=asked.allow_partial,
        checkpoint_key=asked.checkpoint_key,
        one_image=request.batch == 1,
    )
    return replace(built, preprocessing=settled_preprocessing(built, weights, asked)), weights


def _optimised(request: ExportRequest, built: BuiltModel) -> BuiltModel:
    """The model in its form for inference, where that was asked for."""
    from deploybench.models.reparameterised import ARGUMENT, reparameterised

    if not request.options.get(REPARAMETERISE.name):
        return built
    module = reparameterised(request.model.name, built.module)
    return replace(built, module=module, arguments={**built.arguments, ARGUMENT: True})


def _check_character(request: ExportRequest, built: BuiltModel) -> None:
    """Refuse what is no function of one image."""
    from deploybench.models.character import check_character
    from deploybench.models.loading import reference_images

    images = reference_images(built.preprocessing)
    check_character(request.model.name, built.module, images, request.batch)


def _as_looked_at(job: ExportJob, built: BuiltModel, weights: Weights) -> Weights:
    """The weights, told in full; refuses a model that changed since the export's key was made."""
    from deploybench.models.identity import SEED, check_same_build

    if job.built is None or weights.kind != "factory":
        return weights
    name = job.request.model.name
    check_same_build(name, built, job.built)
    if built.fingerprint is not None and built.fingerprint.state_sha256 != job.built.state_sha256:
        raise DeployBenchError(
            f"'{name}' built other weights than a moment ago",
            expected="files that stay as they are while they are exported",
            action="export it again",
        )
    if not job.built.random:
        return weights
    return weights.replaced(source=f"{weights.source}, random from seed {SEED}")


def _identity(job: ExportJob, built: BuiltModel) -> Built | None:
    """What is compared where weights and code are joined again: the module that was exported.

    It may have been built for the classes of a checkpoint.
    """
    if job.built is None or built.fingerprint is None:
        return job.built
    exported = built.fingerprint.built(volatile=job.built.volatile)
    return job.built.replaced(structure_sha256=exported.structure_sha256)


def _model_info(asked: ModelRequest, built: BuiltModel, reference: Reference) -> ModelInfo:
    """What has to be known of the model: its size, its work, its classes."""
    import torch

    from deploybench.models.loading import count_parameters

    model = wrapped(built, reference, torch.float32)
    counted = _counted("count_all_macs", model, reference.images[:1])
    macs, flops, uncounted = None, None, ()
    if counted is not None:
        macs, uncounted = counted.total, counted.uncounted
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
        macs_uncounted=uncounted,
    )


def _values_moved(built: BuiltModel, reference: Reference) -> dict[str, int]:
    """How many values pass between the layers for one image, as a fact; nothing where unknown."""
    import torch

    model = wrapped(built, reference, torch.float32)
    layer_values = _counted("count_layer_values", model, reference.images[:1])
    if layer_values is None:
        return {}
    return {LAYER_VALUES: layer_values}


def _exported(
    request: ExportRequest,
    built: BuiltModel,
    reference: Reference,
    staging: Path,
    calibration: CalibrationImages | None,
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
        calibration=calibration,
        output_names=reference.layout.names,
        integer_outputs=frozenset(integers),
    )
    with torch.no_grad():
        return plugin.export(wrapped(built, reference, dtype), example, spec, staging)


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
    if request.precision == INT8:
        return None  # the weights are stored in 8 bits, or rounded to them: parity is the judge
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


def _counted(name: str, model: torch.nn.Module, example: torch.Tensor) -> Any:
    """What the counter of that name in ``deploybench.models.flops`` counts.

    None for a model that it cannot run, or before torch 2.1: no reason to fail an export.
    """
    try:
        counters = importlib.import_module("deploybench.models.flops")
        count = getattr(counters, name)
        return count(model, example)
    except Exception:  # a counter runs the model's own code in an unusual mode
        return None


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
