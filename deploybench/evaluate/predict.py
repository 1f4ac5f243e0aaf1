"""Runs an artifact on image files, in this process: what it sees, not how fast."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from deploybench.analysis.known_accuracy import Acceptance
from deploybench.artifacts.acceptance import Evidence, check_reduced
from deploybench.artifacts.artifact import Artifact, Manifest, open_artifact
from deploybench.artifacts.parity import loosest
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.artifacts.signature import check_consent
from deploybench.artifacts.task import Task, task_asked
from deploybench.children.environment import cleared_here
from deploybench.children.processes import QUIET_RUNTIMES
from deploybench.contracts import Arrays, Runner, RunOptions, Session
from deploybench.contracts.registry import runner as find_runner
from deploybench.contracts.registry import runners_of_format
from deploybench.data.assumptions import assumptions_in, check_prepared
from deploybench.data.feeding import fed
from deploybench.data.image_files import IMAGE_SUFFIXES, is_image
from deploybench.data.postprocess import main_output, task_in
from deploybench.data.preprocess import ImageInput, read_image
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.errors import DeployBenchError
from deploybench.evaluate.seen import Guess, guesses
from deploybench.hardware.devices import CPU
from deploybench.hardware.host import usable_cores
from deploybench.measure.proof import prove, reference_batches
from deploybench.tracebacks import where_its_traceback_is

Array = npt.NDArray[np.float32]


class _Seen(TypedDict):
    image: str
    classes: list[Guess]


class Prediction(_Seen, total=False):
    """What was seen in an image; ``error`` says why nothing was, where it could not be read.

    ``notes`` say what was decided about the image that its file leaves open, ``assumed`` what was
    taken for granted when the artifact was exported. ``task``, ``scores`` and ``task_known`` are
    those of :class:`~deploybench.artifacts.task.Task`; ``task_words`` says all of it.
    """

    error: str
    notes: list[str]
    assumed: list[str]
    task: str
    scores: str
    task_known: str
    task_words: str


def images_in(paths: Sequence[Path]) -> list[Path]:
    """The files themselves, and of a folder the images in it by their suffix, sorted by name.

    Raises DeployBenchError for a folder without any.
    """
    images = []
    for path in paths:
        if not path.is_dir():
            images.append(path)
            continue
        inside = [file for file in sorted(path.iterdir()) if is_image(file)]
        if not inside:
            raise DeployBenchError(
                f"the folder {path} holds no image",
                expected=f"files that end in {', '.join(IMAGE_SUFFIXES)}",
                action="name the images themselves",
            )
        images += inside
    return images


@dataclass(frozen=True)
class Viewer:
    """What an artifact needs to look at image files, and to say what it sees.

    ``preprocessing`` is what is really done to an image; ``assumed`` is what was taken for granted
    when the artifact was exported.
    """

    manifest: Manifest
    preprocessing: Preprocessing
    meaning: Task
    labels: list[str] | None
    assumed: tuple[str, ...]

    def read(self, image: Path) -> ImageInput:
        """The image as the model's input. Raises DeployBenchError where it does not read."""
        return read_image(image, self.preprocessing)

    def inputs(self, picture: ImageInput) -> Arrays:
        """What the session is fed. A fixed batch is filled with copies of the image."""
        spec = self.manifest.inputs[0]
        batch = self.manifest.batch or 1
        return {spec.name: fed(np.stack([picture.pixels] * batch), spec)}

    def output(self, session: Session, picture: ImageInput) -> Array:
        """The main output for the image; of a filled batch the first answer is as good as any."""
        return main_output(session.infer(self.inputs(picture)), self.manifest)[:1]

    def guesses(self, output: Array, top: int) -> list[Guess]:
        """What the main output says, the ``top`` most probable first."""
        return guesses(output, self.meaning, self.labels, top)


def viewer_of(
    artifact: Artifact, preprocessing: PreprocessingOptions | None = None, task: str | None = None
) -> Viewer:
    """The viewer of an artifact; ``preprocessing`` and ``task`` are what is said beyond its
    manifest. Raises DeployBenchError for an artifact whose images cannot be prepared so."""
    manifest = artifact.manifest
    meaning = task_asked(task, manifest.outputs[0].sizes(1)[1:], task_in(manifest))
    prepared = manifest.preprocessing
    if preprocessing is not None:
        prepared = preprocessing.applied_to(prepared)
    check_prepared(manifest, prepared)
    return Viewer(manifest, prepared, meaning, artifact.labels(), tuple(assumptions_in(manifest)))


