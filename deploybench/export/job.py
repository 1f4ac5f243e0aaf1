"""The export child: builds the model, computes the reference and writes the artifact's files.

Run by the parent as ``python -m deploybench.export.job REPLY`` with a job on standard input. The
folder that it fills is a staging folder; the parent verifies and publishes it.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

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
from deploybench.artifacts.built import Built
from deploybench.artifacts.work import LAYER_VALUES
from deploybench.contracts import INPUT_NAME, OUTPUT_NAME, ExportedFiles
from deploybench.contracts.registry import exporter
from deploybench.documents import Document, now
from deploybench.errors import DeployBenchError
from deploybench.export.assumptions import sentences, settled_preprocessing
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
    built, weights = _loaded(request)
    weights = _as_looked_at(job, built, weights)
    _check_character(request, built)
    reference = _reference(built, one_image=request.batch == 1)
    _write_reference(reference, staging)
    info = _model_info(request.model, built, reference)
    _write_labels(request, built, weights, info.num_classes, staging)
    moved = _values_moved(built, reference)
    # The last that is done with the module: a reduced precision casts its weights.
    torch.set_num_threads(request.threads)
    exported = _exported(request, built, reference, staging)
    facts = {**exported.facts, **moved}
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
        assumed=sentences(built.preprocessing),
        built=_identity(job, built),
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


def _check_character(request: ExportRequest, built: BuiltModel) -> None:
    """Refuse what is no function of one image."""
    import torch

    from deploybench.data.references import telling_inputs
    from deploybench.models.character import check_character

    images = torch.from_numpy(telling_inputs(built.preprocessing))
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


def _reference(built: BuiltModel, *, one_image: bool) -> Reference:
    """The reference images, and what the model makes of them eagerly in fp32.

    ``one_image``: it sees one at a time, as the artifact will.
    """
    import torch

    from deploybench.artifacts.parity import hardly_differs
    from deploybench.data.references import more_telling_inputs, telling_inputs
    from deploybench.models.loading import SingleOutput

    model = SingleOutput(built.module, torch.float32).eval()
    images = torch.from_numpy(telling_inputs(built.preprocessing))

    def run(inputs: torch.Tensor) -> torch.Tensor:
        if one_image:
            return torch.cat([model(image[None]) for image in inputs])
        outputs: torch.Tensor = model(inputs)
        return outputs

    with torch.no_grad():
        outputs = run(images)
        if hardly_differs(outputs.numpy()):
            # The images may be at fault, not the weights: ask more of them.
            more = torch.from_numpy(more_telling_inputs(built.preprocessing))
            images = torch.cat([images, more])
            outputs = torch.cat([outputs, run(more)])
    return Reference(images, outputs)


def _write_reference(reference: Reference, staging: Path) -> None:
    import numpy as np

    np.savez(
        staging / REFERENCE, inputs=reference.images.numpy(), outputs=reference.outputs.numpy()
    )


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
