"""The plan of a run: artifacts x runners x batches x precisions = cells; what cannot run is planned
as skipped."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, unfit_for
from deploybench.hardware.devices import CPU, kind_of
from deploybench.hardware.profile import Profile
from deploybench.results.cell import END_TO_END, ENGINE_ONLY, HOST_TO_HOST, Cell

OWN_DISTRIBUTION = "deploybench"
"""Whose runners an older profile's list speaks of."""


@dataclass(frozen=True)
class Planned:
    """One cell with its artifact; ``skip`` says why it will not be run, if it will not."""

    cell: Cell
    artifact: Artifact
    skip: str | None
    remedy: str = ""


@dataclass(frozen=True)
class Sizes:
    """Image sizes (height, width) and lengths of patches in pixels; empty: any."""

    images: tuple[tuple[int, int], ...] = ()
    patches: tuple[int, ...] = ()

    def include(self, artifact: Artifact) -> bool:
        """Whether the artifact has one of the image sizes and one of the patch sizes."""
        shape, model = artifact.manifest.preprocessing, artifact.manifest.model
        image, patch = (
            (shape.height, shape.width),
            model.patch_size or model.arguments.get("patch_size"),
        )
        return (not self.images or image in self.images) and (
            not self.patches or patch in self.patches
        )

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
    cuda_graph: bool = False
    """Whether the runners that can launch CUDA graphs do so."""
    skip: Sequence[str] = ()
    """Shell patterns of MODEL/RUNNER that the user leaves out."""
    devices: Sequence[str] = ()
    """Empty: the profile's device, or the CPU."""

    def devices_for(self, runner: Runner, profile: Profile | None) -> Sequence[str]:
        """Those of the devices that the runner has; all of them where it has none, so that its rows
        say so."""
        asked = self.devices or (profile.device if profile else CPU,)
        return [device for device in asked if kind_of(device) in runner.devices] or asked


def plan_cells(
    artifacts: Sequence[Artifact], selection: Selection, profile: Profile | None
) -> list[Planned]:
    """Every cell of the selection, in the order of the artifacts.

    ``profile`` None is the host itself.

    What one artifact of a model cannot run is no cell where another of the same backend runs it: in
    another precision, or at a free batch size.
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
                    cell = _cell(artifact, entry, device, precision, selection.threads)
                    image = selection.image if timing == END_TO_END else None
                    graph = selection.cuda_graph and entry.plugin.cuda_graphs
                    update = {
                        "batch": batch,
                        "streams": streams,
                        "timing": timing,
                        "image": image,
                        "cuda_graph": graph,
                    }
                    cell = cell.model_copy(update=update)
                    planned.append(_plan_cell(artifact, entry, cell, selection, profile))
    running = {_work_of(one.cell) for one in planned if one.skip is None}
    return [one for one in planned if one.skip is None or _work_of(one.cell) not in running]


def _work_of(cell: Cell) -> Cell:
    """The cell without the artifact that does the work."""
    return cell.model_copy(update={"artifact": None, "artifact_key": None, "form": ""})


def newest_of_each(artifacts: Sequence[Artifact]) -> list[Artifact]:
    """Of artifacts that answer the same request (older versions of a library, say), the newest
    only."""
    newest: dict[tuple[tuple[str, str], ...], Artifact] = {}
    for artifact in artifacts:
        asked = artifact.manifest.request.items()
        slot = tuple(
            sorted(
                (key, str(value)) for key, value in asked if key != "threads" and value is not None
            )
        )
        if slot not in newest or newest[slot].manifest.created < artifact.manifest.created:
            newest[slot] = artifact
    return list(newest.values())


def _cell(
    artifact: Artifact, entry: Entry[Runner], device: str, precision: str, threads: int
) -> Cell:
    manifest = artifact.manifest
    return Cell(
        model=manifest.model.name,
        weights=manifest.weights.label,
        weights_identity=manifest.weights.identity,
        image_size=(manifest.preprocessing.height, manifest.preprocessing.width),
        patch_size=manifest.model.patch_size,
        backend=manifest.backend,
        runner=entry.name,
        device=device,
        precision=precision,
        batch=1,
        threads=threads,
        form=_form(artifact),
        artifact=str(artifact.path),
        artifact_key=manifest.key,
    )


def _plan_cell(
    artifact: Artifact,
    entry: Entry[Runner],
    cell: Cell,
    selection: Selection,
    profile: Profile | None,
) -> Planned:
    left_out = next(
        (p for p in selection.skip if fnmatchcase(f"{cell.model}/{cell.runner}", p)), None
    )
    if left_out is not None:
        return Planned(cell, artifact, f"left out by --skip '{left_out}'")
    reason, remedy = _why_not(artifact, entry, cell, profile)
    return Planned(cell, artifact, reason, remedy)


def _form(artifact: Artifact) -> str:
    """What tells two artifacts of one model and backend apart: precision, batch, GPU and opset."""
    manifest = artifact.manifest
    parts = [manifest.precision, "dynamic" if manifest.batch is None else f"b{manifest.batch}"]
    known = [key for key in ("sm", "opset", "ir_version") if key in manifest.facts]
    return "-".join(parts + [f"{key}{manifest.facts[key]}" for key in known])


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
            f"{cell.streams} streams do not fit into {cell.threads} threads",
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
    if profile is not None and cell.precision not in profile.precisions:
        return profile.why_no(cell.precision), f"precisions: {', '.join(profile.precisions)}"
    offered = runner.precisions_on(cell.device, manifest.precision)
    if not offered:
        return (
            f"{entry.name} runs a {manifest.precision} artifact in no precision that {cell.device} "
            f"computes in",
            "",
        )
    if cell.precision not in offered:
        place = "" if kind_of(cell.device) == CPU else f" on {cell.device}"
        return (
            f"{entry.name} runs a {manifest.precision} artifact{place} in "
            f"{', '.join(sorted(offered))}, "
            f"not {cell.precision}",
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
