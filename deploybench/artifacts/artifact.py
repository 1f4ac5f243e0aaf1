"""The artifact: a self-contained folder that holds an exported model and all it takes to check it.

Beside the exported files lie ``manifest.json``, which lists them, and ``reference.npz``.
``reference.npz`` holds ``inputs`` (float32, images x channels x height x width, already normalised)
and ``outputs`` (float32, images x classes), the fp32 eager outputs on them, and for each reduced
precision whose cost was measured ``cost:bf16``, say: the outputs with every number rounded to it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, JsonValue

from deploybench.artifacts.cost import COST_PREFIX
from deploybench.artifacts.parity import ParityReport
from deploybench.documents import Document, read_document
from deploybench.errors import DeployBenchError

MANIFEST = "manifest.json"
REFERENCE = "reference.npz"
LABELS = "labels.json"
HASH_CHUNK_BYTES = 1 << 20


class TensorSpec(Document):
    """A named tensor. A dimension is a size, or the word ``batch`` where it is free."""

    name: str
    dtype: str
    shape: tuple[int | Literal["batch"], ...]

    def sizes(self, batch: int) -> tuple[int, ...]:
        """The shape at that batch size."""
        sizes = []
        for size in self.shape:
            if size == "batch":
                sizes.append(batch)
            else:
                sizes.append(size)
        return tuple(sizes)


class Preprocessing(Document):
    """From an image file to the model's input.

    In this order: resize, centre crop, scale to [0, 1], normalise by channel.
    """

    channels: int
    height: int
    width: int
    crop_fraction: float = Field(gt=0, le=1)
    interpolation: Literal["bicubic", "bilinear", "nearest"]
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Weights(Document):
    """Where the weights come from; ``sha256`` is over every tensor's name, shape and bytes."""

    kind: Literal["random", "factory", "checkpoint", "pretrained"]
    source: str
    sha256: str

    @property
    def label(self) -> str:
        if self.kind == "random":
            return "random weights"
        return f"{self.kind} {Path(self.source).name}"

    @property
    def identity(self) -> str:
        """Equal for the same weights.

        Random ones count by their seed: rescaling them rounds differently elsewhere.
        """
        if self.kind == "random":
            return f"random {self.source}"
        return self.sha256


class ModelInfo(Document):
    """The model as it was exported. MACs are multiply-adds of one image; FLOPs are 2 x MACs."""

    name: str
    arguments: dict[str, int | float | str | bool]
    num_classes: int
    parameters: int
    macs: int | None
    flops: int | None
    patch_size: int | None = Field(
        default=None, description="pixels, of a transformer whose attention sees all tokens"
    )
    tokens: int | None = None


class FileEntry(Document):
    path: str
    size_bytes: int
    sha256: str


class Manifest(Document):
    """Everything about an artifact that a target host has to know. Written once, never changed."""

    schema_version: Literal[1] = 1
    key: str
    backend: str
    precision: str
    batch: int | None = Field(
        description="fixed batch size; None where the batch dimension is free"
    )
    model: ModelInfo
    weights: Weights
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    preprocessing: Preprocessing
    entry: str
    facts: dict[str, str | int]
    files: tuple[FileEntry, ...]
    versions: dict[str, str]
    parity: ParityReport | None
    parity_note: str
    parity_runner: str | None
    export_s: float
    created: str
    command: str
    request: dict[str, JsonValue]
    seal: str = Field(default="", description="sha256 over the manifest without this field")

    def sealed(self) -> Manifest:
        """The same manifest with the seal that belongs to its content."""
        content = self.model_dump_json(exclude={"seal"})
        return self.replaced(seal=hashlib.sha256(content.encode()).hexdigest())

    @property
    def intact(self) -> bool:
        """Whether the seal belongs to what was read.

        An older version sealed the fields that it knew: those that were not in the file have no
        part in its seal.
        """
        content = self.model_dump_json(exclude={"seal"}, exclude_unset=True)
        return self.seal == hashlib.sha256(content.encode()).hexdigest()

    @property
    def verified(self) -> bool:
        return self.parity is not None and self.parity.passed

    @property
    def size_bytes(self) -> int:
        """The size of what is deployed: the exported files without the reference and the labels."""
        return sum(file.size_bytes for file in self.files if file.path not in (REFERENCE, LABELS))


