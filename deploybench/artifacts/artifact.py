"""The artifact: a self-contained folder that holds an exported model and all it takes to check it.

Beside the exported files lie ``manifest.json``, which lists them, and ``reference.npz``.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import Field, JsonValue

from deploybench.artifacts.adoption import Adoption
from deploybench.artifacts.built import Built
from deploybench.artifacts.calibration import Calibration
from deploybench.artifacts.contents import check_names, check_nothing_else
from deploybench.artifacts.external_data import ONNX_SUFFIX, check_external_data
from deploybench.artifacts.own_images import OwnImages
from deploybench.artifacts.parity import ParityReport
from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.artifacts.references import REFERENCE, Array, read_images, read_references
from deploybench.artifacts.task import Task
from deploybench.artifacts.weights import Weights
from deploybench.documents import Document, read_document_file
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.untrusted import open_regular, read_json

MANIFEST = "manifest.json"
LABELS = "labels.json"
SIGNATURE = "signature.json"
"""Whose word there is for the artifact (:mod:`deploybench.artifacts.signature`); never packed."""
MOST_MANIFEST_BYTES = 4 << 20
"""A manifest has some KiB, and 100 bytes for each file."""
HASH_CHUNK_BYTES = 1 << 20
PathStep = tuple[Literal["key", "item", "field", "part"], str | int]
"""A step into what a model returns: a dict's key, a tuple's item, an object's field, a part of a
complex number."""


class TensorSpec(Document):
    """A named tensor. A dimension is a size, or the word ``batch`` where it is free.

    ``path`` is where an output stands in what the model's own code returns (empty: it is what is
    returned), ``model_dtype`` what it is there: whole numbers are handed out as float32.
    ``layout`` is that of an input: where its channels stand.
    """

    name: str
    dtype: str
    shape: tuple[int | Literal["batch"], ...]
    path: tuple[PathStep, ...] = ()
    model_dtype: str = "float32"
    layout: Literal["nchw", "nhwc"] = "nchw"

    @property
    def is_integer(self) -> bool:
        """Whether the values are whole numbers or truth values: equal, or wrong."""
        return self.model_dtype.startswith(("int", "uint", "bool"))

    def sizes(self, batch: int) -> tuple[int, ...]:
        """The shape at that batch size."""
        sizes = []
        for size in self.shape:
            if size == "batch":
                sizes.append(batch)
            else:
                sizes.append(size)
        return tuple(sizes)


class ModelInfo(Document):
    """The model as it was exported. MACs are multiply-adds of one image; FLOPs are 2 x MACs."""

    name: str
    arguments: dict[str, int | float | str | bool]
    num_classes: int
    parameters: int | None = Field(description="None where an adopted file does not tell")
    macs: int | None
    flops: int | None
    patch_size: int | None = Field(
        default=None, description="pixels, of a transformer whose attention sees all tokens"
    )
    tokens: int | None = None
    macs_uncounted: tuple[str, ...] = Field(
        default=(),
        description="operators that may do multiply-adds and that no formula knows: where there "
        "are any, the MACs are at least those that are given",
    )


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
    assumed: tuple[str, ...] = Field(
        default=(), description="what nobody gave and was taken for granted, in sentences"
    )
    built: Built | None = Field(
        default=None, description="what a factory built, where its name does not decide it"
    )
    task: Task | None = Field(
        default=None, description="what the main output means; None before that was written down"
    )
    own_images: OwnImages | None = Field(
        default=None,
        description="the user's images among the references; None where the built-in ones are all",
    )
    calibration: Calibration | None = Field(
        default=None, description="what an int8 artifact's ranges were found on"
    )
    kept_fp32: tuple[str, ...] = Field(
        default=(), description="layers of an int8 artifact that were asked to stay in float"
    )
    adopted: Adoption | None = Field(
        default=None, description="the foreign file that it was; None for what was exported here"
    )
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
    def verified_words(self) -> str:
        """``verified``, with what that does not cover: an insensitive model, random weights.

        Empty where it is not verified.
        """
        if self.parity is None or not self.parity.passed:
            return ""
        words = ["verified"]
        if self.adopted is not None:
            words = [self.adopted.agreement]
        if self.parity.weak:
            words.append("weakly")
        if self.weights.random_words:
            words.append(self.weights.random_words)
        return ", ".join(words)

    @property
    def content_sha256(self) -> str:
        """Of what is deployed: the names and the hashes of the exported files.

        The key says what was asked for; two exports of one key may still differ in their bytes.
        """
        digest = hashlib.sha256()
        for file in sorted(self.files, key=lambda file: file.path):
            if file.path not in (REFERENCE, LABELS):
                digest.update(f"{file.path} {file.sha256}\n".encode())
        return digest.hexdigest()

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

    def input_dtypes(self) -> dict[str, str]:
        """NumPy's names of the inputs' types, by input name."""
        return {spec.name: spec.dtype for spec in self.manifest.inputs}

    def reference(self) -> tuple[Array, Array]:
        """The reference inputs and the fp32 eager outputs on them, of the main output."""
        main = self.manifest.outputs[0].name
        return read_images(self.path), read_references(self.path, [main])[main]

    def references(self) -> dict[str, Array]:
        """The fp32 eager outputs on the reference inputs by name, the main output first."""
        return read_references(self.path, [output.name for output in self.manifest.outputs])

    def labels(self) -> list[str] | None:
        """The class names in output order, where the exporter knew them."""
        if LABELS not in (file.path for file in self.manifest.files):
            return None  # what is not listed was not exported
        path = self.path / LABELS
        classes = self.manifest.model.num_classes
        try:
            labels = read_json(path)
        except (OSError, ValueError) as error:
            raise DeployBenchError(
                f"{path} cannot be read: {error}", action=self._advice_to_export_again()
            ) from None
        named = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        if not named or len(labels) != classes:
            raise DeployBenchError(
                f"{path} does not hold the names of the classes",
                expected=f"a list of {counted(classes, 'name')}",
                action=self._advice_to_export_again(),
            )
        return list(labels)

    def check_files(self) -> None:
        """Hash every file that the manifest lists, and see that no other is there.

        Raises DeployBenchError that names the first one that differs, is missing, is not listed or
        leads out of the folder, and an ONNX graph that keeps weights in a file that is not listed.
        """
        listed_names = {file.path for file in self.manifest.files}
        check_nothing_else(self.path, listed_names, tolerated=(MANIFEST, SIGNATURE))
        for listed in self.manifest.files:
            path = self.path / listed.path
            if not path.is_file():
                raise DeployBenchError(
                    f"{path} is missing from the artifact",
                    expected=_described(listed),
                    action=self._advice_to_export_again(),
                )
            size = path.stat().st_size
            if size != listed.size_bytes:  # told without a look at the content, however much it is
                raise DeployBenchError(
                    f"{path} was changed or truncated: {counted(size, 'byte')}",
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
        for name in sorted(listed_names):
            if name.endswith(ONNX_SUFFIX):
                check_external_data(self.path / name, name, listed_names)

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
    manifest = read_document_file(
        Manifest,
        manifest_path,
        what="a manifest",
        expected="a manifest of schema version 1",
        action="export the model again",
        most_bytes=MOST_MANIFEST_BYTES,
    )
    if not manifest.intact:
        raise DeployBenchError(
            f"{manifest_path} was edited after it was written, or another version of deploybench "
            f"wrote it",
            expected="the manifest that this deploybench export sealed",
            action=f"export it again: {manifest.command} --force",
        )
    names = [file.path for file in manifest.files]
    check_names(names, reserved=(MANIFEST, SIGNATURE), origin=str(manifest_path))
    # An entry may be a folder of files, as some runtimes want it.
    entries = {entry for name in names for entry in (name, *map(str, PurePosixPath(name).parents))}
    if manifest.entry not in entries:
        raise DeployBenchError(
            f"{manifest_path} names the file '{manifest.entry}' to open, and does not list it",
            expected="one of the files of the artifact",
            action=f"export it again: {manifest.command} --force",
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
    with open_regular(path) as stream:
        while chunk := stream.read(HASH_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _described(file: FileEntry) -> str:
    return f"{file.size_bytes} bytes, sha256 {file.sha256[:12]}…"
