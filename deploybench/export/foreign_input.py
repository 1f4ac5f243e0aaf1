"""How a foreign file is fed: which input takes the image, in which layout, type and size.

What the file tells is taken; what it leaves open has to be said, and what is taken for granted is
said in a sentence. What cannot be fed with images is refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from deploybench.contracts import ForeignFile, ForeignTensor
from deploybench.errors import DeployBenchError
from deploybench.export.adopt_request import AdoptRequest

Layout = Literal["nchw", "nhwc"]
DTYPES = ("float32", "float16", "float64", "uint8")
"""Of the inputs that can be fed: pixels are made in these."""
CHANNELS = (1, 3)
"""What is plainly a number of channels, and hardly ever a height or a width."""
PLACES: dict[Layout, tuple[int, int, int]] = {"nchw": (1, 2, 3), "nhwc": (3, 1, 2)}
"""Where channels, height and width stand in a shape."""


@dataclass(frozen=True)
class Feed:
    """The one input, and how images go into it.

    ``batch`` is None where it is free. ``batch_dimension`` and ``free`` are the names of the free
    dimensions in the file, with the sizes that the others were given.
    """

    name: str
    dtype: str
    layout: Layout
    batch: int | None
    channels: int
    height: int
    width: int
    batch_dimension: str = ""
    free: dict[str, int] = field(default_factory=dict)
    assumed: tuple[str, ...] = ()

    def sizes(self, batch: int) -> tuple[int, ...]:
        """The shape of the input at that batch size."""
        if self.layout == "nhwc":
            return (batch, self.height, self.width, self.channels)
        return (batch, self.channels, self.height, self.width)


def feed_of(foreign: ForeignFile, request: AdoptRequest) -> Feed:
    """Raises DeployBenchError for what cannot be fed with images, and for what has to be said."""
    tensor = _only_input(foreign.inputs)
    if tensor.dtype not in DTYPES:
        raise DeployBenchError(
            f"the input '{tensor.name}' takes {tensor.dtype or 'values of an unknown type'}",
            expected=f"an image in {', '.join(DTYPES)}",
            action="export the model with one image as its input",
        )
    shape = tensor.shape
    if shape is None:
        return _unshaped(tensor, foreign, request)
    if len(shape) != 4:
        raise DeployBenchError(
            f"the input '{tensor.name}' is of rank {len(shape)}: {_words(shape)}",
            expected="four: images x channels x height x width, or images x height x width x "
            "channels",
            action="export the model with a batch of images as its input",
        )
    layout, assumed = _layout(tensor, shape, request)
    at = dict(zip(("channels", "height", "width"), PLACES[layout], strict=True))
    channels = _size(shape[at["channels"]], request.in_channels, tensor, "channels")
    height, width = _height_and_width(shape[at["height"]], shape[at["width"]], request, tensor)
    settled = {at["channels"]: channels, at["height"]: height, at["width"]: width}
    free: dict[str, int] = {}
    for place, size in settled.items():
        name = shape[place]
        if isinstance(name, str) and name:
            if free.get(name, size) != size:
                raise DeployBenchError(
                    f"the input '{tensor.name}' is {_words(shape)}: '{name}' is one size, and "
                    f"{free[name]} and {size} were given",
                    expected="the same size wherever the name stands",
                    action="--image-size with one number",
                )
            free[name] = size
    batch: int | None = None
    batch_dimension = ""
    if isinstance(shape[0], str):
        batch_dimension = shape[0]
    else:
        batch = shape[0]
    return Feed(
        name=tensor.name,
        dtype=tensor.dtype,
        layout=layout,
        batch=batch,
        channels=channels,
        height=height,
        width=width,
        batch_dimension=batch_dimension,
        free=free,
        assumed=assumed,
    )


def _only_input(inputs: Sequence[ForeignTensor]) -> ForeignTensor:
    if len(inputs) == 1:
        return inputs[0]
    if not inputs:
        found = "it has no input"
    else:
        described = [f"{tensor.name} ({_described(tensor)})" for tensor in inputs]
        found = f"it has several inputs, {len(inputs)}: {', '.join(described)}"
    raise DeployBenchError(
        found,
        expected="one input, which is a batch of images",
        action="export the model with the others fixed, or with the image alone as its input",
    )


def _described(tensor: ForeignTensor) -> str:
    if tensor.shape is None:
        return tensor.dtype or "unknown"
    return f"{tensor.dtype} {_words(tensor.shape)}"


def _words(shape: Sequence[int | str]) -> str:
    return " x ".join(str(size) if size != "" else "?" for size in shape) or "a single number"


def _layout(
    tensor: ForeignTensor, shape: Sequence[int | str], request: AdoptRequest
) -> tuple[Layout, tuple[str, ...]]:
    """The layout as it was said, as the file says it, or as the shape tells it."""
    if request.layout is not None:
        return request.layout, ()
    if tensor.layout is not None:
        return tensor.layout, ()
    first, last = shape[1], shape[3]
    plain = (*CHANNELS, request.in_channels)
    channels_first, channels_last = first in plain, last in plain
    if channels_first and not channels_last:
        return "nchw", ()
    if channels_last and not channels_first:
        return "nhwc", ()
    if not channels_first:
        # Channels of another number: two equal sizes side by side are height and width.
        square_last = shape[2] == shape[3] and isinstance(shape[2], int)
        square_first = shape[1] == shape[2] and isinstance(shape[1], int)
        if square_last and not square_first:
            said = f"layout: channels first, as {_words(shape)} suggests; --layout says otherwise"
            return "nchw", (said,)
        if square_first and not square_last:
            said = f"layout: channels last, as {_words(shape)} suggests; --layout says otherwise"
            return "nhwc", (said,)
    raise DeployBenchError(
        f"the input '{tensor.name}' is {_words(shape)}, which does not tell where the channels are",
        expected="a shape that tells it, or your word",
        action="--layout nchw (channels first) or --layout nhwc (channels last), with "
        "--in-channels and --image-size where they are free",
    )


def _size(size: int | str, asked: int | None, tensor: ForeignTensor, what: str) -> int:
    if isinstance(size, int):
        if asked not in (None, size):
            raise DeployBenchError(
                f"--in-channels {asked}, and the input '{tensor.name}' has {size} {what}",
                expected=f"{size}",
            )
        return size
    if asked is None:
        raise DeployBenchError(
            f"the input '{tensor.name}' leaves the number of its {what} free",
            expected="one number",
            action="--in-channels 3",
        )
    return asked


def _height_and_width(
    height: int | str, width: int | str, request: AdoptRequest, tensor: ForeignTensor
) -> tuple[int, int]:
    asked = request.image_size
    free = isinstance(height, str) or isinstance(width, str)
    if asked is None and free:
        raise DeployBenchError(
            f"the input '{tensor.name}' leaves the size of the image free "
            f"({_words((height, width))})",
            expected="one size, which is measured and evaluated",
            action="--image-size 224, or height x width: --image-size 224x320",
        )
    sizes = asked or (0, 0)
    chosen = []
    for size, wanted in zip((height, width), sizes, strict=True):
        if isinstance(size, str):
            chosen.append(wanted)
            continue
        if asked is not None and wanted != size:
            raise DeployBenchError(
                f"--image-size {sizes[0]}x{sizes[1]}, and the input '{tensor.name}' is fixed to "
                f"{_words((height, width))}",
                expected=f"{_words((height, width))}",
                action="leave --image-size out, or export the model at that size",
            )
        chosen.append(size)
    return chosen[0], chosen[1]


def _unshaped(tensor: ForeignTensor, foreign: ForeignFile, request: AdoptRequest) -> Feed:
    """Of a file that tells no shape: TorchScript takes what it is given."""
    if request.image_size is None:
        raise DeployBenchError(
            f"the file does not tell the size of its input '{tensor.name}'",
            expected="the size of the images",
            action="--image-size 224, and --layout nhwc or --in-channels where they are not usual",
        )
    assumed = []
    layout = request.layout
    if layout is None:
        layout = "nchw"
        assumed.append("layout: channels first is assumed; --layout says otherwise")
    channels = request.in_channels
    if channels is None and "first_channels" in foreign.facts:
        channels = int(foreign.facts["first_channels"])
    if channels is None:
        channels = 3
        assumed.append("channels: 3 are assumed; --in-channels says otherwise")
    height, width = request.image_size
    return Feed(
        name=tensor.name,
        dtype=tensor.dtype,
        layout=layout,
        batch=None,
        channels=channels,
        height=height,
        width=width,
        assumed=tuple(assumed),
    )
