"""From what a fleet run is asked for to its tickets: the cells of a run, for each profile.

What a machine can do is known on that machine alone, so nothing is left out here because this one
cannot: the row says what the node found. Left out is what a profile's kind of device never runs.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path

from pydantic import ValidationError

from deploybench.artifacts.artifact import Artifact, sha256_of_file
from deploybench.artifacts.pack import SUFFIX, write_pack
from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, exporters, runner, runners
from deploybench.errors import DeployBenchError
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.files import slug
from deploybench.fleet.ticket import Look, Ticket, Travelling
from deploybench.hardware.devices import CPU
from deploybench.hardware.host import usable_cores
from deploybench.hardware.profile import HOST, Profile, load_profile
from deploybench.plan.cells import (
    NO_OPTIONS,
    Planned,
    Selection,
    cell_of,
    obeyed_on,
    plan_cells,
)
from deploybench.plan.selection import check_obeyed, runs_on
from deploybench.results.cell import Cell, CellOptions
from deploybench.stacks.stack import PRESENT
from deploybench.untrusted import read_text

COMPILED = ("aotinductor",)
"""Formats that hold code for the processor that they were made on, beside those of one GPU."""


@dataclass(frozen=True)
class Place:
    """A profile that cells are asked for; ``text`` is that of one from a file."""

    name: str
    profile: Profile | None
    text: str | None = None

    @property
    def device(self) -> str:
        return CPU if self.profile is None else self.profile.device


def place_of(asked: str) -> Place:
    """``host``, a built-in profile, or one from a TOML file.

    Raises DeployBenchError for none of these.
    """
    if asked == HOST:
        return Place(HOST, None)
    profile = load_profile(asked)
    text = None
    if asked != profile.name:
        text = read_text(Path(asked))
    return Place(profile.name, profile, text)


def built_on_target() -> frozenset[str]:
    """The formats that do not travel: what is made of them fits the machine that made it."""
    own = {
        name
        for name, entry in exporters().items()
        if entry.plugin is not None and entry.plugin.takes_target
    }
    return frozenset(own | set(COMPILED))


@dataclass
class Tickets:
    """What a plan makes: the tickets, and where the files lie that they name, by SHA-256."""

    tickets: list[Ticket] = field(default_factory=list)
    paths: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Wanted:
    """What a fleet run measures; empty ``runners`` and ``precisions``: all that fit."""

    places: Sequence[Place]
    runners: Sequence[str] = ()
    precisions: Sequence[str] = ()
    batches: Sequence[int] = (1,)
    streams: Sequence[int] = (1,)
    timings: Sequence[str] = ()
    skip: Sequence[str] = ()
    build: Collection[str] = ()
    """Formats that each node makes itself."""
    options: CellOptions = NO_OPTIONS
    environments: Sequence[str] = (PRESENT,)
    """Each cell is measured in each, by the names that the nodes have for them."""


def plan_tickets(
    fleet: str, artifacts: Sequence[Artifact], wanted: Wanted, look: Look, packs: Path
) -> Tickets:
    """A ticket for every cell; the packs are written into ``packs``.

    Raises DeployBenchError where there is nothing to measure, where none of the runners obeys an
    option, or a checkpoint that a node needs is gone.
    """
    _check_options(wanted, look)
    made = Tickets()
    travelling: dict[Path, Travelling] = {}
    for place in wanted.places:
        for cell, artifact in _cells(artifacts, wanted, look, place):
            if artifact.path not in travelling:
                travelling[artifact.path] = _packed(artifact, packs, made.paths)
            pack = travelling[artifact.path]
            made.tickets.append(_ticket(fleet, len(made.tickets), place, cell, look, pack=pack))
        for cell, request in _built_cells(artifacts, wanted, look, place):
            checkpoint = None
            if request.model.checkpoint is not None:
                checkpoint = _checkpoint(Path(request.model.checkpoint), made.paths)
            made.tickets.append(
                _ticket(
                    fleet,
                    len(made.tickets),
                    place,
                    cell,
                    look,
                    built=request,
                    checkpoint=checkpoint,
                )
            )
    if not made.tickets:
        raise DeployBenchError(
            "no cell is left to measure",
            expected="artifacts, and runners that take them on the profiles' devices",
            action="deploybench backends shows which runner takes which format",
        )
    return made


def _ticket(
    fleet: str,
    number: int,
    place: Place,
    cell: Cell,
    look: Look,
    *,
    pack: Travelling | None = None,
    built: ExportRequest | None = None,
    checkpoint: Travelling | None = None,
) -> Ticket:
    parts = (cell.model, cell.runner, cell.precision, f"b{cell.batch}", place.name)
    return Ticket(
        fleet=fleet,
        name=f"{number:05d}-{slug('-'.join(parts))}",
        profile=place.name,
        profile_text=place.text,
        cell=cell,
        look=look,
        pack=pack,
        built=built,
        checkpoint=checkpoint,
    )


def _cells(
    artifacts: Sequence[Artifact], wanted: Wanted, look: Look, place: Place
) -> list[tuple[Cell, Artifact]]:
    """The cells of what travels, with their artifacts."""
    travels = [one for one in artifacts if one.manifest.backend not in wanted.build]
    planned: list[Planned] = []
    for environment in wanted.environments:
        selection = _selection(wanted, look, place, environment)
        planned += plan_cells(travels, selection, place.profile)
    skipped = "left out by --skip"
    return [
        (plan.cell, plan.artifact)
        for plan in planned
        if plan.skip is None or not plan.skip.startswith(skipped)
    ]


def _built_cells(
    artifacts: Sequence[Artifact], wanted: Wanted, look: Look, place: Place
) -> list[tuple[Cell, ExportRequest]]:
    """The cells of what is built on the node, of the models that the artifacts are of.

    They are planned as those of the artifact that the model has here; which artifact it will be is
    known on the node.
    """
    cells = []
    models: dict[str, tuple[ModelRequest, Artifact]] = {}
    for artifact in artifacts:
        request = _request_of(artifact)
        if request is not None:
            models.setdefault(artifact.manifest.weights.identity, (request.model, artifact))
    for entry in entries_of(wanted, place):
        assert entry.plugin is not None
        for backend in sorted(entry.plugin.formats & set(wanted.build)):
            exporter = exporters().get(backend)
            if exporter is None or exporter.plugin is None:
                continue
            for model, artifact in models.values():
                for precision in wanted.precisions or ("fp32",):
                    stored = precision if precision in exporter.plugin.precisions else "fp32"
                    request = ExportRequest(model=model, backend=backend, precision=stored)
                    for batch, environment in product(wanted.batches, wanted.environments):
                        cell = _built_cell(artifact, request, entry.name, precision, batch, place)
                        options = wanted.options.replaced(stack=environment)
                        obeyed = options.obeyed(obeyed_on(entry.plugin, place.device))
                        cells.append((cell.replaced(**obeyed.option_values), request))
    return cells


def _built_cell(
    artifact: Artifact,
    request: ExportRequest,
    runner_name: str,
    precision: str,
    batch: int,
    place: Place,
) -> Cell:
    """As the artifact's own cell, of one that is not made yet."""
    cell = cell_of(
        artifact,
        runner=runner_name,
        device=place.device,
        precision=precision,
        batch=batch,
        threads=usable_cores(),
    )
    return cell.replaced(
        backend=request.backend,
        form=f"{request.precision}-built on the node",
        artifact=None,
        artifact_key=None,
    )


