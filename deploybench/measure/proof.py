"""Before any clock: the session is what was asked for, and it computes what fp32 eager computed.

Whoever uses an artifact (the clock, a load scenario, an evaluation) proves every session first.
What is refused or fails parity gets no number. An error on the way is told in words by
:func:`failure_of`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.acceptance import Evidence
from deploybench.artifacts.artifact import Artifact, Manifest
from deploybench.artifacts.output_parity import compare_batches
from deploybench.artifacts.parity import ParityReport, loosest
from deploybench.contracts import Arrays, RunOptions, Session
from deploybench.data.feeding import fed
from deploybench.data.postprocess import main_output
from deploybench.data.synthetic import REFERENCE_IMAGES, whole_batches
from deploybench.errors import DeployBenchError, DeviceError
from deploybench.hardware.devices import CPU, kind_of, same_device
from deploybench.hardware.places import cpus_in_words, list_of_cpus
from deploybench.results.launch import Facts
from deploybench.tracebacks import where_its_traceback_is

Array = npt.NDArray[np.float32]
OUT_OF_MEMORY = "out of memory"
OUT_OF_MEMORY_SIGNS = ("outofmemory", "out of memory", "failed to allocate memory")
"""Runtimes have no common type for it; CUDA, PyTorch and ONNX Runtime say one of these."""
MOST_LINES = 3
MOST_CHARACTERS = 400
"""Of an error's message: the cause stands at its beginning, the rest is a stack of the runtime's
own."""


@dataclass(frozen=True)
class Proof:
    """What a session showed.

    ``refused`` says why it is not what was asked for; ``parity`` is None then.
    """

    facts: Facts
    refused: str | None
    parity: ParityReport | None

    @property
    def holds(self) -> bool:
        return self.parity is not None and self.parity.holds


@dataclass(frozen=True)
class Failure:
    """Why nothing came out: ``refused`` by us, or an ``error`` of the runtime or the device."""

    refused: str | None = None
    error: str | None = None


def reference_batches(artifact: Artifact, batch: int) -> list[Arrays]:
    """The reference images as inputs of whole batches.

    Images repeat where they do not fill the last one.
    """
    images, _ = artifact.reference()
    spec = artifact.manifest.inputs[0]
    return [{spec.name: fed(pixels, spec)} for pixels in whole_batches(images, batch)]


def timed_inputs(artifact: Artifact, batch: int) -> Arrays:
    """What is timed: a batch of the first reference images, noise with the statistics of
    photographs.

    The others are there for parity: what a black image takes is no image's usual time.
    """
    images, _ = artifact.reference()
    spec = artifact.manifest.inputs[0]
    return {spec.name: fed(whole_batches(images[:REFERENCE_IMAGES], batch)[0], spec)}


def prove(
    session: Session,
    artifact: Artifact,
    asked: RunOptions,
    batches: Sequence[Arrays],
    evidence: Evidence | None = None,
) -> Proof:
    """Hold the session to the options asked for, and every output of its to the reference.

    It runs on the :func:`reference_batches`. ``asked`` are the options of all streams; the session
    is one of them, in the thread that will run it. ``evidence`` is the accuracy that may take the
    place of parity; None: nothing may.
    """
    # The outputs come before the facts: some runtimes decide at the first call what they really
    # use.
    outputs = [_outputs(session, inputs, artifact.manifest) for inputs in batches]
    facts = _with_calibration(facts_of(session), artifact.manifest)
    refused = fallback(asked, facts)
    if refused is not None:
        return Proof(facts, refused, None)
    precision = loosest(artifact.manifest.precision, asked.precision)
    names = [output.name for output in artifact.manifest.outputs]
    integers = [output.name for output in artifact.manifest.outputs if output.is_integer]
    report = compare_batches(artifact.path, outputs, names, precision, integers=integers)
    return Proof(facts, None, report.weighed(evidence))


def _with_calibration(facts: Facts, manifest: Manifest) -> Facts:
    """What an int8 artifact was calibrated on and in which range, among the notes of its row."""
    if manifest.calibration is None:
        return facts
    notes = [manifest.calibration.words]
    if "int8_range" in manifest.facts:
        notes.append(f"int8 range {manifest.facts['int8_range']}")
    if manifest.kept_fp32:
        notes.append(f"in float: {', '.join(manifest.kept_fp32)}")
    return facts.replaced(notes=(*facts.notes, *notes))


def _outputs(session: Session, inputs: Arrays, manifest: Manifest) -> Arrays:
    """Copies, because a session may reuse its buffers, by the manifest's names.

    The one output of a model may have any name in a format of somebody else's.
    """
    outputs = session.infer(inputs)
    if len(manifest.outputs) == 1:
        return {manifest.outputs[0].name: np.array(main_output(outputs, manifest))}
    return {name: np.array(output) for name, output in outputs.items()}


def fallback(asked: RunOptions, facts: Facts) -> str | None:
    """Why what runs is not what was asked, or None.

    With several streams each session has its share of the threads.
    """
    if facts.precision != asked.precision:
        return f"asked for precision {asked.precision}, {facts.provider} runs {facts.precision}"
    if facts.threads != asked.threads_each:
        return f"asked for threads {asked.threads_each}, {facts.provider} runs {facts.threads}"
    if not same_device(facts.device, asked.device):
        return f"asked for device {asked.device}, {facts.provider} runs {facts.device}"
    for name, value in facts.options.items():
        wanted = getattr(asked, name, value)
        if wanted not in (value, "default"):
            words = name.replace("_", " ")
            return f"asked for {words} {wanted}, {facts.provider} runs {words} {value}"
    return None


def crowded(asked: RunOptions, cpus_of_threads: Sequence[int] | None) -> str | None:
    """Why the threads that were asked for could not run side by side, or None.

    ``cpus_of_threads`` are those on which any thread that worked may run. On the CPU alone: beside
    a GPU one thread waits.
    """
    if kind_of(asked.device) != CPU or not cpus_of_threads:
        return None
    count = len(cpus_of_threads)
    if count >= asked.threads:
        return None
    cpus = ", ".join(str(cpu) for cpu in cpus_of_threads)
    return (
        f"asked for threads {asked.threads}, and what worked may run on no more than {count} CPU "
        f"({cpus}): an affinity mask keeps it there"
    )


def misplaced(pin: Collection[int], cpus: Collection[int] | None) -> str | None:
    """Why what worked was not kept where it was pinned, or None.

    ``cpus`` are those on which it may run. A runtime may keep its threads on some of the pinned
    CPUs; where any of them may leave these, it undid the pinning.
    """
    outside = set(cpus or ()) - set(pin)
    if not pin or not outside:
        return None
    return (
        f"pinned to {cpus_in_words(pin)}, and what worked may also run on "
        f"{list_of_cpus(outside)}: something in the process sets its own affinity "
        f"(--pin none leaves the CPUs to it)"
    )


def thread_limit(environment: Mapping[str, str], asked: RunOptions) -> str | None:
    """Why OpenMP would start fewer threads than asked for, or None.

    The harness clears the variable; code of the user that runs at the start may set it again.
    """
    limit = environment.get("OMP_THREAD_LIMIT", "")
    if kind_of(asked.device) != CPU or not limit.isdigit() or int(limit) >= asked.threads_each:
        return None
    return f"asked for threads {asked.threads_each}, OMP_THREAD_LIMIT={limit} in the worker"


def facts_of(session: Session) -> Facts:
    """What the session says of itself, for the record."""
    facts = session.facts()
    return Facts(
        precision=facts.precision,
        threads=facts.threads,
        provider=facts.provider,
        device=facts.device,
        notes=tuple(facts.notes),
        device_bytes=facts.device_bytes,
        options=dict(facts.options),
        from_cache=facts.from_cache,
        provenance=facts.provenance,
    )


def failure_of(error: Exception) -> Failure:
    """What a worker reports instead of a result.

    Our own refusals are told as they are; what a runtime raised is told by its type and its first
    words.
    """
    if isinstance(error, DeviceError):
        return Failure(error=str(error))
    if isinstance(error, DeployBenchError):
        return Failure(refused=str(error))
    if isinstance(error, MemoryError):
        return Failure(error=OUT_OF_MEMORY)
    cause = type(error).__name__
    if _is_out_of_memory(error):
        cause = OUT_OF_MEMORY
    return Failure(error=f"{cause}: {_first_lines(error)}{where_its_traceback_is(error)}")


def _is_out_of_memory(error: Exception) -> bool:
    text = f"{type(error).__name__} {error}".lower()
    return any(sign in text for sign in OUT_OF_MEMORY_SIGNS)


def _first_lines(error: Exception) -> str:
    lines = str(error).strip().splitlines()[:MOST_LINES]
    text = " ".join(line.strip() for line in lines)
    return text[:MOST_CHARACTERS] or "no message"
