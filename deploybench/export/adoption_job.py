"""The child of an adoption: looks into a foreign file, copies it, and keeps the answers that it is
held against.

Run by the parent as ``python -m deploybench.export.adoption_job REPLY`` with a job on standard
input. A file that holds code runs here, in a process of its own, and only after the user said
``--trust``: the parent has asked. What it fills is a staging folder; the parent verifies and
publishes it.
"""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Literal

from deploybench import __version__
from deploybench.artifacts.adoption import Adoption
from deploybench.artifacts.artifact import (
    LABELS,
    MANIFEST,
    Artifact,
    Manifest,
    ModelInfo,
    TensorSpec,
    file_entry,
    open_artifact,
)
from deploybench.artifacts.references import write_references
from deploybench.artifacts.task import Task
from deploybench.artifacts.weights import Weights
from deploybench.children.processes import die_with_parent, finish
from deploybench.contracts import ForeignFile, ForeignWork, Runner
from deploybench.contracts.registry import runner, runners_of_format
from deploybench.documents import Document, now
from deploybench.errors import DeployBenchError
from deploybench.export.adopt_request import AdoptRequest
from deploybench.export.assumptions import sentences
from deploybench.export.foreign_answers import (
    Answers,
    answers_in_file,
    answers_of,
    answers_of_artifact,
    fixed_batch,
    loaded_and_run,
    outputs_told,
)
from deploybench.export.foreign_images import preprocessing_of
from deploybench.export.foreign_input import Feed, feed_of
from deploybench.export.foreign_task import task_of_answers
from deploybench.export.job import ExportReply, reply_of
from deploybench.export.labels import label_count, read_labels
from deploybench.models.tasks import task_assumed
from deploybench.versions import installed_versions

UNSAID = (
    "normalisation: nobody said it, and the file does not tell it: the artifact is measured all "
    "the same, its time does not depend on it; evaluate and predict ask for --mean and --std"
)


class AdoptionJob(Document):
    """One adoption into the folder ``staging``.

    ``runner`` looks into the file, ``answering`` gives the reference (None: it comes in a file);
    ``sha256`` is that of the file with all that belongs to it. ``original`` is the artifact whose
    answers a conversion is held to; None where the file stays as it is.
    """

    request: AdoptRequest
    staging: str
    key: str
    sha256: str
    runner: str
    answering: str | None
    trusted: bool
    original: str | None = None


def main() -> None:
    """Read a job from standard input, write the reply to the path in the first argument."""
    die_with_parent()
    warnings.simplefilter("ignore")
    job = AdoptionJob.model_validate_json(sys.stdin.read())
    finish(answered(job).model_dump_json())


def answered(job: AdoptionJob) -> ExportReply:
    """Do the job, and say how it ended."""
    return reply_of(lambda: run(job), job.staging, "cannot be read or written")


