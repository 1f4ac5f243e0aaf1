"""What one sample times: a call without arguments for the timed loop, one for each of ``contracts.TIMINGS``.

host-to-host: from float32 arrays on the host to float32 arrays on the host, through the runtime's own API.
engine-only: on inputs that the engine already has, to outputs that it still has. What host-to-host
takes more is the price of handing arrays over.
end-to-end: from an image file to probabilities, as a program does it that sees each file once:
decode, resize, crop, normalise, stack, infer, softmax. The file lies in the operating system's cache
after the first call: the disk is not timed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from deploybench.artifacts.artifact import Artifact, Preprocessing
from deploybench.contracts import Arrays, Session
from deploybench.errors import DeployBenchError
from deploybench.models.inputs import reference_inputs
from deploybench.postprocess import softmax
from deploybench.preprocess import load_image


@dataclass(frozen=True)
class Call:
    """What one sample spans; ``device_ms`` tells what the last one took on the device, in ms, where that is known."""

    run: Callable[[], object]
    device_ms: Callable[[], float] | None = None


SAMPLE_IMAGE = Preprocessing(
    channels=3, height=480, width=640, crop_fraction=1, interpolation="bilinear", mean=(0, 0, 0), std=(1, 1, 1)
)
"""The sample photograph's size, with pixels left in [0, 1]."""
SAMPLE_QUALITY = 90


def host_to_host(session: Session, inputs: Arrays) -> Call:
    """Infer on arrays that are on the host."""
    return Call(lambda: session.infer(inputs))


def engine_only(session: Session, inputs: Arrays) -> Call:
    """Run on bound inputs. Raises NotImplementedError where the session has no such calls."""
    bound = session.bind(inputs)
    return Call(bound.run, bound.device_ms)


def end_to_end(session: Session, artifact: Artifact, image: Path) -> Call:
    """Read ``image`` once for every place in the batch, and infer. DeployBenchError where it does not read."""
    preprocessing = artifact.manifest.preprocessing
    ((name, shape),) = session.input_shapes.items()
    load_image(image, preprocessing)

    def call() -> object:
        inputs = {name: np.stack([load_image(image, preprocessing) for _ in range(shape[0])])}
        return softmax(next(iter(session.infer(inputs).values())))

    return Call(call)


def write_sample_image(path: Path) -> None:
    """Write a JPEG of 640 x 480 with the statistics of a photograph, always the same one. Needs Pillow."""
    try:
        from PIL import Image
    except ImportError as error:
        raise DeployBenchError("writing images needs Pillow", action='pip install "deploybench[image]"') from error
    (pixels,) = reference_inputs(SAMPLE_IMAGE, images=1)
    levels = np.round(pixels.transpose(1, 2, 0) * 255).astype(np.uint8)
    Image.fromarray(levels).save(path, "JPEG", quality=SAMPLE_QUALITY)
