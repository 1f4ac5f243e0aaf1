"""What is asked for when a foreign file becomes an artifact."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from deploybench.artifacts.artifact import sha256_of_file
from deploybench.data.image_size import size_text
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.documents import Document

SELF = "self"
"""The reference that is the file's own answers."""


class AdoptedModel(Document):
    """The model's name in the workspace. Nothing here builds it: it is a file."""

    name: str
    adopted: Literal[True] = True


class AdoptRequest(Document):
    """One adoption. Paths are absolute.

    ``reference`` is ``self``, the name of a runner, or a file of inputs and outputs (.npz).
    ``value_range`` are the values of black and white that the input takes. ``to`` is another
    format, which the file is converted into; None leaves it as it is.
    """

    file: str
    model: AdoptedModel
    backend: str
    reference: str = SELF
    preprocessing: PreprocessingOptions | None = None
    preprocessing_file: str | None = None
    value_range: tuple[float, float] | None = None
    layout: Literal["nchw", "nhwc"] | None = None
    image_size: tuple[int, int] | None = None
    in_channels: int | None = None
    precision: str | None = None
    outputs: tuple[str, ...] = ()
    task: str | None = None
    labels: str | None = None
    to: str | None = None

    @property
    def format(self) -> str:
        """The format of the artifact."""
        return self.to or self.backend

    def key(self, files: Mapping[str, str]) -> str:
        """The content key: equal for equal files that are to be fed and read alike.

        Files count by their content (``files``, hashes by name), not by their path.
        """
        asked = self.model_dump(
            mode="json", exclude={"file", "preprocessing_file", "labels", "reference"}
        )
        contents = dict(files)
        for option in ("preprocessing_file", "labels"):
            path = getattr(self, option)
            if path is not None:
                contents[option] = sha256_of_file(Path(path))
        reference = self.reference
        if Path(reference).is_absolute():
            reference = sha256_of_file(Path(reference))
        content = {"adopted": asked, "files": contents, "reference": reference}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def command(self, *, trusted: bool) -> str:
        """The command that adopts the file again."""
        words = ["deploybench", "adopt", self.file, "--name", self.model.name]
        if self.reference != SELF:
            words += ["--reference", self.reference]
        if self.preprocessing is not None:
            words += self.preprocessing.arguments()
        if self.value_range is not None:
            low, high = self.value_range
            words.append(f"--value-range={low:g},{high:g}")
        size = None
        if self.image_size is not None:
            size = size_text(self.image_size)
        for output in self.outputs:
            words += ["--output", output]
        if_given = {
            "--preprocessing": self.preprocessing_file,
            "--layout": self.layout,
            "--image-size": size,
            "--in-channels": self.in_channels,
            "--precision": self.precision,
            "--task": self.task,
            "--class-names": self.labels,
            "--to": self.to,
        }
        for option, value in if_given.items():
            if value is not None:
                words += [option, str(value)]
        if trusted:
            words.append("--trust")
        return shlex.join(words)
