"""The worker of a bundle: one process that loads the artifact as it was measured, proves it, and
keeps its answers.

Run by the parent as ``python -m deploybench.bundle.worker REPLY``.
"""

from __future__ import annotations

import faulthandler
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.artifact import Artifact, Manifest, open_artifact
from deploybench.bundle.expected import inputs_name, output_name, stored_images
from deploybench.bundle.job import Answered, ExpectedJob
from deploybench.children.processes import die_with_parent, finish
from deploybench.contracts import Session
from deploybench.contracts.registry import runner
from deploybench.data.feeding import fed
from deploybench.data.postprocess import main_output
from deploybench.data.preprocess import load_image
from deploybench.data.synthetic import whole_batches
from deploybench.measure.proof import failure_of, prove, reference_batches

Array = npt.NDArray[np.float32]
SILENT_LIMIT_S = 900.0


def main() -> None:
    """Read a job from standard input, write what was found to the path in the first argument."""
    die_with_parent()
    faulthandler.dump_traceback_later(SILENT_LIMIT_S, exit=True)
    job = ExpectedJob.model_validate_json(sys.stdin.read())
    finish(answered(job).model_dump_json())


def answered(job: ExpectedJob) -> Answered:
    """Do the job. Whatever goes wrong is told in the reply."""
    try:
        artifact = open_artifact(Path(job.artifact))
        artifact.check_files()
        return _answered(job, artifact)
    except Exception as error:  # a runtime may raise anything; the refusal carries its words
        failure = failure_of(error)
        return Answered(problem=failure.refused or failure.error)


def _answered(job: ExpectedJob, artifact: Artifact) -> Answered:
    plugin = runner(job.runner).require()
    options = job.run_options
    manifest = artifact.manifest
    with plugin.load(artifact, options) as session:
        session.compile()
        session.prepare_thread()
        batches = reference_batches(artifact, job.batch)
        proof = prove(session, artifact, options, batches, job.evidence)
        problem = proof.refused
        if proof.parity is not None and not proof.parity.holds:
            problem = f"parity: {proof.parity.reason}"
        if problem is not None:
            return Answered(facts=proof.facts, parity=proof.parity, problem=problem)

        arrays: dict[str, Array] = {}
        sample = load_image(Path(job.sample), manifest.preprocessing)[None]
        for kind, images in (("reference", stored_images(artifact)), ("sample", sample)):
            arrays[inputs_name(kind)] = images
            for name, output in _outputs(session, images, job.batch, manifest).items():
                arrays[output_name(kind, name)] = output
    np.savez_compressed(job.out, **arrays)  # type: ignore[arg-type]
    return Answered(facts=proof.facts, parity=proof.parity)


def _outputs(session: Session, images: Array, batch: int, manifest: Manifest) -> dict[str, Array]:
    """The outputs on the images by the manifest's names, each (images, …)."""
    spec = manifest.inputs[0]
    names = [output.name for output in manifest.outputs]
    parts: dict[str, list[Array]] = {name: [] for name in names}
    for pixels in whole_batches(images, batch):
        outputs = session.infer({spec.name: fed(pixels, spec)})
        for name in names:
            output = outputs[name] if len(names) > 1 else main_output(outputs, manifest)
            parts[name].append(np.array(output))
    return {name: np.concatenate(batches)[: len(images)] for name, batches in parts.items()}


if __name__ == "__main__":
    main()
