"""The worker of an evaluation: one process that loads an artifact, proves it, and sees the images.

Run by the parent as ``python -m deploybench.evaluate.worker REPLY``. Images are read, resized and
normalised by threads of their own while the runtime infers; only a few are held at a time, however
many there are. Every prediction is in the journal before the next batch begins.
"""

from __future__ import annotations

import faulthandler
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.children.processes import die_with_parent, finish
from deploybench.contracts import Session
from deploybench.contracts.registry import runner
from deploybench.data.dataset import DataSet
from deploybench.data.feeding import fed
from deploybench.data.postprocess import main_output
from deploybench.errors import DeployBenchError
from deploybench.evaluate.job import EvaluationJob
from deploybench.evaluate.journal import Journal, JournalWriter
from deploybench.measure.proof import Proof, failure_of, prove, reference_batches
from deploybench.plurals import counted
from deploybench.results.launch import Launch

Array = npt.NDArray[np.float32]
Read = Callable[[int], Array]

SILENT_LIMIT_S = 900.0
"""A batch takes no longer than this, the loading of a model included: then it hangs."""
BATCHES_AHEAD = 2
"""So many are read while one is inferred."""


def main() -> None:
    """Read a job from standard input, write its launch to the path in the first argument."""
    die_with_parent()
    faulthandler.dump_traceback_later(SILENT_LIMIT_S, exit=True)
    job = EvaluationJob.model_validate_json(sys.stdin.read())
    finish(evaluated(job).model_dump_json())


def evaluated(job: EvaluationJob) -> Launch:
    """Do the job. Whatever goes wrong is in the launch; what was predicted is in the journal."""
    try:
        artifact = open_artifact(Path(job.artifact))
        artifact.check_files()
        data = job.data.open()
        if len(data) != job.images:
            raise DeployBenchError(
                f"{job.data.path} holds {counted(len(data), 'image')} now, and {job.images} when "
                f"the evaluation began",
                expected="the same images",
                action="evaluate again when nothing writes into the data",
            )
        return _evaluated(job, artifact, data)
    except Exception as error:  # a runtime may raise anything; the row carries its words
        failure = failure_of(error)
        return Launch(refused=failure.refused, error=failure.error)


def _evaluated(job: EvaluationJob, artifact: Artifact, data: DataSet) -> Launch:
    plugin = runner(job.runner).require()
    options = job.run_options
    spec = artifact.manifest.preprocessing
    if job.preprocessing is not None:
        spec = job.preprocessing.applied_to(spec)
    examples = data.examples

    def read(image: int) -> Array:
        return data.input(examples[image], spec).pixels

    with plugin.load(artifact, options) as session:
        session.compile()
        session.prepare_thread()
        proof = prove(session, artifact, options, reference_batches(artifact, job.batch))
        launch = Launch(facts=proof.facts, refused=proof.refused, parity=proof.parity)
        if not proof.holds and not _left_to_accuracy(job, proof):
            return launch
        journal = Journal(Path(job.folder), numbers_of(artifact))
        before = journal.read()
        todo = np.setdiff1d(np.arange(job.images), [*before.images, *before.failed])
        with journal.writer() as writer:
            refused = predict_all(
                session, artifact, job.batch, todo.tolist(), read, writer, readers=job.readers
            )
    if refused is not None:
        image, numbers = refused
        place = data.place(examples[image])
        return launch.replaced(refused=f"{job.runner} puts out {numbers} for {place}")
    return launch


def _left_to_accuracy(job: EvaluationJob, proof: Proof) -> bool:
    """Whether the answers of what fails parity are asked for all the same, to be judged by them."""
    return job.by_accuracy and proof.parity is not None and not proof.parity.why_never_accepted


def numbers_of(artifact: Artifact) -> int:
    """How many numbers the main output has of one image."""
    return int(np.prod(artifact.manifest.outputs[0].sizes(1)[1:], dtype=np.int64))


def predict_all(
    session: Session,
    artifact: Artifact,
    batch: int,
    todo: Sequence[int],
    read: Read,
    writer: JournalWriter,
    *,
    readers: int,
) -> tuple[int, str] | None:
    """Predict the images ``todo`` into the journal.

    None, or the first image whose outputs are not finite with what they are: nothing of its batch
    is kept.
    """
    spec = artifact.manifest.inputs[0]
    with ThreadPoolExecutor(readers) as pool:
        ahead = BATCHES_AHEAD * batch + readers
        images = _readable(_in_order(pool, read, todo, ahead), writer)
        for numbers, pixels in _batches(images, batch):
            # The last batch is filled with copies: every call has the size that was proved.
            filled = np.stack([*pixels, *[pixels[-1]] * (batch - len(pixels))])
            inputs = {spec.name: fed(filled, spec)}
            output = main_output(session.infer(inputs), artifact.manifest)
            outputs = np.asarray(output, np.float32).reshape(batch, -1)[: len(pixels)]
            wrong = np.flatnonzero(~np.isfinite(outputs).all(axis=1))
            if len(wrong):
                row = outputs[wrong[0]]
                what = "NaN" if np.isnan(row).any() else "infinity"
                return numbers[wrong[0]], what
            writer.add(numbers, outputs)
            faulthandler.dump_traceback_later(SILENT_LIMIT_S, exit=True)
    return None


def _in_order(
    pool: ThreadPoolExecutor, read: Read, todo: Iterable[int], ahead: int
) -> Iterator[tuple[int, Future[Array]]]:
    """Every image with its reading, in their order; at most ``ahead`` are being read or wait."""
    waiting: deque[tuple[int, Future[Array]]] = deque()
    for image in todo:
        waiting.append((image, pool.submit(read, image)))
        if len(waiting) >= ahead:
            yield waiting.popleft()
    yield from waiting


def _readable(
    readings: Iterable[tuple[int, Future[Array]]], writer: JournalWriter
) -> Iterator[tuple[int, Array]]:
    """The images that read; the others go into the journal with the reason."""
    for image, reading in readings:
        try:
            pixels = reading.result()
        except DeployBenchError as error:
            writer.add_failed(image, error.found)
        except Exception as error:  # a library may raise anything over a damaged file
            writer.add_failed(image, f"{type(error).__name__}: {error}")
        else:
            yield image, pixels


def _batches(
    images: Iterable[tuple[int, Array]], batch: int
) -> Iterator[tuple[list[int], list[Array]]]:
    numbers: list[int] = []
    pixels: list[Array] = []
    for number, array in images:
        numbers.append(number)
        pixels.append(array)
        if len(numbers) == batch:
            yield numbers, pixels
            numbers, pixels = [], []
    if numbers:
        yield numbers, pixels


if __name__ == "__main__":
    main()
