"""The artifact: a self-contained folder that holds an exported model and all it takes to check it.

Beside the exported files lie ``manifest.json``, which lists them, and ``reference.npz``.
``reference.npz`` holds ``inputs`` (float32, images x channels x height x width, already normalised)
and the fp32 eager outputs on them: ``outputs`` are those of the main output (float32, images x
classes), ``output:NAME`` those of every further one (float32, images x …).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, JsonValue

from deploybench.artifacts.built import Built
from deploybench.artifacts.contents import check_names, check_nothing_else
from deploybench.artifacts.external_data import ONNX_SUFFIX, check_external_data
from deploybench.artifacts.parity import ParityReport
from deploybench.artifacts.task import Task
from deploybench.documents import Document, read_document
from deploybench.errors import DeployBenchError

MANIFEST = "manifest.json"
REFERENCE = "reference.npz"
LABELS = "labels.json"
SIGNATURE = "signature.json"
"""Whose word there is for the artifact (:mod:`deploybench.artifacts.signature`); never packed."""
FURTHER_OUTPUT = "output:"
"""Before the name of an output that is not the main one, in the reference file."""
HASH_CHUNK_BYTES = 1 << 20
Interpolation = Literal["bicubic", "bilinear", "nearest", "lanczos", "box", "hamming"]
CropMode = Literal["center", "squash", "border"]
Color = Literal["rgb", "bgr", "grey"]
Background = Literal["white", "black", "drop"]
Orientation = Literal["apply", "keep"]
PreprocessingPart = Literal["image_size", "crop", "interpolation", "mean", "std"]
PathStep = tuple[Literal["key", "item", "field", "part"], str | int]
"""A step into what a model returns: a dict's key, a tuple's item, an object's field, a part of a
complex number."""
Array = npt.NDArray[np.float32]
MOST_LEFT_SHOWN = 4
"""Of what a checkpoint holds beside the state that was taken."""


class TensorSpec(Document):
    """A named tensor. A dimension is a size, or the word ``batch`` where it is free.

    ``path`` is where an output stands in what the model's own code returns (empty: it is what is
    returned), ``model_dtype`` what it is there: whole numbers are handed out as float32.
    """

    name: str
    dtype: str
    shape: tuple[int | Literal["batch"], ...]
    path: tuple[PathStep, ...] = ()
    model_dtype: str = "float32"

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


class Preprocessing(Document):
    """From an image file to the model's input.

    In this order: read, trim, resize, crop or pad, scale to [0, 1], normalise by channel. Resizing
    and cropping are those of timm's evaluation transform; see ``deploybench.data.preprocess``.
    """

    channels: int
    height: int
    width: int
    crop_fraction: float = Field(
        gt=0, le=2, description="over 1 the image is smaller than the target, and padded with black"
    )
    interpolation: Interpolation
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_mode: CropMode = Field(
        default="center",
        description="the shorter side fits the target / crop_fraction and the centre is cropped; "
        "or both sides are resized to it, whatever their ratio; or the longer side fits it and the "
        "rest is padded with the mean",
    )
    crop_border_pixels: int = Field(
        default=0, ge=0, description="taken off every edge of the image before it is resized"
    )
    color: Color = Field(default="rgb", description="the order of the channels that the model sees")
    window: tuple[float, float] | None = Field(
        default=None,
        description="the values of the file that are black and white; None: what its mode spans",
    )
    background: Background = Field(
        default="white", description="what transparent parts are laid on; drop forgets the alpha"
    )
    orientation: Orientation = Field(
        default="apply", description="whether an image is turned as its EXIF orientation says"
    )
    assumed: tuple[PreprocessingPart, ...] = Field(
        default=(), description="what nobody gave: neither the user nor those who made the weights"
    )


class Weights(Document):
    """Where the weights come from; ``sha256`` is over every tensor's name, shape and bytes.

    Of a checkpoint: ``taken`` is the state in it that was loaded ("" where it is the whole file),
    ``left`` what else there was. ``loaded``, ``missing`` and ``ignored`` count tensors: those of
    the model that were found, those that were not, and those of the state that have no place in
    the model. ``random_parameters`` of the model's ``parameters`` (scalars) were found nowhere.
    """

    kind: Literal["random", "factory", "checkpoint", "pretrained"]
    source: str
    sha256: str
    taken: str = ""
    left: tuple[str, ...] = ()
    loaded: int | None = None
    missing: int = 0
    ignored: int = 0
    random_parameters: int = 0
    parameters: int | None = None
    remarks: tuple[str, ...] = Field(
        default=(), description="what was assumed of the checkpoint, a sentence each"
    )

    @property
    def label(self) -> str:
        if self.kind == "random":
            return "random weights"
        label = f"{self.kind} {Path(self.source).name}"
        if self.taken and self.left:  # which state was taken matters where there was a choice
            label += f" ({self.taken})"
        if self.partly_random:
            label += f", {self.partly_random}"
        return label

    @property
    def random_share(self) -> float:
        """The share of the model's parameters that a partial load left random."""
        if not self.parameters:
            return 0.0
        return self.random_parameters / self.parameters

    @property
    def partly_random(self) -> str:
        """How much of the model a partial load left random, in words; empty for none of it."""
        share = self.random_share
        if not share:
            return ""
        shown = f"{share:.0%}"
        if shown == "0%":
            shown = "less than 1%"
        elif shown == "100%" and share < 1:
            shown = "more than 99%"
        return f"{shown} random"

    @property
    def summary(self) -> str:
        """One sentence on what became of a checkpoint's tensors; empty where there was none."""
        if self.loaded is None:
            return ""
        state = ""
        if self.taken:
            state = f" from {self.taken}"
        parts = [f"{self.loaded} tensors loaded{state}"]
        if self.missing:
            parts.append(f"{self.missing} missing")
        if self.random_parameters:
            parts[-1] += (
                f" ({self.random_parameters} of {self.parameters} parameters are random: "
                f"{self.partly_random})"
            )
        if self.ignored:
            parts.append(f"{self.ignored} ignored")
        if self.left:
            shown = ", ".join(self.left[:MOST_LEFT_SHOWN])
            if len(self.left) > MOST_LEFT_SHOWN:
                shown += f", and {len(self.left) - MOST_LEFT_SHOWN} more"
            parts.append(f"left: {shown}")
        return "; ".join([", ".join(parts), *self.remarks])

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

    def reference(self) -> tuple[Array, Array]:
        """The reference inputs and the fp32 eager outputs on them, of the main output."""
        with np.load(self.path / REFERENCE, allow_pickle=False) as archive:
            return archive["inputs"], archive["outputs"]

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
            labels = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise DeployBenchError(
                f"{path} cannot be read: {error}", action=self._advice_to_export_again()
            ) from None
        named = isinstance(labels, list) and all(isinstance(label, str) for label in labels)
        if not named or len(labels) != classes:
            raise DeployBenchError(
                f"{path} does not hold the names of the classes",
                expected=f"a list of {classes} names",
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


def write_references(folder: Path, images: Array, outputs: Mapping[str, Array]) -> None:
    """Write the reference images and the outputs on them by name, the main output first."""
    main, *further = outputs
    arrays = {"inputs": images, "outputs": outputs[main]}
    for name in further:
        arrays[f"{FURTHER_OUTPUT}{name}"] = outputs[name]
    np.savez(folder / REFERENCE, **arrays)  # type: ignore[arg-type]


def read_references(folder: Path, names: Sequence[str]) -> dict[str, Array]:
    """The outputs of that folder's reference by these names, the first of which is the main one."""
    main, *further = names
    with np.load(folder / REFERENCE, allow_pickle=False) as archive:
        references = {main: archive["outputs"]}
        for name in further:
            references[name] = archive[f"{FURTHER_OUTPUT}{name}"]
    return references


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