def _check_options(wanted: Wanted, look: Look) -> None:
    """Refuse an option that no runner obeys on any of the profiles' devices."""
    entries = {entry.name: entry for place in wanted.places for entry in entries_of(wanted, place)}
    check_obeyed(
        Selection(
            runners=list(entries.values()),
            batches=wanted.batches,
            precisions=wanted.precisions,
            threads=look.threads or usable_cores(),
            options=wanted.options,
            devices=list(dict.fromkeys(place.device for place in wanted.places)),
        )
    )


def _selection(wanted: Wanted, look: Look, place: Place, environment: str) -> Selection:
    timings = wanted.timings or Selection.timings
    return Selection(
        runners=entries_of(wanted, place),
        batches=wanted.batches,
        precisions=wanted.precisions,
        threads=look.threads or usable_cores(),
        streams=wanted.streams,
        timings=timings,
        options=wanted.options.replaced(stack=environment),
        skip=wanted.skip,
    )


def entries_of(wanted: Wanted, place: Place) -> list[Entry[Runner]]:
    """The named runners, else all that run on that kind of device, usable on this machine or not.

    Raises DeployBenchError for an unknown name, and for one that does not even import here.
    """
    if wanted.runners:
        named = [runner(name) for name in wanted.runners]
        for entry in named:
            if entry.plugin is None:
                entry.require()
        return named
    return [
        entry
        for entry in runners().values()
        if entry.plugin is not None and runs_on(entry.plugin, [place.device])
    ]


def _request_of(artifact: Artifact) -> ExportRequest | None:
    """The export that made the artifact; None of one that was adopted or that no longer reads."""
    try:
        return ExportRequest.model_validate(artifact.manifest.request)
    except ValidationError:
        return None


def _packed(artifact: Artifact, packs: Path, paths: dict[str, Path]) -> Travelling:
    """The artifact in a pack of its own, which is written once."""
    name = f"{slug(artifact.manifest.model.name)}-{artifact.manifest.seal[:16]}{SUFFIX}"
    path = packs / name
    if not path.is_file():
        write_pack([artifact], path)
    return _travelling(path, paths)


def _checkpoint(path: Path, paths: dict[str, Path]) -> Travelling:
    if not path.is_file():
        raise DeployBenchError(
            f"the checkpoint {path} is not there any more",
            expected="the file that the model was exported from: a node builds from it, too",
            action="put it back, or leave the runner out that needs it",
        )
    return _travelling(path, paths)


def _travelling(path: Path, paths: dict[str, Path]) -> Travelling:
    sha256 = sha256_of_file(path)
    paths[sha256] = path
    return Travelling(sha256=sha256, size_bytes=path.stat().st_size, name=path.name)
