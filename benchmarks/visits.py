"""What the programs that measure by visits share: cells of a workspace, measured as ``deploybench
run`` does, several copies of one cell included."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks.trials import artifact_for
from deploybench.artifacts.workspace import Workspace
from deploybench.contracts.registry import runners
from deploybench.hardware.host import describe_host, usable_cores
from deploybench.measure.stopping import ExperimentRule
from deploybench.plan.cells import Planned, Selection, plan_cells
from deploybench.results.record import Record, StateSummary
from deploybench.results.verdict import Verdict
from deploybench.runs.run import run_cells
from deploybench.runs.settings import RESIDENT, RunContext, RunSettings
from deploybench.statistics.levels import level_of, levels_of


def cell_for(workspace: Path, model: str, runner: str) -> Planned:
    """One cell of the workspace; ends the program with what to type when it is not there."""
    artifact = artifact_for(workspace, model, runner)
    entry = runners()[runner]
    selection = Selection(runners=[entry], batches=[1], precisions=(), threads=usable_cores())
    (planned,) = plan_cells([artifact], selection, None)
    if planned.skip is not None:
        sys.exit(f"{model} on {runner}: {planned.skip}")
    return planned


def valid_by_state(records: Sequence[Record]) -> list[list[StateSummary]]:
    """The VALID estimates of some records, those of each state of the machine together."""
    valid = [state for record in records for state in valid_states(record)]
    levels = levels_of([state.hop_ns for state in valid if state.hop_ns is not None])
    by_level: dict[float | None, list[StateSummary]] = {}
    for state in valid:
        by_level.setdefault(level_of(levels, state.hop_ns), []).append(state)
    return list(by_level.values())


def valid_states(record: Record) -> list[StateSummary]:
    assert record.summary is not None
    states = record.summary.states
    return [state for state in states if state.judgement.verdict is Verdict.VALID]


def measured(
    planned: Sequence[Planned],
    *,
    budget_s: float,
    half_width: float,
    seed: int = 0,
    baseline: str | None = None,
    canary: bool = True,
) -> list[Record]:
    """The last record of each cell, in their order; ``budget_s`` is for a cell.

    Cells may be the same ones: each is given a number of its own in the place of its artifact's
    key. ``baseline`` is the runner whose speed-ups have to be as narrow as the times.
    """
    numbered = []
    for number, one in enumerate(planned):
        numbered.append(replace(one, cell=one.cell.replaced(artifact_key=f"{number:08d}")))
    rule = ExperimentRule(half_width=half_width, budget_s=budget_s, min_rounds=6)
    settings = RunSettings(
        rule,
        seed=seed,
        launches=RESIDENT,
        canary=canary,
        baseline=baseline or "",
        compare=baseline is not None,
    )
    last = {}
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder))
        workspace.prepare()
        context = RunContext("trial", "host", workspace, describe_host(), None, usable_cores())
        for record in run_cells(numbered, settings, context):
            last[record.cell.artifact_key] = record
    records = [last[one.cell.artifact_key] for one in numbered]
    for record in records:
        if record.summary is None:
            sys.exit(f"{record.cell.title()}: {record.judgement.reason}")
    return records