def predict_images(
    path: Path,
    images: Sequence[Path],
    *,
    runner: str | None = None,
    top: int = 5,
    threads: int | None = None,
    trust: bool = False,
    preprocessing: PreprocessingOptions | None = None,
    task: str | None = None,
    command: str | None = None,
    accuracies: Acceptance | None = None,
) -> list[Prediction]:
    """What the artifact's main output says of each image, on the CPU, as its task has it.

    The ``top`` most probable classes of each image; of a dense output, those of most pixels; of
    quantities and embeddings, the first numbers as they are.

    ``task`` is one that the manifest's gives way to (``multi_label:probabilities``). ``runner``
    None is the format's own, ``threads`` None the usable cores; ``preprocessing`` is what is said
    beyond the manifest about how images are read. An image that does not read has an ``error``
    instead, and the others go on. Raises DeployBenchError when none reads, for an artifact that
    failed parity, and when the artifact cannot be run. An artifact that holds code and was not made
    here is refused, too; with ``trust`` the user answers for it from now on. ``command`` is what
    the refusal says to type; None makes one of the artifact and the first image. With
    ``accuracies`` an artifact of reduced precision that failed parity is used all the same where
    they say that it answers as well as fp32 eager.

    Variables that set threads (``OMP_NUM_THREADS``) are cleared meanwhile, as they are for workers:
    ``threads`` says how many. A runtime that this process loaded before has read them already.
    """
    artifact = open_artifact(path)
    artifact.check_files()
    failed = artifact.manifest.parity is not None and not artifact.manifest.verified
    if failed and accuracies is None:
        raise DeployBenchError(
            f"{path} failed parity: {artifact.manifest.parity_note}",
            action="export it again, or another precision; or --accept-by accuracy, where "
            "deploybench evaluate found its answers as good",
        )
    plugin = _runner_for(artifact, runner)
    if trust or plugin.runs_code:
        if command is None:
            first = [str(image) for image in images[:1]]
            command = shlex.join(["deploybench", "predict", str(path), *first, "--trust"])
        check_consent([artifact], trust=trust, command=command)
    manifest = artifact.manifest
    options = RunOptions(
        device=CPU,
        threads=threads or usable_cores(),
        precision=plugin.default_precision(manifest.precision),
        batch=manifest.batch or 1,
    )
    evidence = None
    if accuracies is not None:
        check_reduced([loosest(manifest.precision, options.precision)], "predict")
        evidence = accuracies.evidence(artifact, plugin.name, CPU, options.precision)
    viewer = viewer_of(artifact, preprocessing, task)
    predictions: list[Prediction] = []
    first_problem: DeployBenchError | None = None
    os.environ.update(QUIET_RUNTIMES)
    try:
        with cleared_here(), plugin.load(artifact, options) as session:
            prove_here(session, artifact, options, evidence)
            for image in images:
                try:
                    picture = viewer.read(image)
                except DeployBenchError as error:
                    first_problem = first_problem or error
                    unread = _prediction(image, [], viewer.meaning)
                    unread["error"] = error.found
                    predictions.append(unread)
                    continue
                output = viewer.output(session, picture)
                prediction = _prediction(image, viewer.guesses(output, top), viewer.meaning)
                if picture.notes:
                    prediction["notes"] = list(picture.notes)
                if viewer.assumed:
                    prediction["assumed"] = list(viewer.assumed)
                predictions.append(prediction)
    except DeployBenchError:
        raise
    except Exception as error:  # a runtime may raise anything
        raise DeployBenchError(
            f"{plugin.name} could not run {path}: {type(error).__name__}: {error}"
            f"{where_its_traceback_is(error)}",
            action="deploybench backends lists the versions here; the manifest has those of the "
            "export",
        ) from error
    if first_problem is not None and all("error" in prediction for prediction in predictions):
        raise first_problem
    return predictions


def prove_here(
    session: Session,
    artifact: Artifact,
    options: RunOptions,
    evidence: Evidence | None = None,
) -> None:
    """Refuse a session that does not answer as fp32 eager did when the artifact was exported.

    What was verified then was this file on the runtime and the code of then. ``evidence`` is the
    accuracy that may take the place of parity.
    """
    session.compile()
    session.prepare_thread()
    batches = reference_batches(artifact, options.batch)
    proof = prove(session, artifact, options, batches, evidence)
    if proof.holds:
        return
    reason = proof.refused
    action = "export it again on this host, or use the versions that its manifest names"
    if proof.parity is not None:
        reason = f"parity: {proof.parity.reason}"
        accuracy = proof.parity.accuracy
        if accuracy is not None:
            reason += f"; not accepted by accuracy: {accuracy.words}"
            action = accuracy.action or action
    raise DeployBenchError(
        f"{artifact.path} does not answer here as it did when it was exported: {reason}",
        expected="the outputs that are kept in the artifact, within the budget of its precision",
        action=action,
    )


def _runner_for(artifact: Artifact, name: str | None) -> Runner:
    backend = artifact.manifest.backend
    if name is None:
        fitting = runners_of_format(backend)
        if not fitting:
            raise DeployBenchError(
                f"no runner on this host runs {backend} artifacts", action="deploybench doctor"
            )
        return fitting[0].require()
    plugin = find_runner(name).require()
    if backend not in plugin.formats:
        raise DeployBenchError(
            f"{name} does not run {backend} artifacts",
            expected=f"an artifact in {', '.join(sorted(plugin.formats))}",
        )
    return plugin


def _prediction(image: Path, classes: list[Guess], task: Task) -> Prediction:
    """What was seen in an image, with what the numbers mean."""
    return Prediction(
        image=str(image),
        classes=classes,
        task=task.kind,
        scores=task.scores,
        task_known=task.known,
        task_words=task.words,
    )
