"""What an export is asked for, and the content key that decides whether it was done before."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.parity import ParityReport
from deploybench.contracts import ExportSpec, OptionValue
from deploybench.data.image_size import size_text
from deploybench.data.preprocessing_options import PreprocessingOptions
from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.models.source import BuildOptions

FIRST_FIELDS = frozenset(
    {
        "name",
        "checkpoint",
        "allow_partial",
        "pretrained",
        "num_classes",
        "in_channels",
        "image_size",
        "patch_size",
        "labels",
    }
)
"""Of a model's request. They are part of the key of every artifact, given or not; a field that came
later is part of it only where it is given, so that what was exported before keeps its key."""
LATER_FIELDS = frozenset({"calibration", "calibration_images", "calibration_seed", "keep_fp32"})
"""Of an export's request: stored, and part of its key, only where they are given."""
ALWAYS_STORED = ("opset", "ir_version")
"""Options that stood in every request before exporters declared theirs. They are part of the key of
every artifact, so they stay there, empty."""


@dataclass(frozen=True)
class ExportResult:
    """One row: the artifact, or why there is none.

    ``reused`` says that the artifact was there already; ``remark`` then tells in what it differs
    from the request, or what was changed in it; and where layers in float were looked for, that it
    takes none. ``parity`` is that of the artifact, with what its
    accuracy says where that was asked for.
    """

    request: ExportRequest
    artifact: Artifact | None
    reused: bool
    seconds: float
    error: DeployBenchError | None = None
    remark: str | None = None
    parity: ParityReport | None = None

    @property
    def accepted(self) -> str:
        """The accuracy that the artifact was accepted by, in words; empty where it was not."""
        return "" if self.parity is None else self.parity.accepted

    @property
    def ok(self) -> bool:
        """Whether there is an artifact, verified wherever this host has a runner for its format, or
        accepted by its accuracy."""
        if self.artifact is None:
            return False
        if self.accepted:
            return True
        return self.artifact.manifest.verified or self.artifact.manifest.parity_runner is None


class ModelRequest(Document):
    """A model with its weights, as the user named them. Paths are absolute."""

    name: str
    checkpoint: str | None = None
    allow_partial: bool = False
    pretrained: bool = False
    num_classes: int | None = None
    in_channels: int | None = None
    image_size: tuple[int, int] | None = None
    patch_size: int | None = None
    labels: str | None = None
    preprocessing: PreprocessingOptions | None = None
    checkpoint_key: str | None = None
    outputs: tuple[str, ...] = ()
    task: str | None = None
    batchnorm_epsilon: float | None = None
    reference_images: tuple[str, ...] = ()

    @model_serializer(mode="wrap")
    def _store_given(self, serialise: SerializerFunctionWrapHandler) -> dict[str, object]:
        """Without the later fields that nobody gave."""
        stored: dict[str, object] = {}
        for name, value in serialise(self).items():
            default = type(self).model_fields[name].default
            if name in FIRST_FIELDS or getattr(self, name) != default:
                stored[name] = value
        return stored

    def build_options(self) -> BuildOptions:
        return BuildOptions(
            num_classes=self.num_classes,
            in_channels=self.in_channels,
            image_size=self.image_size,
            patch_size=self.patch_size,
            pretrained=self.pretrained,
            batchnorm_epsilon=self.batchnorm_epsilon,
        )


class ExportRequest(Document):
    """One export: a model by one exporter."""

    model: ModelRequest
    backend: str
    precision: str = "fp32"
    batch: int | None = None
    options: dict[str, OptionValue] = Field(default_factory=dict)
    threads: int = 1
    target: str | None = None
    calibration: str | None = None
    calibration_images: int | None = None
    calibration_seed: int | None = None
    keep_fp32: tuple[str, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, content: object) -> object:
        """Options are stored flat, beside the fields: what is no field is an option."""
        if not isinstance(content, Mapping):
            return content
        fields = {}
        given = {}
        for name, value in content.items():
            if name in cls.model_fields:
                fields[name] = value
            elif value is not None:
                given[name] = value
        if given:
            fields["options"] = {**fields.get("options", {}), **given}
        return fields

    @model_serializer(mode="wrap")
    def _store_flat(self, serialise: SerializerFunctionWrapHandler) -> dict[str, object]:
        """The options beside the fields; some stand there even when nobody gave them."""
        stored: dict[str, object] = {}
        for name, value in serialise(self).items():
            if name == "options":
                stored |= {**dict.fromkeys(ALWAYS_STORED), **self.options}
            elif name in LATER_FIELDS and getattr(self, name) in (None, ()):
                continue  # what was exported before they came keeps its key
            else:
                stored[name] = value
        return stored

    def spec(self, defaults: Mapping[str, OptionValue] | None = None) -> ExportSpec:
        """What the exporter is told; ``defaults`` are its own for the options that nobody gave."""
        return ExportSpec(
            precision=self.precision,
            batch=self.batch,
            threads=self.threads,
            target=self.target,
            keep_fp32=self.keep_fp32,
            options={**(defaults or {}), **self.options},
        )

    def key(
        self, contents: Mapping[str, str], identity: dict[str, str], versions: dict[str, str]
    ) -> str:
        """The content key: equal requests on equal inputs and versions have equal keys.

        The checkpoint and the user's reference images count by their content (``contents``, hashes
        by option; see ``deploybench.export.identity``), not by their path; labels and task change
        no file that is run; ``identity`` is the model source's and
        the exporter's, ``versions`` those of everything that takes part.
        """
        request = self.model_dump(
            mode="json",
            exclude={
                "threads": True,
                "calibration": True,
                "model": {
                    "checkpoint": True,
                    "checkpoint_key": True,
                    "labels": True,
                    "task": True,
                    "reference_images": True,
                },
            },
        )
        content = {"asked": request, "files": contents, "identity": identity, "versions": versions}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def command(self) -> str:
        """The command that does this export again."""
        batch = "dynamic"
        if self.batch is not None:
            batch = str(self.batch)
        image_size = None
        if self.model.image_size is not None:
            image_size = size_text(self.model.image_size)
        arguments = ["--model", self.model.name, "--backend", self.backend]
        arguments += ["--precision", self.precision, "--batch", batch]
        for output in self.model.outputs:
            arguments += ["--output", output]
        for path in self.model.reference_images:
            arguments += ["--reference-images", path]
        if_given = {
            "--checkpoint": self.model.checkpoint,
            "--checkpoint-key": self.model.checkpoint_key,
            "--num-classes": self.model.num_classes,
            "--in-channels": self.model.in_channels,
            "--image-size": image_size,
            "--patch-size": self.model.patch_size,
            "--batchnorm-epsilon": self.model.batchnorm_epsilon,
            "--labels": self.model.labels,
            "--task": self.model.task,
            "--target": self.target,
            "--calibration": self.calibration,
            "--calibration-images": self.calibration_images,
            "--calibration-seed": self.calibration_seed,
        }
        for option, value in if_given.items():
            if value is not None:
                arguments += [option, str(value)]
        if self.model.preprocessing is not None:
            arguments += self.model.preprocessing.arguments()
        for name, given in self.options.items():
            arguments += ["--option", f"{name}={given}"]
        for pattern in self.keep_fp32:
            arguments += ["--keep-fp32", pattern]
        if self.model.pretrained:
            arguments.append("--pretrained")
        if self.model.allow_partial:
            arguments.append("--allow-partial")
        return shlex.join(["deploybench", "export", *arguments])
