"""Writes a bundle: whole, tried and checked, or not at all."""

from __future__ import annotations

import json
import secrets
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import deploybench
from deploybench.artifacts.artifact import LABELS, Artifact, file_entry
from deploybench.artifacts.references import REFERENCE
from deploybench.artifacts.signature import check_consent
from deploybench.bundle.card import model_card
from deploybench.bundle.checks import (
    check_artifact,
    check_cell,
    check_folder,
    check_quality,
    check_versions,
    evidence_of,
    of_cell,
    serving_of,
)
from deploybench.bundle.container import dockerfile, pins, python_version, requirements
from deploybench.bundle.document import BUNDLE, Bundle, BundledTask
from deploybench.bundle.expected import SAMPLE, keep_answers, tolerances, write_sample
from deploybench.bundle.process import process_of
from deploybench.bundle.serve import MODEL_FOLDER, MODULES, SHIPPED, program
from deploybench.children.family import goes_with_us, scratch_folder
from deploybench.children.processes import allow_children, cause_of_death, child_environment
from deploybench.contracts.registry import runner
from deploybench.data.postprocess import task_in
from deploybench.documents import now
from deploybench.errors import DeployBenchError
from deploybench.files import STAGING_PREFIX
from deploybench.results.cell import Cell
from deploybench.results.record import Record

CHECK_LIMIT_S = 900.0


def write_bundle(
    artifact: Artifact,
    cell: Cell,
    folder: Path,
    *,
    records: Sequence[Record] = (),
    quality: Sequence[Record] = (),
    force: bool = False,
    trust: bool = False,
    command: str | None = None,
) -> Path:
    """Write a folder that serves ``artifact`` as ``cell`` measured it, on its own requirements.

    It holds the model, ``serve.py`` with the cell's options, the preprocessing, answers to compare
    with, pinned requirements, a Dockerfile, the ``records`` of measurements, and a model card.
    ``quality`` are records of evaluations of the artifact. The answers are those of the cell's
    runner in a process of its own; then ``serve.py --check`` is run on what was written.

    ``folder`` has to be new or empty; with ``force`` a bundle there is replaced. ``trust`` and
    ``command`` as elsewhere: the user answers for an artifact that holds code, and what a refusal
    says to type.

    Raises DeployBenchError for what could not be served exactly as it was measured: an option or a
    device that ``serve.py`` would not hold to, other versions than those measured, an artifact that
    failed parity, and where the bundle does not give the runner's answers.
    """
    allow_children()
    check_folder(folder, force=force)
    measured = of_cell(cell, records)
    check_artifact(artifact, measured)
    plugin = runner(cell.runner).require()
    check_cell(artifact, cell, plugin)
    check_quality(artifact, quality)
    if trust or plugin.runs_code:
        if command is None:
            command = shlex.join(["deploybench", "bundle", str(artifact.path), "--trust"])
        check_consent([artifact], trust=trust, command=command)
    serving = serving_of(artifact, cell, plugin)
    check_versions(serving, measured)
    pinned = pins(serving)

    with _staging(folder) as staging:
        _write_model(artifact, staging)
        write_sample(artifact, staging / SAMPLE)
        keep_answers(artifact, cell, plugin, staging, evidence_of(measured))
        _write(staging, "serve.py", program(artifact, cell, serving))
        for module in MODULES:
            shutil.copyfile(SHIPPED / module, staging / module)
        _write(staging, "requirements.txt", requirements(pinned))
        _write(staging, "Dockerfile", dockerfile(serving, process_of(cell.chosen_options)))
        _write_records(staging, records, quality)
        _write(staging, "MODEL_CARD.md", model_card(artifact, cell, pinned, records, quality))
        _write_document(artifact, cell, pinned, staging)
        _check(staging)
        _publish(staging, folder)
    return folder