def run(job: AdoptionJob) -> None:
    """Fill the staging folder, the manifest (not yet verified) last."""
    began = perf_counter()
    request, staging = job.request, Path(job.staging)
    file = Path(request.file)
    plugin = runner(job.runner).require()
    original = None
    if job.original is not None:
        original = open_artifact(Path(job.original))
        file = _converted(plugin, original, staging)
        request = _as_the_original(request, original)
    foreign = plugin.look_into(file)
    feed = feed_of(foreign, request)
    spec, values_assumed = preprocessing_of(request, feed)
    precision = request.precision or foreign.precision or "fp32"
    if original is None:
        _copy(file, foreign.files, staging)

    # The outputs as the file tells them; their sizes are seen when it runs.
    told, left_out = outputs_told(plugin, file, foreign, feed, request.outputs)
    draft = Manifest(
        key=job.key,
        backend=request.format,
        precision=precision,
        batch=feed.batch,
        model=ModelInfo(
            name=request.model.name,
            arguments={},
            num_classes=1,
            parameters=foreign.parameters,
            macs=None,
            flops=None,
        ),
        weights=Weights(kind="adopted", source=request.file, sha256=job.sha256),
        inputs=(_input_spec(feed),),
        outputs=told,
        preprocessing=spec,
        entry=file.name,
        facts={name: value for name, value in foreign.facts.items() if name != "first_channels"},
        files=(),
        versions={"deploybench": __version__, **installed_versions(plugin.distributions)},
        parity=None,
        parity_note="",
        parity_runner=None,
        export_s=0.0,
        created=now(),
        command=job.request.command(trusted=job.trusted),
        request=job.request.model_dump(mode="json"),
        adopted=_adoption(job, feed, "self", _words(plugin)),
    )
    draft, batch_assumed = fixed_batch(plugin, Artifact(staging, draft))
    answers = loaded_and_run(plugin, Artifact(staging, draft))
    adoption = draft.adopted
    if original is not None:
        answers = answers_of_artifact(original, answers)
        adoption = _adoption(job, feed, "runner", _whose(original))
    elif job.answering is None:
        path = Path(request.reference)
        answers = answers_in_file(path, draft, answers)
        adoption = _adoption(job, feed, "file", path.name)
    elif job.answering != job.runner:
        answering = runner(job.answering).require()
        answers = answers_of(answering, Artifact(staging, draft), answers)
        adoption = _adoption(job, feed, "runner", _words(answering))
    assert adoption is not None  # the draft has one
    outputs, unbatched = _output_specs(draft, answers)
    main = answers.outputs[outputs[0].name]
    write_references(
        staging,
        answers.images,
        {output.name: answers.outputs[output.name] for output in outputs},
    )
    task = task_of_answers(request.task, main, outputs[0])
    num_classes = 1
    if not outputs[0].is_integer and main.ndim > 1:
        num_classes = int(main.shape[1])
    labels = _labels(request, foreign, task, num_classes)
    if not labels and original is not None:
        labels = tuple(original.labels() or ())
    if labels:
        (staging / LABELS).write_text(json.dumps(labels))
        if outputs[0].is_integer:
            num_classes = len(labels)
    work = _work(plugin, file, feed, draft.batch or 1)
    written = sorted(path for path in staging.rglob("*") if path.is_file())
    unsaid: tuple[str, ...] = ()
    if "mean" in spec.assumed or "std" in spec.assumed:
        unsaid = (UNSAID,)
    manifest = draft.replaced(
        model=ModelInfo(
            name=request.model.name,
            arguments={},
            num_classes=num_classes,
            parameters=foreign.parameters,
            macs=None if work is None else work.macs,
            flops=None if work is None else 2 * work.macs,  # a multiplication and an addition
            macs_uncounted=() if work is None else work.uncounted,
        ),
        outputs=outputs,
        files=tuple(file_entry(path, staging) for path in written),
        export_s=round(perf_counter() - began, 3),
        task=task,
        adopted=adoption,
        assumed=(
            adoption.sentence,
            *sentences(spec),
            *unsaid,
            *_precision_assumed(request, foreign),
            *_mode_assumed(foreign),
            *values_assumed,
            *feed.assumed,
            *batch_assumed,
            *left_out,
            *unbatched,
            *_main_assumed(job.request, outputs),
            *task_assumed(task, draft.weights),
        ),
    )
    (staging / MANIFEST).write_text(manifest.sealed().model_dump_json(indent=1))


def _converted(plugin: Runner, original: Artifact, staging: Path) -> Path:
    """The original's file in the runner's own format, in the staging folder."""
    source = runners_of_format(original.manifest.backend)[0].require()
    foreign = source.look_into(original.entry)
    return plugin.convert(
        original.entry,
        staging,
        inputs=[tensor.name for tensor in foreign.inputs],
        outputs=[tensor.name for tensor in foreign.outputs],
    )


def _as_the_original(request: AdoptRequest, original: Artifact) -> AdoptRequest:
    """The request with what was found of the original: it is fed in the same way."""
    spec = original.manifest.inputs[0]
    images = original.manifest.preprocessing
    return request.replaced(
        layout=spec.layout,
        image_size=(images.height, images.width),
        outputs=tuple(output.name for output in original.manifest.outputs),
        precision=request.precision or original.manifest.precision,
    )


