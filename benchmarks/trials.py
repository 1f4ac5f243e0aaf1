"""What the programs of this folder share: real launches of an artifact, compared as ``deploybench
run`` does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts.registry import runners
from deploybench.hardware.host import describe_host, load_1m, usable_cores
from deploybench.measure.job import Job
from deploybench.measure.scheduler import run_rounds
from deploybench.measure.stopping import ExperimentRule
from deploybench.results.cell import Cell
from deploybench.results.launch import Launch
from deploybench.runs.experiment import Experiment


def print_host() -> None:
    host = describe_host()
    print(
        f"{host.cpu_model}, {host.usable_cores} cores, {', '.join(host.isa)}; load {load_1m()}; "
        f"{host.versions}\n"
    )


def artifact_for(workspace: Path, model: str, runner: str) -> Artifact:
    """The artifact of ``model`` that ``runner`` runs; ends the program with what to type when there
    is none."""
    formats = runners()[runner].require().formats
    for artifact in Workspace(workspace).artifacts():
        if artifact.manifest.model.name == model and artifact.manifest.backend in formats:
            return artifact
    sys.exit(
        f"{workspace} has no {model} for {runner}: deploybench export --model {model} --backend "
        f"{min(formats)}"
    )


def job_for(artifact: Artifact, runner: str, duration_s: float) -> Job:
    return Job(
        artifact=str(artifact.path),
        runner=runner,
        device="cpu",
        precision="fp32",
        batch=1,
        threads=usable_cores(),
        duration_s=duration_s,
    )


def cell_of(name: str) -> Cell:
    """A cell of nothing but its name: what the experiment needs to tell a baseline from its
    candidates."""
    return Cell(
        model="trial",
        weights="",
        weights_identity="",
        image_size=(1, 1),
        backend="none",
        form="none",
        runner=name,
        device="cpu",
        precision="fp32",
        batch=1,
        threads=2,
        artifact=None,
        artifact_key=None,
    )


def experiment(
    jobs: Sequence[Job],
    names: Sequence[str],
    rule: ExperimentRule,
    seed: int,
    *,
    baseline: str | None = None,
    launch: Callable[[Job], Launch] | None = None,
) -> Experiment:
    """Launch each job, in rounds, until ``rule`` has ended all."""
    trial = Experiment([cell_of(name) for name in names], rule, baseline)
    for finished in run_rounds(jobs, trial.wants_more, seed, launch=launch):
        if not finished.launch.measured:
            sys.exit(f"{names[finished.index]}: {finished.launch.error or finished.launch.refused}")
        trial.add(finished.index, finished.launch)
    return trial
