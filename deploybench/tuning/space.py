"""Where a tuning looks: every exporter in every precision that it writes, on every runner that runs
it; and what is tried beside the defaults on those that lead.

Nothing is named here: formats, precisions and options are what the plug-ins say of themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Runner
from deploybench.contracts.registry import Entry, exporters, reference_runner, runners
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.export.order import ExportOrder, requests_of
from deploybench.export.request import ExportRequest
from deploybench.hardware.allocators import check_allocator, check_huge_pages
from deploybench.hardware.devices import CPU, kind_of
from deploybench.hardware.host import Host
from deploybench.hardware.precisions import INT8_WEIGHTS, RUN, cpu_lacking
from deploybench.hardware.profile import Profile
from deploybench.plan.cells import Planned, Selection, obeyed_on, plan_cells
from deploybench.results.cell import BASELINE_PRECISION, Cell
from deploybench.tuning.request import TuneRequest
from deploybench.tuning.worth_trying import WORTH_TRYING, Value

INT8 = "int8"
NAME_LETTERS = 12
BY_SIZE = ("memory", "size")
"""Objectives by which a smaller file that is computed as another one may be the better one."""


@dataclass(frozen=True)
class Form:
    """What an artifact has to be."""

    backend: str
    precision: str


@dataclass(frozen=True)
class Space:
    """What is exported; ``left_out`` says of each form or precision that is not tried why."""

    forms: tuple[Form, ...]
    left_out: Mapping[str, str]


def name_of(cell: Cell) -> str:
    """What tells configurations apart, in any folder and at any time: a short hash."""
    identity = repr((cell.artifact_key, *cell.identity))
    return hashlib.sha256(identity.encode()).hexdigest()[:NAME_LETTERS]


def space_of(request: TuneRequest, selection: Selection, host: Host) -> Space:
    """The forms that the runners of the selection run here.

    Raises DeployBenchError for a backend that nobody knows, and where nothing is left.
    """
    for name in request.backends:
        if name not in exporters():
            raise unknown_name("backend", name, exporters())
    left_out = _lacking(request, selection, host)
    forms: list[Form] = []
    for name, entry in exporters().items():
        if request.backends and name not in request.backends:
            continue
        named = name in request.backends
        if entry.plugin is None or not entry.usable:
            if named or entry.plugin is None or entry.plugin.by_default:
                left_out[name] = f"{name} cannot be used here: {entry.problem}"
            continue
        if not (named or entry.plugin.by_default):
            continue
        running = [one for one in selection.runners if _runs(one, name)]
        if not running:
            if named:
                left_out[name] = f"{name}: no runner of this tuning runs it"
            continue
        for precision in RUN:
            if precision not in entry.plugin.precisions:
                continue
            if precision != BASELINE_PRECISION and precision in left_out:
                continue
            form = Form(name, precision)
            if any(_computed(form, one, request, selection, left_out) for one in running):
                forms.append(form)
    if not forms:
        reasons = "; ".join(left_out.values()) or "no exporter here writes what a runner runs"
        raise DeployBenchError(
            f"nothing to tune: {reasons}",
            expected="an exporter and a runner of its format",
            action="deploybench backends says what is here",
        )
    return Space(tuple(forms), left_out)


def configurations(request: TuneRequest, selection: Selection, space: Space) -> int:
    """How many configurations the space has, before anything is exported."""
    count = 0
    for form in space.forms:
        for entry in selection.runners:
            if _runs(entry, form.backend):
                count += len(_computed(form, entry, request, selection, space.left_out))
    return count


def _lacking(request: TuneRequest, selection: Selection, host: Host) -> dict[str, str]:
    """The precisions that are not tried, with the reasons."""
    if any(kind_of(device) != CPU for device in selection.devices):
        return {}
    lacking = cpu_lacking(host.isa)
    return {
        precision: f"{precision}: {reason}"
        for precision, reason in lacking.items()
        if precision not in request.precisions
    }


def _runs(entry: Entry[Runner], backend: str) -> bool:
    return entry.plugin is not None and entry.usable and backend in entry.plugin.formats


def _computed(
    form: Form,
    entry: Entry[Runner],
    request: TuneRequest,
    selection: Selection,
    left_out: Collection[str],
    *,
    named: bool = False,
) -> frozenset[str]:
    """The precisions in which a runner is tried on an artifact of that form.

    A runner that casts gets each of them from the fp32 artifact. Another artifact of the same
    format is tried where it gives what that one does not; by its size, also where it is smaller;
    and where the user ``named`` it. Weights of 8 bits alone save room, not products: they are tried
    where room counts, or by name.
    """
    runner = entry.plugin
    assert runner is not None  # only those that loaded are asked
    wanted: set[str] = set()
    for device in selection.devices:
        offered = set(runner.precisions_on(device, form.precision))
        if form.precision != BASELINE_PRECISION:
            offered &= {runner.default_precision(form.precision, device)}
            smaller = request.objective.value in BY_SIZE
            if not (named or smaller) and _writes_fp32(form.backend):
                offered -= runner.precisions_on(device, BASELINE_PRECISION)
            if form.precision == INT8_WEIGHTS and not (named or _wants_small_weights(request)):
                offered.clear()
        wanted |= offered
    wanted -= {one for one in wanted if one in left_out}
    if request.precisions:
        wanted &= set(request.precisions)
    return frozenset(wanted)


def _wants_small_weights(request: TuneRequest) -> bool:
    """Whether room decides, or may, or int8-weights was asked for by name."""
    if request.objective.value in BY_SIZE or request.memory_limit_bytes is not None:
        return True
    return INT8_WEIGHTS in request.precisions


def _writes_fp32(backend: str) -> bool:
    entry = exporters().get(backend)
    return entry is not None and entry.plugin is not None and "fp32" in entry.plugin.precisions


def exports_of(request: TuneRequest, space: Space, calibration: str | None) -> list[ExportRequest]:
    """The exports of the forms, and that of fp32 eager, which all others are held against.

    ``calibration`` are the images for int8; None: there are none.
    """
    forms = list(space.forms)
    eager = eager_form()
    if eager is not None:
        # First: where the time for exports ends before it, nothing can be held against it.
        forms = [eager, *(form for form in forms if form != eager)]
    found: list[ExportRequest] = []
    for form in forms:
        order = ExportOrder(
            models=[request.model],
            backends=[form.backend],
            precisions=[form.precision],
            image_sizes=[] if request.image_size is None else [request.image_size],
            patch_sizes=[] if request.patch_size is None else [request.patch_size],
            checkpoint=request.checkpoint,
            checkpoint_key=request.checkpoint_key,
            pretrained=request.pretrained,
            num_classes=request.num_classes,
            in_channels=request.in_channels,
            labels=request.labels,
            task=request.task,
            profile=request.profile,
        )
        for wanted in requests_of(order):
            found.append(_calibrated(wanted, calibration))
    return found


def eager_form() -> Form | None:
    """What fp32 eager runs; None where no runner here runs a model as its author wrote it."""
    name = reference_runner()
    if name is None:
        return None
    plugin = runners()[name].plugin
    if plugin is None or not runners()[name].usable:
        return None
    for backend in sorted(plugin.formats & exporters().keys()):
        return Form(backend, BASELINE_PRECISION)
    return None


def takes_calibration() -> bool:
    """Whether an export can be told which images to calibrate on."""
    return "calibration" in ExportRequest.model_fields


def _calibrated(wanted: ExportRequest, calibration: str | None) -> ExportRequest:
    if wanted.precision != INT8 or calibration is None or not takes_calibration():
        return wanted
    return wanted.replaced(calibration=calibration)


def planned_cells(
    artifacts: Sequence[Artifact],
    request: TuneRequest,
    selection: Selection,
    space: Space | None,
    profile: Profile | None = None,
) -> list[Planned]:
    """A cell for each configuration; those that cannot run here are skipped ones.

    ``space`` None: the artifacts were named, and each runs in what its runners offer.
    """
    left_out: Collection[str] = ()
    if space is not None:
        left_out = space.left_out
    planned: list[Planned] = []
    for artifact in artifacts:
        manifest = artifact.manifest
        form = Form(manifest.backend, manifest.precision)
        only_eager = space is not None and form not in space.forms
        for entry in selection.runners:
            if not _runs(entry, manifest.backend):
                continue
            if only_eager and not (entry.plugin and entry.plugin.reference):
                continue
            precisions = _computed(form, entry, request, selection, left_out, named=space is None)
            for precision in sorted(precisions, key=RUN.index):
                one = replace(selection, runners=[entry], precisions=[precision])
                planned += plan_cells([artifact], one, profile)
    return planned


def fp32_eager_of(planned: Sequence[Planned]) -> Planned | None:
    """The cell that stands for fp32 eager."""
    name = reference_runner()
    for plan in planned:
        cell = plan.cell
        if plan.skip is None and cell.runner == name and cell.precision == BASELINE_PRECISION:
            return plan
    return None


def variants_of(plan: Planned, *, streams: bool) -> Iterator[Planned]:
    """The same configuration with one option changed: those that its runner obeys, and threads.

    ``streams``: also with several sessions that share the threads, which only a rate gains by.
    """
    cell = plan.cell
    runner = runners()[cell.runner].plugin
    if runner is None:
        return
    fields = type(cell).model_fields
    for name in Cell.declared():
        trial = WORTH_TRYING.get(name)
        if trial is None or name not in obeyed_on(runner, cell.device):
            continue
        if kind_of(cell.device) not in trial.devices:
            continue
        for value in trial.values:
            if value != fields[name].default and _here(name, value):
                varied = _with(plan, {name: value})
                if varied is not None:
                    yield varied
    if kind_of(cell.device) != CPU:
        return
    if cell.threads > 1:
        yield replace(plan, cell=cell.replaced(threads=cell.threads // 2))
    count = 2
    while streams and count <= cell.threads:
        yield replace(plan, cell=cell.replaced(streams=count))
        count *= 2


def _here(option: str, value: Value) -> bool:
    """Whether this host has what an option of the worker's process asks for."""
    try:
        if option == "allocator":
            check_allocator(str(value))
        elif option == "huge_pages":
            check_huge_pages(str(value))
    except DeployBenchError:
        return False
    return True