def _write_model(artifact: Artifact, staging: Path) -> None:
    """The exported files, how images are prepared, and the names of the classes."""
    for listed in artifact.manifest.files:
        if listed.path in (REFERENCE, LABELS):
            continue
        target = staging / MODEL_FOLDER / listed.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(artifact.path / listed.path, target)
    _write(staging, "preprocessing.json", artifact.manifest.preprocessing.model_dump_json(indent=1))
    labels = artifact.labels()
    if labels is not None:
        _write(staging, "classes.json", json.dumps(labels, indent=1))


def _write_records(staging: Path, records: Sequence[Record], quality: Sequence[Record]) -> None:
    """The measurements, under names that hold nothing of others."""
    for kind, several in (("time", records), ("quality", quality)):
        for number, record in enumerate(several, 1):
            name = f"measurements/{kind}-{number}.json"
            _write(staging, name, record.model_dump_json(indent=1))


def _write_document(artifact: Artifact, cell: Cell, pinned: tuple[str, ...], staging: Path) -> None:
    manifest = artifact.manifest
    task = task_in(manifest)
    files = [file_entry(path, staging) for path in sorted(staging.rglob("*")) if path.is_file()]
    document = Bundle(
        created=now(),
        deploybench=deploybench.__version__,
        model=manifest.model.name,
        weights=manifest.weights.label,
        weights_sha256=manifest.weights.sha256,
        artifact_key=manifest.key,
        artifact_sha256=manifest.content_sha256,
        backend=manifest.backend,
        runner=cell.runner,
        precision=cell.precision,
        threads=cell.threads,
        batch=cell.batch,
        options=cell.chosen_options,
        entry=f"{MODEL_FOLDER}/{manifest.entry}",
        input=manifest.inputs[0].name,
        outputs=tolerances(artifact, cell, staging),
        task=BundledTask(kind=task.kind, scores=task.scores),
        python=python_version(),
        requirements=pinned,
        files=tuple(files),
    )
    _write(staging, BUNDLE, document.model_dump_json(indent=1))


def _write(staging: Path, name: str, content: str) -> None:
    path = staging / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, "utf-8")


def _check(staging: Path) -> None:
    """Run the bundle's own check, as its user will."""
    with scratch_folder() as scratch:
        variables = child_environment(scratch, {"PYTHONDONTWRITEBYTECODE": "1"})
        variables.pop("PYTHONSAFEPATH", None)  # the program's own modules lie beside it
        try:
            done = subprocess.run(
                [sys.executable, "serve.py", "--check"],
                cwd=staging,
                env=variables,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=CHECK_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _unlike(f"it took over {CHECK_LIMIT_S:g} s") from None
    if done.returncode == 0:
        return
    wrong = [line for line in done.stdout.splitlines() if line.startswith("wrong: ")]
    if wrong:
        raise _unlike("; ".join(line.removeprefix("wrong: ") for line in wrong))
    raise _unlike(cause_of_death(done.returncode, done.stdout + done.stderr))


def _unlike(why: str) -> DeployBenchError:
    return DeployBenchError(
        f"the bundle does not answer as its runner does: {why}",
        expected="serve.py --check to pass on this host",
        action="nothing was written; please report it, with the command",
    )


@contextmanager
def _staging(folder: Path) -> Iterator[Path]:
    """A folder beside the one that is to be, which goes with everything in it unless it is
    published."""
    target = folder.absolute()
    staging = target.with_name(f"{STAGING_PREFIX}{secrets.token_hex(4)}-{target.name[:40]}")
    try:
        staging.mkdir(parents=True)
        goes_with_us(staging)
        yield staging
    except OSError as error:
        raise DeployBenchError(
            f"{folder} could not be written: {error.strerror or error}",
            action="free some space or choose another --output",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _publish(staging: Path, folder: Path) -> None:
    """Give the folder its name; a bundle that was there goes."""
    target = folder.absolute()
    if target.is_symlink():  # to a folder that was looked into: what it leads to is replaced
        target = target.resolve()
    former = None
    if target.is_dir():
        former = staging.with_name(f"{staging.name}-former")
        target.rename(former)
    staging.rename(target)
    if former is not None:
        shutil.rmtree(former, ignore_errors=True)