def _whose(original: Artifact) -> str:
    """Whose answers the original is held to: those of its own runtime are its answers."""
    adopted = original.manifest.adopted
    assert adopted is not None  # the parent has just adopted it
    if adopted.reference == "self":
        return f"{adopted.answers_of} on {original.manifest.entry}"
    return adopted.answers_of


def _copy(file: Path, names: Sequence[str], staging: Path) -> None:
    """The file and all that belongs to it: the artifact stands by itself."""
    for name in names:
        target = staging / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file.parent / name, target)


def _input_spec(feed: Feed) -> TensorSpec:
    batch: int | Literal["batch"] = feed.batch or "batch"
    return TensorSpec(
        name=feed.name,
        dtype=feed.dtype,
        shape=(batch, *feed.sizes(1)[1:]),
        model_dtype=feed.dtype,
        layout=feed.layout,
    )


def _adoption(
    job: AdoptionJob, feed: Feed, kind: Literal["self", "runner", "file"], whose: str
) -> Adoption:
    return Adoption(
        file=job.request.file,
        sha256=job.sha256,
        reference=kind,
        answers_of=whose,
        batch_dimension=feed.batch_dimension,
        free_dimensions=feed.free,
    )


def _words(plugin: Runner) -> str:
    """The runtime with its version: ``onnxruntime 1.27.0``."""
    versions = installed_versions(plugin.distributions)
    return " ".join([plugin.name, *list(versions.values())[:1]])


def _output_specs(
    draft: Manifest, answers: Answers
) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """The outputs with their sizes and types, and a sentence for each that is not by image."""
    batch: int | Literal["batch"] = draft.batch or "batch"
    specs = []
    sentences_on_others = []
    for output in draft.outputs:
        array = answers.outputs.get(output.name)
        if array is None:
            continue
        if len(array) != len(answers.images):
            sentences_on_others.append(
                f"left out of what is compared: {output.name}, whose first dimension is not the "
                "batch"
            )
            continue
        specs.append(
            output.replaced(
                shape=(batch, *array.shape[1:]), model_dtype=answers.dtypes[output.name]
            )
        )
    if not specs:
        raise DeployBenchError(
            "no output has one answer an image: "
            + ", ".join(f"{name} {array.shape}" for name, array in answers.outputs.items()),
            expected="an output whose first dimension is the batch",
            action="export the model so that it returns a row for each image",
        )
    return tuple(specs), tuple(sentences_on_others)


def _main_assumed(request: AdoptRequest, outputs: Sequence[TensorSpec]) -> tuple[str, ...]:
    if len(outputs) < 2 or request.outputs:
        return ()
    return (
        f"main output: {outputs[0].name}, the first of {len(outputs)}; --output NAME says another",
    )


def _precision_assumed(request: AdoptRequest, foreign: ForeignFile) -> tuple[str, ...]:
    if request.precision is not None or foreign.precision is not None:
        return ()
    return ("precision: fp32 is assumed, the file does not tell it; --precision says otherwise",)


def _mode_assumed(foreign: ForeignFile) -> tuple[str, ...]:
    if "saved_in_training_mode" not in foreign.facts:
        return ()
    return ("mode: it was saved while it trained, and is run in evaluation mode",)


def _labels(
    request: AdoptRequest, foreign: ForeignFile, task: Task, num_classes: int
) -> tuple[str, ...]:
    """The user's names of the classes, else those in the file where there are as many."""
    count = label_count(task, num_classes)
    if request.labels is not None:
        # A graph that names the class itself does not say how many there are.
        any_number = task.scores == "classes"
        return read_labels(Path(request.labels), None if any_number else count)
    if len(foreign.label_names) == count:
        return foreign.label_names
    return ()


def _work(plugin: Runner, file: Path, feed: Feed, batch: int) -> ForeignWork | None:
    """The work of one image; None where it is not known, which is not none."""
    try:
        work = plugin.work_in(file, {feed.name: feed.sizes(batch)})
    except Exception:  # a library may raise anything on a graph: no reason to fail
        return None
    if work is None or not work.macs:
        return None
    return ForeignWork(work.macs // batch, work.uncounted)


if __name__ == "__main__":
    main()