def combined(base: Planned, variants: Sequence[Planned]) -> Planned | None:
    """The configuration with all the options that the variants changed; None where they are fewer
    than two, or change the same one."""
    changes: dict[str, Value] = {}
    for variant in variants:
        for name, value in variant.cell.chosen_options.items():
            if base.cell.option_values[name] == value:
                continue
            if name in changes:
                return None
            changes[name] = value
        for field in ("threads", "streams"):
            value = getattr(variant.cell, field)
            if value != getattr(base.cell, field):
                changes[field] = value
    if len(changes) < 2 or len(variants) < 2:
        return None
    return _with(base, changes)


def _with(plan: Planned, changes: Mapping[str, Value]) -> Planned | None:
    """The cell with other options; None where the option does not take the value."""
    try:
        return replace(plan, cell=plan.cell.replaced(**changes))
    except ValueError:
        return None


def starts_late(plan: Planned) -> bool:
    """Whether the runner's process has much to import, or to compile."""
    plugin = runners()[plan.cell.runner].plugin
    return plugin is None or bool(plugin.preload)


def in_groups(planned: Mapping[str, Planned], eager: str | None) -> dict[str, list[Planned]]:
    """Who is evaluated together, in order: the reference, then runner by runner, the slow ones
    last."""
    groups: dict[str, list[Planned]] = {}
    if eager is not None:
        groups["fp32 eager"] = [planned[eager]]
    for name, plan in sorted(planned.items(), key=lambda item: starts_late(item[1])):
        if name != eager:
            groups.setdefault(plan.cell.runner, []).append(plan)
    return groups