@dataclass(frozen=True)
class Artifact:
    """An artifact on disk."""

    path: Path
    manifest: Manifest

    @property
    def entry(self) -> Path:
        """The file that a runner opens."""
        return self.path / self.manifest.entry

    def batch_shape(self, batch: int) -> dict[str, tuple[int, ...]]:
        """The input shapes for a batch size, by input name."""
        return {spec.name: spec.sizes(batch) for spec in self.manifest.inputs}

    def reference(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """The reference inputs and the fp32 eager outputs on them."""
        with np.load(self.path / REFERENCE, allow_pickle=False) as archive:
            return archive["inputs"], archive["outputs"]

    def rounded_outputs(self, precision: str) -> npt.NDArray[np.float32] | None:
        """The eager outputs with every number rounded to that precision.

        None where they were not measured: by an older version, or for a precision without a cost.
        """
        with np.load(self.path / REFERENCE, allow_pickle=False) as archive:
            name = COST_PREFIX + precision
            if name not in archive:
                return None
            rounded: npt.NDArray[np.float32] = archive[name]
            return rounded

    def labels(self) -> list[str] | None:
        """The class names in output order, where the exporter knew them."""
        path = self.path / LABELS
        if not path.exists():
            return None
        labels: list[str] = json.loads(path.read_text())
        return labels

    def check_files(self) -> None:
        """Hash every file that the manifest lists.

        Raises DeployBenchError that names the first one that differs or is missing.
        """
        for listed in self.manifest.files:
            path = self.path / listed.path
            if not path.is_file():
                raise DeployBenchError(
                    f"{path} is missing from the artifact",
                    expected=_described(listed),
                    action=self._advice_to_export_again(),
                )
            present = file_entry(path, self.path)
            if present != listed:
                raise DeployBenchError(
                    f"{path} was changed or truncated: {_described(present)}",
                    expected=_described(listed),
                    action=self._advice_to_export_again(),
                )

    def _advice_to_export_again(self) -> str:
        # WORKSPACE/artifacts/MODEL/ARTIFACT, unless somebody copied the folder elsewhere.
        folders = self.path.absolute().parents
        workspace = folders[min(2, len(folders) - 1)]
        return f"export it again: {self.manifest.command} --workspace {workspace} --force"


def open_artifact(path: Path) -> Artifact:
    """Read an artifact's manifest; its files are checked by :meth:`Artifact.check_files`.

    Raises DeployBenchError when the folder is no artifact or its manifest does not parse.
    """
    manifest_path = path / MANIFEST
    if not manifest_path.is_file():
        raise DeployBenchError(
            f"{path} is no artifact: it has no {MANIFEST}",
            expected="a folder that deploybench export wrote",
            action="deploybench export --model NAME",
        )
    manifest = read_document(
        Manifest,
        manifest_path.read_bytes(),
        origin=str(manifest_path),
        what="a manifest",
        expected="a manifest of schema version 1",
        action="export the model again",
    )
    if not manifest.intact:
        raise DeployBenchError(
            f"{manifest_path} was edited after it was written, or another version of deploybench "
            f"wrote it",
            expected="the manifest that this deploybench export sealed",
            action=f"export it again: {manifest.command} --force",
        )
    for name in (manifest.entry, *(file.path for file in manifest.files)):
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
            raise DeployBenchError(
                f"{manifest_path} names the file '{name}'", expected="files inside the artifact"
            )
    return Artifact(path, manifest)


def whole_artifact(path: Path) -> Artifact | None:
    """The artifact in that folder, if it is there and no file of it is missing or changed."""
    try:
        artifact = open_artifact(path)
        artifact.check_files()
    except DeployBenchError:
        return None
    return artifact


def file_entry(path: Path, root: Path) -> FileEntry:
    """The size and hash of a file, named relative to ``root``."""
    return FileEntry(
        path=path.relative_to(root).as_posix(),
        size_bytes=path.stat().st_size,
        sha256=sha256_of_file(path),
    )


def sha256_of_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _described(file: FileEntry) -> str:
    return f"{file.size_bytes} bytes, sha256 {file.sha256[:12]}…"
