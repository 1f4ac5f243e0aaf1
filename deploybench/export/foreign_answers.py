"""What a foreign file answers on the reference images, and what its outputs are.

The sizes and types of the outputs are those that are seen when it runs, whatever the file says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.arrays import read_arrays
from deploybench.artifacts.artifact import Artifact, Manifest, TensorSpec
from deploybench.artifacts.output_parity import compare_all
from deploybench.artifacts.references import Array
from deploybench.contracts import Arrays, ForeignFile, ForeignTensor, Runner, RunOptions
from deploybench.data.feeding import fed
from deploybench.data.references import telling_inputs
from deploybench.data.synthetic import whole_batches
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.export.foreign_input import Feed
from deploybench.files import from_here
from deploybench.hardware.devices import CPU, CUDA
from deploybench.measure.proof import failure_of

NO_TENSORS = ("sequence", "map", "optional", "sparse_tensor", "no tensor", "string")
"""Kinds of outputs that hold no numbers."""
SEVERAL = 2
"""Images at once, by which a free batch is tried."""
THREADS = 1
"""The answers must not depend on how many threads there happen to be."""


@dataclass(frozen=True)
class Answers:
    """The reference images (images, channels, height, width) and the answers on them by output
    (images, …), float32; ``dtypes`` are what the outputs are in the file."""

    images: Array
    outputs: Mapping[str, Array]
    dtypes: Mapping[str, str]


def outputs_told(
    plugin: Runner, file: Path, foreign: ForeignFile, feed: Feed, asked: Sequence[str]
) -> tuple[tuple[TensorSpec, ...], tuple[str, ...]]:
    """The outputs to keep, the main one first, and a sentence for each that is left out.

    Raises DeployBenchError for one that was asked for and is not there, and where none is left.
    """
    told = foreign.outputs
    if not told:
        told = _by_a_call(plugin, file, feed)
    kept: list[ForeignTensor] = []
    left_out = []
    for tensor in told:
        if tensor.dtype in NO_TENSORS:
            left_out.append(f"left out of the artifact: {tensor.name} ({tensor.dtype})")
        else:
            kept.append(tensor)
    if asked:
        by_name = {tensor.name: tensor for tensor in kept}
        for name in asked:
            if name not in by_name:
                raise unknown_name("output", name, by_name)
        kept = [by_name[name] for name in asked]
    elif len(kept) > 1:
        kept.sort(key=lambda tensor: not _looks_like_scores(tensor))
    if not kept:
        raise DeployBenchError(
            "no output is an array of numbers: "
            + ", ".join(f"{tensor.name} ({tensor.dtype})" for tensor in told),
            expected="at least one output of numbers",
            action="export the model without what makes lists or names of its answer",
        )
    specs = [
        TensorSpec(name=tensor.name, dtype="float32", shape=("batch",), path=tensor.path)
        for tensor in kept
    ]
    return tuple(specs), tuple(left_out)


def loaded_and_run(plugin: Runner, artifact: Artifact) -> Answers:
    """The file's own answers. Raises DeployBenchError where it does not run."""
    images = _images(artifact.manifest)
    try:
        outputs = _run(plugin, artifact, images, artifact.manifest.batch or 1)
    except Exception as error:  # a runtime may raise anything
        raise _does_not_run(plugin, artifact, error) from None
    dtypes = {name: str(array.dtype) for name, array in outputs.items()}
    for name, array in outputs.items():
        if array.dtype.kind not in "fiub":
            raise DeployBenchError(
                f"the output '{name}' is {array.dtype}", expected="numbers or truth values"
            )
    return Answers(images, _as_floats(outputs), dtypes)


def answers_of(plugin: Runner, artifact: Artifact, own: Answers) -> Answers:
    """Another runtime's answers on the same images."""
    try:
        outputs = _run(plugin, artifact, own.images, artifact.manifest.batch or 1)
    except Exception as error:
        raise _does_not_run(plugin, artifact, error) from None
    return Answers(own.images, _as_floats(outputs), own.dtypes)


def answers_of_artifact(original: Artifact, own: Answers) -> Answers:
    """The answers that another artifact is held to, of the outputs that both have."""
    images, _ = original.reference()
    kept = {name: array for name, array in original.references().items() if name in own.outputs}
    return Answers(images, kept, own.dtypes)


