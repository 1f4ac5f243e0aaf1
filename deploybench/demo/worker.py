"""The worker of one side: a process that loads one artifact, proves it, and looks at images.

Images of strangers are decoded here, and runtimes crash here: the page outlives both. Run by the
parent as ``python -m deploybench.demo.worker``.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.artifact import open_artifact
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.children.processes import die_with_parent
from deploybench.children.resident import questions, replier
from deploybench.contracts import RunOptions, Session
from deploybench.contracts.registry import runner
from deploybench.data.image_values import WHITE_8
from deploybench.data.preprocess import ImageInput
from deploybench.demo.questions import Look, Ready, Seen, SeenClass, SideJob
from deploybench.errors import DeployBenchError
from deploybench.evaluate.predict import Viewer, prove_here, viewer_of
from deploybench.evaluate.seen import Guess
from deploybench.hardware.devices import CPU
from deploybench.measure.proof import failure_of
from deploybench.statistics.samples import median

MOST_CALLS = 20
LONGEST_S = 0.5
"""Of the calls that are timed after the one that answers."""


def main() -> None:
    """Answer the questions on standard input until there are no more."""
    die_with_parent()
    reply = replier()
    asked = questions()
    job = SideJob.model_validate_json(next(asked))
    try:
        artifact = open_artifact(Path(job.artifact))
        artifact.check_files()
        plugin = runner(job.runner).require()
        batch = artifact.manifest.batch or 1
        options = RunOptions(CPU, job.threads, job.precision, batch)
        viewer = viewer_of(artifact)
        with plugin.load(artifact, options) as session:
            prove_here(session, artifact, options)
            reply(Ready().model_dump_json())
            for question in asked:
                seen = look(session, viewer, Look.model_validate_json(question))
                reply(seen.model_dump_json())
    except Exception as error:  # a runtime may raise anything; the page shows its words
        reply(Ready(refused=words_of(error)).model_dump_json())


def look(session: Session, viewer: Viewer, asked: Look) -> Seen:
    """What the artifact sees in one image file; what goes wrong is the answer."""
    try:
        picture = viewer.read(Path(asked.image))
        output = viewer.output(session, picture)
        times_ms = list(_timed_ms(session, viewer, picture))
    except Exception as error:
        return Seen(error=words_of(error))
    return Seen(
        classes=tuple(map(class_of, viewer.guesses(output, asked.top))),
        call_ms=median(times_ms),
        calls=len(times_ms),
        notes=picture.notes,
        picture=base64.b64encode(png_of(picture, viewer.preprocessing)).decode(),
        task=viewer.meaning.words,
    )


def levels_of(picture: ImageInput, spec: Preprocessing) -> npt.NDArray[np.float32]:
    """What the model saw, with the normalisation taken back: height x width x channels, 0 to 1."""
    mean = np.array(spec.mean, np.float32)[:, None, None]
    std = np.array(spec.std, np.float32)[:, None, None]
    levels = np.clip(picture.pixels * std + mean, 0, 1)
    if spec.color == "bgr":
        levels = levels[::-1]
    found: npt.NDArray[np.float32] = levels.transpose(1, 2, 0)
    return found


def png_of(picture: ImageInput, spec: Preprocessing) -> bytes:
    """The same as a picture: the cropped image."""
    from PIL import Image

    pixels = np.round(levels_of(picture, spec) * WHITE_8).astype(np.uint8)
    if pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def _timed_ms(session: Session, viewer: Viewer, picture: ImageInput) -> Iterator[float]:
    inputs = viewer.inputs(picture)
    end = perf_counter() + LONGEST_S
    for _ in range(MOST_CALLS):
        began = perf_counter()
        session.infer(inputs)
        ended = perf_counter()
        yield 1e3 * (ended - began)
        if ended > end:
            return


def class_of(guess: Guess) -> SeenClass:
    """A class by its name and its number."""
    score = guess["probability"]
    if score is None:
        score = guess.get("share")
    name, number = guess["name"], str(guess["index"])
    if number not in name.split():  # without names a class is called "class 33"
        name = f"{name} ({number})"
    return SeenClass(name=name, score=score, value=guess.get("value"))


def words_of(error: Exception) -> str:
    """What went wrong, for the page."""
    if isinstance(error, DeployBenchError):
        return str(error)
    failure = failure_of(error)
    return failure.refused or failure.error or type(error).__name__


if __name__ == "__main__":
    main()
