"""What one sample times: a call without arguments, one for each of ``results.cell.TIMINGS``.

host-to-host: from float32 arrays on the host to float32 arrays on the host, through the runtime's
own API. engine-only: on inputs that the engine already has, to outputs that it still has. What
host-to-host takes more is the price of handing arrays over. end-to-end: from an image file to
probabilities, as a program does it that sees each file once: decode, resize, crop, normalise,
stack, infer, and the softmax, the sigmoid or the class of each pixel that the manifest's task asks
for. Every call computes and hands over all outputs of the model. The file lies in the operating
system's cache after the first call: the disk is not timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Arrays, Session
from deploybench.data.feeding import fed
from deploybench.data.postprocess import answers, classes_of_pixels, main_output, task_in
from deploybench.data.preprocess import load_image


@dataclass(frozen=True)
class Call:
    """What one sample spans.

    ``device_ms`` tells what the last one took on the device, in ms, where that is known.
    """

    run: Callable[[], object]
    device_ms: Callable[[], float] | None = None


def host_to_host(session: Session, inputs: Arrays) -> Call:
    """Infer on arrays that are on the host."""
    return Call(lambda: session.infer(inputs))


def engine_only(session: Session, inputs: Arrays) -> Call:
    """Run on bound inputs. Raises NotImplementedError where the session has no such calls."""
    bound = session.bind(inputs)
    return Call(bound.run, bound.device_ms)


def end_to_end(session: Session, artifact: Artifact, image: Path) -> Call:
    """Read ``image`` once for every row of the batch, and infer.

    Raises DeployBenchError where it does not read.
    """
    manifest = artifact.manifest
    preprocessing = manifest.preprocessing
    task = task_in(manifest)
    ((name, shape),) = session.input_shapes.items()  # images first
    batch = shape[0]
    load_image(image, preprocessing)  # what is wrong with the file is told before it is timed

    def call() -> object:
        pixels = [load_image(image, preprocessing) for _ in range(batch)]
        inputs = fed(np.stack(pixels), manifest.inputs[0])
        main = main_output(session.infer({name: inputs}), manifest)
        if task.kind == "dense" and task.scores != "values":
            return classes_of_pixels(main, task)
        return answers(main, task)

    return Call(call)