def answers_in_file(path: Path, manifest: Manifest, own: Answers) -> Answers:
    """Inputs and answers that came in a ``.npz``: what the model answered where it was trained.

    ``inputs``, or the input's own name, is as the file takes it; ``outputs`` is the main output,
    or each is under its own name. Raises DeployBenchError for what does not go together.
    """
    shown = from_here(path)
    arrays = read_arrays(path)
    spec = manifest.inputs[0]
    given = arrays.get(spec.name, arrays.get("inputs"))
    if given is None:
        raise DeployBenchError(
            f"{shown} holds {', '.join(arrays) or 'nothing'}",
            expected=f"the inputs under the name inputs or {spec.name}, as the file takes them",
        )
    expected_shape = (len(given), *spec.sizes(1)[1:])
    if given.ndim != 4 or given.shape != expected_shape or not len(given):
        raise DeployBenchError(
            f"the inputs in {shown} are {given.shape}",
            expected=f"images x {' x '.join(map(str, expected_shape[1:]))}",
        )
    images = given.astype(np.float32)
    if spec.layout == "nhwc":
        images = images.transpose(0, 3, 1, 2)
    outputs: dict[str, Array] = {}
    for index, output in enumerate(manifest.outputs):
        array = arrays.get(output.name)
        if array is None and index == 0:
            array = arrays.get("outputs")
        if array is None:
            continue
        like = own.outputs[output.name]
        if array.shape != (len(given), *like.shape[1:]):
            raise DeployBenchError(
                f"the output {output.name} in {shown} is {array.shape}",
                expected=f"{(len(given), *like.shape[1:])}: a row for each input",
            )
        outputs[output.name] = array.astype(np.float32)
    main = manifest.outputs[0].name
    if main not in outputs:
        raise DeployBenchError(
            f"{shown} holds {', '.join(arrays)}",
            expected=f"the answers under the name outputs or {main}",
        )
    return Answers(np.ascontiguousarray(images), outputs, own.dtypes)


def fixed_batch(plugin: Runner, artifact: Artifact) -> tuple[Manifest, tuple[str, ...]]:
    """The manifest with the batch size fixed to 1 where a free one does not work, and a sentence.

    Tracers leave the first dimension free and write the size of their example into the graph.
    """
    manifest = artifact.manifest
    if manifest.batch is not None:
        return manifest, ()
    images = _images(manifest)[:SEVERAL]
    why = ""
    try:
        several = _run(plugin, artifact, images, SEVERAL)
    except Exception as error:
        failure = failure_of(error)
        why = failure.refused or failure.error or "it does not run"
    else:
        alone = loaded_and_run(plugin, artifact)
        kept = {
            name: alone.outputs[name][:SEVERAL]
            for name, array in several.items()
            if len(array) == SEVERAL and len(alone.outputs[name]) >= SEVERAL
        }
        if kept:
            report = compare_all(kept, _as_floats(several), manifest.precision)
            if not report.passed:
                why = f"it answers otherwise on {SEVERAL} images at once ({report.reason})"
    if not why:
        return manifest, ()
    inputs = tuple(spec.replaced(shape=(1, *spec.shape[1:])) for spec in manifest.inputs)
    fixed = manifest.replaced(batch=1, inputs=inputs)
    return fixed, (f"batch: fixed to 1, although the file leaves it free: {why}",)


def _run(
    plugin: Runner, artifact: Artifact, images: Array, batch: int
) -> dict[str, npt.NDArray[Any]]:
    """The outputs on the images by name, in the file's own types."""
    manifest = artifact.manifest
    spec = manifest.inputs[0]
    device = CPU if CPU in plugin.devices else CUDA
    options = RunOptions(
        device=device,
        threads=THREADS,
        precision=plugin.default_precision(manifest.precision, device),
        batch=batch,
    )
    parts: list[Arrays] = []
    with plugin.load(artifact, options) as session:
        session.prepare_thread()
        for pixels in whole_batches(images, batch):
            outputs = session.infer({spec.name: fed(pixels, spec)})
            parts.append({name: np.array(array) for name, array in outputs.items()})
    joined: dict[str, npt.NDArray[Any]] = {}
    for name in parts[0]:
        arrays = [part[name] for part in parts]
        if any(array.ndim == 0 for array in arrays):
            joined[name] = arrays[0].reshape(1)
            continue
        by_image = all(len(array) == batch for array in arrays)
        joined[name] = np.concatenate(arrays)[: len(images)] if by_image else arrays[0]
    return joined


def _images(manifest: Manifest) -> Array:
    """The reference images, with the numbers that the input's type can hold."""
    spec = manifest.inputs[0]
    images = telling_inputs(manifest.preprocessing)
    if np.dtype(spec.dtype).kind in "ui":
        images = np.rint(images)
    return images


def _as_floats(outputs: Mapping[str, npt.NDArray[Any]]) -> dict[str, Array]:
    return {name: array.astype(np.float32) for name, array in outputs.items()}


def _by_a_call(plugin: Runner, file: Path, feed: Feed) -> tuple[ForeignTensor, ...]:
    example = np.zeros(feed.sizes(feed.batch or 1), np.dtype(feed.dtype))
    return plugin.outputs_of(file, {feed.name: example})


def _looks_like_scores(tensor: ForeignTensor) -> bool:
    """A row of numbers an image: what most models put out that put out anything else as well."""
    shape = tensor.shape
    return shape is not None and len(shape) == 2 and shape[1] != 1 and "int" not in tensor.dtype


def _does_not_run(plugin: Runner, artifact: Artifact, error: Exception) -> DeployBenchError:
    if isinstance(error, DeployBenchError):
        return error
    failure = failure_of(error)
    spec = artifact.manifest.inputs[0]
    shape = " x ".join(map(str, spec.shape))
    return DeployBenchError(
        f"{plugin.name} does not run {artifact.manifest.entry} on {spec.dtype} images {shape}: "
        f"{failure.error or failure.refused}",
        expected="a file that this runtime runs, fed as it was said",
        action="--layout, --image-size and --in-channels say how it is fed; deploybench backends "
        "lists the versions here",
    )
