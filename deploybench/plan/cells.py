"""The plan of a run: artifacts x runners x batches x precisions = cells.

A cell that cannot run is planned as skipped, with the reason.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product

from deploybench.artifacts.acceptance import Evidence
from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.naming import newest_of_each as newest_of_each
from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, unfit_for
from deploybench.hardware.devices import CPU, kind_of
from deploybench.hardware.precisions import arithmetic
from deploybench.hardware.profile import Profile
from deploybench.plurals import counted
from deploybench.results.cell import (
    END_TO_END,
    ENGINE_ONLY,
    HOST_TO_HOST,
    MIXED,
    Cell,
    CellOptions,
)

NO_OPTIONS = CellOptions()
OWN_DISTRIBUTION = "deploybench"
"""Whose runners an older profile's list speaks of."""

GRAPH_OPTIONS = {
    "slim": "onnxslim",
    "fused": "transformer fusions",
    "reparameterised": "reparameterised",
}
"""Words of a form, by the fact or the argument of the model that says so in the manifest."""


@dataclass(frozen=True)
class Planned:
    """One cell with its artifact; ``skip`` says why it will not be run, if it will not.

    ``evidence`` is the accuracy that may take the place of parity, where that was asked for.
    """

    cell: Cell
    artifact: Artifact
    skip: str | None
    remedy: str = ""
    evidence: Evidence | None = None


@dataclass(frozen=True)
class Sizes:
    """Image sizes (height, width) and lengths of patches in pixels; empty: any."""

    images: tuple[tuple[int, int], ...] = ()
    patches: tuple[int, ...] = ()

    def include(self, artifact: Artifact) -> bool:
        """Whether the artifact has one of the image sizes and one of the patch sizes."""
        shape = artifact.manifest.preprocessing
        model = artifact.manifest.model
        image = (shape.height, shape.width)
        # Older artifacts have the patch size only among the arguments that the model was built by.
        patch = model.patch_size or model.arguments.get("patch_size")
        if self.images and image not in self.images:
            return False
        return not self.patches or patch in self.patches

    def combinations(self) -> Iterator[tuple[tuple[int, int] | None, int | None]]:
        """Every image size with every patch size; None stands for any."""
        return product(self.images or (None,), self.patches or (None,))


@dataclass(frozen=True)
class Selection:
    """What a run was asked for. Empty ``precisions`` means each artifact's own."""

    runners: Sequence[Entry[Runner]]
    batches: Sequence[int]
    precisions: Sequence[str]
    threads: int
    streams: Sequence[int] = (1,)
    timings: Sequence[str] = (HOST_TO_HOST,)
    image: str | None = None
    """What identifies the file that end-to-end cells read."""
    options: CellOptions = NO_OPTIONS
    """Each is asked of the runners that obey it."""
    skip: Sequence[str] = ()
    """Shell patterns of MODEL/RUNNER that the user leaves out."""
    devices: Sequence[str] = ()
    """Empty: the profile's device, or the CPU."""

    def devices_for(self, runner: Runner, profile: Profile | None) -> Sequence[str]:
        """Those of the devices that the runner has.

        All of them where it has none, so that its rows say so.
        """
        devices = self.devices
        if not devices and profile is not None:
            devices = (profile.device,)
        elif not devices:
            devices = (CPU,)
        usable = [device for device in devices if kind_of(device) in runner.devices]
        return usable or devices


def plan_cells(
    artifacts: Sequence[Artifact], selection: Selection, profile: Profile | None
) -> list[Planned]:
    """Every cell of the selection, in the order of the artifacts.

    ``profile`` None is the host itself.

    A model may have several artifacts of one backend, in other precisions or with another batch
    size. Where one of them runs the work, the others do not stand beside it as skipped cells.
    """
    planned = []
    for artifact in artifacts:
        for entry in selection.runners:
            if entry.plugin is None or artifact.manifest.backend not in entry.plugin.formats:
                continue
            for device in selection.devices_for(entry.plugin, profile):
                own = entry.plugin.default_precision(artifact.manifest.precision, device)
                varied = product(
                    selection.precisions or (own,),
                    selection.batches,
                    selection.streams,
                    selection.timings,
                )
                for precision, batch, streams, timing in varied:
                    image = None
                    if timing == END_TO_END:
                        image = selection.image
                    cell = cell_of(
                        artifact,
                        runner=entry.name,
                        device=device,
                        precision=precision,
                        batch=batch,
                        threads=selection.threads,
                        streams=streams,
                        timing=timing,
                        image=image,
                        options=selection.options.obeyed(obeyed_on(entry.plugin, device)),
                    )
                    planned.append(_plan_cell(artifact, entry, cell, selection, profile))
    running = {plan.cell.work for plan in planned if plan.skip is None}
    return [plan for plan in planned if plan.skip is None or plan.cell.work not in running]


