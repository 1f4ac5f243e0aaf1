"""What may become a bundle. Whatever could not be served exactly as it was measured is refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from deploybench.artifacts.acceptance import Evidence
from deploybench.artifacts.artifact import Artifact
from deploybench.bundle.document import BUNDLE
from deploybench.bundle.process import OPTIONS
from deploybench.contracts import Runner, RunOptions, Serving
from deploybench.data.assumptions import check_prepared
from deploybench.data.image_values import MODES
from deploybench.errors import DeployBenchError
from deploybench.hardware.devices import CPU, kind_of
from deploybench.results.cell import HOST_TO_HOST, Cell
from deploybench.results.record import Record
from deploybench.versions import installed_versions


def check_artifact(artifact: Artifact, records: Sequence[Record]) -> None:
    """Refuse an artifact that is not whole, failed parity, or sees no image files."""
    artifact.check_files()
    manifest = artifact.manifest
    accepted = any(record.parity is not None and record.parity.holds for record in records)
    if manifest.parity is not None and not manifest.verified and not accepted:
        raise DeployBenchError(
            f"{artifact.path} failed parity: {manifest.parity_note}",
            action="export it again, or another precision",
        )
    if manifest.preprocessing.channels not in MODES:
        raise DeployBenchError(
            f"the model takes {manifest.preprocessing.channels} channels",
            expected="1 or 3: a bundle answers image files",
        )
    check_prepared(manifest, manifest.preprocessing)


def check_cell(artifact: Artifact, cell: Cell, plugin: Runner) -> None:
    """Refuse a cell of another artifact, and one that a program of its own would not be."""
    manifest = artifact.manifest
    if cell.artifact_key != manifest.key:
        raise DeployBenchError(
            f"the cell is of the artifact {cell.artifact_key}, and {artifact.path} is "
            f"{manifest.key}",
            expected="the artifact that was measured",
        )
    if manifest.backend not in plugin.formats:
        raise DeployBenchError(
            f"{plugin.name} does not run {manifest.backend} artifacts",
            expected=f"an artifact in {', '.join(sorted(plugin.formats))}",
        )
    if kind_of(cell.device) != CPU:
        raise DeployBenchError(
            f"a bundle for {cell.device}: none is written for GPUs yet, as none was proved on one",
            expected=f"a cell on {CPU}",
            action="deploybench pack carries the artifact to the host, deploybench run measures it",
        )
    if cell.streams != 1:
        raise DeployBenchError(
            f"the cell ran {cell.streams} streams at the same time, and serve.py answers one "
            "image after the other",
            expected="a cell of one stream",
            action="choose one, and start several of its processes",
        )
    if manifest.batch is not None and manifest.batch != cell.batch:
        raise DeployBenchError(
            f"a batch of {cell.batch}, and the artifact has the fixed batch size {manifest.batch}"
        )
    offered = plugin.precisions_on(cell.device, manifest.precision)
    if cell.precision not in offered:
        raise DeployBenchError(
            f"{plugin.name} runs a {manifest.precision} artifact here in "
            f"{', '.join(sorted(offered)) or 'no precision'}, not {cell.precision}"
        )


def run_options(cell: Cell) -> RunOptions:
    """What the cell asks of its runner."""
    options = {field.name: getattr(cell, field.name) for field in fields(RunOptions)}
    return RunOptions(**options)


def serving_of(artifact: Artifact, cell: Cell, plugin: Runner) -> Serving:
    """How the artifact is opened and called.

    Raises DeployBenchError for an option of the cell that would be dropped.
    """
    serving = plugin.serving(artifact, run_options(cell))
    declared = cell.declared()
    for name in cell.chosen_options:
        if name not in serving.options | OPTIONS:
            raise DeployBenchError(
                f"the cell has the option {declared[name].flag} ({declared[name].title}), and "
                f"{plugin.name} does not say how a program of its own would hold to it",
                expected="options that serve.py can set",
                action=f"measure and bundle the cell without {declared[name].flag}",
            )
    return serving


def of_cell(cell: Cell, records: Sequence[Record]) -> list[Record]:
    """The records of that cell, whatever a sample of it spanned."""
    wanted = _without_timing(cell)
    return [record for record in records if _without_timing(record.cell) == wanted]


def _without_timing(cell: Cell) -> Cell:
    # The folder may have been moved; the key says which artifact it is.
    return cell.replaced(timing=HOST_TO_HOST, image=None, artifact=None)


def check_versions(serving: Serving, records: Sequence[Record]) -> None:
    """Refuse to pin other versions than those that the records of the cell were measured with."""
    installed = installed_versions(serving.distributions)
    for record in records:
        for name, measured in record.versions.items():
            if name in installed and installed[name] != measured:
                raise DeployBenchError(
                    f"the cell was measured with {name} {measured}, and {installed[name]} is "
                    "installed: what is written could not be tried",
                    expected=f"{name} {measured}",
                    action=f"pip install {name}=={measured}, or measure the cell again",
                )


def check_quality(artifact: Artifact, quality: Sequence[Record]) -> None:
    """Refuse accuracies of other files, and of images that were prepared in another way."""
    for record in quality:
        found = record.quality
        if found is None:
            raise DeployBenchError(
                f"the record of {record.cell.title()} (run {record.run}) has no quality",
                expected="a record of deploybench evaluate",
            )
        same_key = record.cell.artifact_key == artifact.manifest.key
        same_files = found.artifact_sha256 in ("", artifact.manifest.content_sha256)
        if not (same_key and same_files):
            raise DeployBenchError(
                f"the accuracy of {record.cell.title()} (run {record.run}) is that of other files "
                f"than those of {artifact.path}",
                action="deploybench evaluate this artifact",
            )
        if found.preprocessing:
            raise DeployBenchError(
                f"the accuracy (run {record.run}) was found with {found.preprocessing} beyond what "
                "the artifact says of images, and the bundle would not do that",
                action="export the model with it, and evaluate that",
            )


def evidence_of(records: Sequence[Record]) -> Evidence | None:
    """The accuracy by which the cell was accepted, where parity failed."""
    for record in records:
        if record.parity is not None and record.parity.accepted:
            return record.parity.accuracy
    return None


def check_folder(folder: Path, *, force: bool) -> None:
    """Refuse a folder with something in it; with ``force``, one that holds no bundle."""
    if not folder.exists() and not folder.is_symlink():
        return
    if folder.is_dir() and not any(folder.iterdir()):
        return
    if not folder.is_dir():
        raise DeployBenchError(
            f"{folder} is a file", expected="a folder that is not there yet, or empty"
        )
    is_bundle = (folder / BUNDLE).is_file()
    if force and is_bundle:
        return
    if is_bundle:
        raise DeployBenchError(
            f"{folder} holds a bundle already", action="another --output, or --force to replace it"
        )
    raise DeployBenchError(
        f"{folder} is not empty, and what it holds is no bundle",
        expected="a folder that is not there yet, or empty",
        action="another --output; --force replaces bundles alone",
    )
