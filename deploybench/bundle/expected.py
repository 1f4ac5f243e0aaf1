"""``expected/``: inputs, and what the artifact answered to them on its runner.

``expected.npz`` holds ``reference:inputs`` and ``sample:inputs`` (float32, images x channels x
height x width, normalised) and ``reference:output:NAME``, ``sample:output:NAME`` (images x …) of
every output. The reference images are the first of the artifact's own, which are built in and never
a user's; the sample is the image ``sample.png``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.acceptance import Evidence
from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.output_parity import MOST_DIFFERENT
from deploybench.artifacts.parity import BUDGETS, MOST_ROUNDINGS, ROUNDING, loosest
from deploybench.bundle.document import BundledOutput
from deploybench.bundle.job import Answered, ExpectedJob
from deploybench.children.processes import ChildOutcome, run_child, run_forked
from deploybench.contracts import Runner
from deploybench.data.references import photograph
from deploybench.data.synthetic import REFERENCE_IMAGES
from deploybench.errors import DeployBenchError
from deploybench.results.cell import Cell

EXPECTED = "expected/expected.npz"
SAMPLE = "expected/sample.png"
WORKER = "deploybench.bundle.worker"
LIMIT_S = 1800.0
Array = npt.NDArray[np.float32]


def inputs_name(kind: str) -> str:
    return f"{kind}:inputs"


def output_name(kind: str, name: str) -> str:
    return f"{kind}:output:{name}"


def stored_images(artifact: Artifact) -> Array:
    """Those of the reference images that go into a bundle."""
    images, _ = artifact.reference()
    return images[:REFERENCE_IMAGES]


def write_sample(artifact: Artifact, path: Path) -> None:
    """A photograph, without loss, large enough for what the preprocessing trims."""
    from PIL import Image

    pixels = photograph()
    border = artifact.manifest.preprocessing.crop_border_pixels
    times = 1 + 4 * border // min(pixels.shape[:2])
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels.repeat(times, axis=0).repeat(times, axis=1)).save(path)


def keep_answers(
    artifact: Artifact, cell: Cell, plugin: Runner, staging: Path, evidence: Evidence | None
) -> Answered:
    """Run the artifact as the cell says in a process of its own, and keep its answers.

    Raises DeployBenchError where it does not answer as fp32 eager did.
    """
    job = ExpectedJob(
        artifact=str(artifact.path.absolute()),
        runner=cell.runner,
        device=cell.device,
        precision=cell.precision,
        batch=cell.batch,
        threads=cell.threads,
        streams=cell.streams,
        evidence=evidence,
        sample=str((staging / SAMPLE).absolute()),
        out=str((staging / EXPECTED).absolute()),
        **cell.option_values,
    )
    outcome = _outcome(job.model_dump_json(), plugin)
    answered = Answered(problem=outcome.error)
    if outcome.reply is not None:
        answered = Answered.model_validate_json(outcome.reply)
    if answered.problem is not None:
        raise DeployBenchError(
            f"{cell.runner} does not answer for {artifact.path} here: {answered.problem}",
            expected="answers within the budget of its precision, as when it was exported",
            action="export it again on this host, or use the versions that its manifest names",
        )
    return answered


def _outcome(job: str, plugin: Runner) -> ChildOutcome:
    if plugin.preload:
        return run_forked(WORKER, job, preload=plugin.preload, time_limit_s=LIMIT_S)
    return run_child(WORKER, job, time_limit_s=LIMIT_S)


def tolerances(artifact: Artifact, cell: Cell, staging: Path) -> tuple[BundledOutput, ...]:
    """Every output with how far another host may be from the stored answers.

    It is what parity allows the precision: a share of the spread of the outputs, and no less than
    what their own roundings take.
    """
    precision = loosest(artifact.manifest.precision, cell.precision)
    found = []
    with np.load(staging / EXPECTED, allow_pickle=False) as stored:
        for output in artifact.manifest.outputs:
            if output.is_integer:
                share = MOST_DIFFERENT[precision]
                found.append(BundledOutput(name=output.name, tolerance=share, whole_numbers=True))
                continue
            values = stored[output_name("reference", output.name)].astype(np.float64)
            allowed = _allowed(values, precision)
            found.append(BundledOutput(name=output.name, tolerance=allowed))
    return tuple(found)


def _allowed(values: npt.NDArray[Any], precision: str) -> float:
    """In the units of the outputs (images, …); see :mod:`deploybench.artifacts.parity`."""
    flat = values.reshape(len(values), -1)
    spread = float(np.median(np.sqrt(np.square(flat - flat.mean()).mean(axis=1))))
    roundings = MOST_ROUNDINGS * ROUNDING[precision] * float(np.abs(flat).max())
    return max(BUDGETS[precision].max_error * spread, roundings)