def obeyed_on(runner: Runner, device: str) -> frozenset[str]:
    """The options that a cell of the runner on that device may have."""
    return runner.options_on(device) | CellOptions.of_process()


def cell_of(
    artifact: Artifact,
    *,
    runner: str,
    device: str,
    precision: str,
    batch: int,
    threads: int,
    streams: int = 1,
    timing: str = HOST_TO_HOST,
    image: str | None = None,
    options: CellOptions = NO_OPTIONS,
) -> Cell:
    """The cell of an artifact on a runner, as it is asked for."""
    manifest = artifact.manifest
    return Cell(
        model=manifest.model.name,
        weights=manifest.weights.label,
        weights_identity=manifest.weights.identity,
        image_size=(manifest.preprocessing.height, manifest.preprocessing.width),
        patch_size=manifest.model.patch_size,
        backend=manifest.backend,
        form=form_of(artifact),
        runner=runner,
        device=device,
        precision=precision,
        batch=batch,
        threads=threads,
        streams=streams,
        timing=timing,
        image=image,
        artifact=str(artifact.path),
        artifact_key=manifest.key,
        **options.option_values,
    )


def _plan_cell(
    artifact: Artifact,
    entry: Entry[Runner],
    cell: Cell,
    selection: Selection,
    profile: Profile | None,
) -> Planned:
    for pattern in selection.skip:
        if fnmatchcase(f"{cell.model}/{cell.runner}", pattern):
            return Planned(cell, artifact, f"left out by --skip '{pattern}'")
    reason, remedy = _why_not(artifact, entry, cell, profile)
    return Planned(cell, artifact, reason, remedy)


def form_of(artifact: Artifact) -> str:
    """What tells two artifacts of one model and backend apart.

    That is the precision, the batch, the GPU, the opset, how the graph was optimised, and of int8
    how many layers stay in float.
    """
    manifest = artifact.manifest
    parts = [manifest.precision]
    if manifest.batch is None:
        parts.append("dynamic")
    else:
        parts.append(f"b{manifest.batch}")
    for fact in ("sm", "opset", "ir_version"):
        if fact in manifest.facts:
            parts.append(f"{fact}{manifest.facts[fact]}")
    for part, said in GRAPH_OPTIONS.items():
        if said in manifest.facts or said in manifest.model.arguments:
            parts.append(part)
    if manifest.kept_fp32:
        parts.append(f"{MIXED}{len(manifest.kept_fp32)}")
    return "-".join(parts)


def _why_not(
    artifact: Artifact, entry: Entry[Runner], cell: Cell, profile: Profile | None
) -> tuple[str | None, str]:
    """Why the cell cannot run here, with the remedy; (None, "") when it can."""
    manifest, runner = artifact.manifest, entry.plugin
    if runner is None or entry.problem is not None:
        return f"{entry.name} cannot be used here: {entry.problem}", entry.remedy or ""
    if cell.timing == ENGINE_ONLY and not runner.engine_only:
        return f"{entry.name} cannot run on bound inputs", "leave out --engine-only"
    if cell.streams > cell.threads:
        return (
            f"{cell.streams} streams do not fit into {counted(cell.threads, 'thread')}",
            "at least one thread a stream",
        )
    if cell.streams > 1 and kind_of(cell.device) != CPU:
        return (
            f"several streams on a GPU are not measured ({cell.streams} asked for)",
            "leave out --streams",
        )
    unfit = unfit_for(runner, cell.device)
    if unfit is not None:
        return unfit, ""
    if profile is not None:
        built_in = entry.distribution == OWN_DISTRIBUTION
        lacking = profile.why_no_runner(entry.name, built_in=built_in)
        if lacking is not None:
            return lacking, "leave out that --runner"
    computed_in = arithmetic(cell.precision)
    if profile is not None and computed_in not in profile.precisions:
        return profile.why_no(computed_in), f"precisions: {', '.join(profile.precisions)}"
    offered = runner.precisions_on(cell.device, manifest.precision)
    if not offered:
        return (
            f"{entry.name} runs a {manifest.precision} artifact in no precision that {cell.device} "
            f"computes in",
            "",
        )
    if cell.precision not in offered:
        on_device = ""
        if kind_of(cell.device) != CPU:
            on_device = f" on {cell.device}"
        return (
            f"{entry.name} runs a {manifest.precision} artifact{on_device} in "
            f"{', '.join(sorted(offered))}, not {cell.precision}",
            f"ask for --precision {' or '.join(sorted(offered))}",
        )
    if manifest.batch is not None and manifest.batch != cell.batch:
        return (
            f"the artifact has the fixed batch size {manifest.batch}",
            f"{manifest.command} --batch {cell.batch}",
        )
    misfit = runner.misfit(artifact, cell.device, cell.batch)
    if misfit is not None:
        return misfit.found, misfit.action or ""
    return None, ""
