"""One round: configurations measured side by side for equal time, by the engine of ``run``.

What a round needs beyond a run's door (:func:`deploybench.runs.request.carry_out`) is that every
cell may have options and threads of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from deploybench.analysis.known_accuracy import Acceptance
from deploybench.artifacts.acceptance import EXACT
from deploybench.artifacts.workspace import Workspace
from deploybench.hardware.host import Host
from deploybench.hardware.profile import Profile
from deploybench.measure.visit_plan import FEWEST_ROUNDS
from deploybench.plan.acceptance import loosest_of, with_evidence
from deploybench.plan.cells import Planned, Selection
from deploybench.results.record import Record
from deploybench.runs.events import RecordUpdated, RunEvent, RunPlanned
from deploybench.runs.request import RunRequest
from deploybench.runs.run import run_cells
from deploybench.runs.settings import settings_of
from deploybench.runs.surroundings import context_of, peaks_of
from deploybench.tuning.request import TuneRequest
from deploybench.tuning.space import name_of

HALF_WIDTH = 0.005
"""Narrower than a run's: what is told apart here differs by little. A round in which every interval
is as narrow ends early."""


@dataclass(frozen=True)
class Surroundings:
    """What all rounds of a tuning have in common. ``labelled``: an accuracy may take the place of
    parity where a reduced precision fails it."""

    request: TuneRequest
    selection: Selection
    workspace: Workspace
    host: Host
    profile: Profile | None
    labelled: bool


def measured(
    planned: Sequence[Planned],
    run: str,
    seconds_each: float,
    surroundings: Surroundings,
    tell: Callable[[RunEvent], None],
) -> list[Record]:
    """Measure the configurations in the run of that name; the latest record of each.

    Raises KeyboardInterrupt and DeployBenchError as a run does; what was measured until then lies
    in the records of the run.
    """
    asked = surroundings.request
    workspace = surroundings.workspace
    request = RunRequest(
        profile=asked.profile,
        devices=asked.devices,
        threads=asked.threads,
        pin=asked.pin,
        precision_target=HALF_WIDTH,
        budget_s=seconds_each,
        seed=asked.seed,
        workspace=workspace.root,
        max_accuracy_drop=asked.max_accuracy_drop if surroundings.labelled else None,
    )
    settings = settings_of(request, None)
    peaks = peaks_of(surroundings.host, surroundings.selection, tell)
    context = context_of(
        request,
        surroundings.profile,
        workspace,
        surroundings.host,
        peaks,
        surroundings.selection,
    )
    context = replace(context, run=run)
    reduced = any(loosest_of(plan) != EXACT for plan in planned)
    if surroundings.labelled and reduced:
        known = Acceptance(workspace, asked.max_accuracy_drop)
        planned = with_evidence(planned, known, "tune")
    tell(RunPlanned(tuple(planned), workspace.records_folder / run, (), settings.pinning))
    latest: dict[str, Record] = {}
    for record in run_cells(planned, settings, context, tell=tell):
        latest[name_of(record.cell)] = record
        tell(RecordUpdated(record))
    return list(latest.values())


def is_enough(records: Sequence[Record], names: Sequence[str]) -> bool:
    """Whether a round that was cut short has told something of every configuration in it.

    That takes as many visits as a run makes at least; what failed has told all.
    """
    known = {name_of(record.cell): record for record in records}
    for name in names:
        record = known.get(name)
        if record is None:
            return False
        if not record.complete and len(record.visits) < FEWEST_ROUNDS:
            return False
    return True
