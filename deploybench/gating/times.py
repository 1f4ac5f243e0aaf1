"""The gate over times as one call: both sides' artifacts measured again where that can be done,
else their records; every row judged."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deploybench.analysis.between_runs import NO_OTHERS, OtherRuns
from deploybench.analysis.comparison import compare_records
from deploybench.analysis.gate import Check, check_rows
from deploybench.analysis.matching import held_against, refuse_the_same_run
from deploybench.gating.sides import Side
from deploybench.results.store import timed
from deploybench.runs.again import AgainRequest, compare_again
from deploybench.runs.events import RunEvent


@dataclass(frozen=True)
class GateRequest:
    """What is accepted, and how the sides are compared.

    ``max_regression`` is a share: 0.05 lets a cell become 5 % slower. ``rerun_baseline``: measure
    both sides' artifacts again, in one run; None does so where both are at hand and nothing else
    changed, True insists. The rest as in :class:`~deploybench.runs.again.AgainRequest` and
    :func:`~deploybench.analysis.comparison.compare_records`.
    """

    max_regression: float = 0.05
    rerun_baseline: bool | None = None
    baseline_artifacts: Sequence[Path] = ()
    budget_s: float = 60.0
    allowed: Collection[str] = ()
    others: OtherRuns = NO_OTHERS
    trust: bool = False
    workspace: Path | None = None


def gate_times(
    baseline: Side,
    candidate: Side,
    request: GateRequest,
    on_event: Callable[[RunEvent], None] | None = None,
) -> list[Check]:
    """What the gate says of every cell that was timed, in every state of the machine.

    Of a baseline of several runs each cell's last record counts, and none that the baseline has
    left behind itself (:func:`~deploybench.analysis.matching.held_against`).

    Raises DeployBenchError for a record on both sides, for artifacts that are named and not there,
    and where measuring again is insisted on and refused.
    """
    new = timed(candidate.records)
    every_old = timed(baseline.records)
    refuse_the_same_run(every_old, new)
    old = held_against(every_old, new)
    baseline = replace(baseline, records=old)
    allowed = request.allowed
    # Runs that nothing is held against still tell by how much whole runs shift.
    others = replace(request.others, records=(*request.others.records, *every_old))
    if request.rerun_baseline is False:
        rows = compare_records(old, new, allowed=allowed, others=others)
        return check_rows(rows, request.max_regression)
    # One key on both sides is one artifact, unless somebody insists on looking at the files.
    insist = bool(request.rerun_baseline)
    beside_baseline = baseline.artifacts_beside(request.workspace, () if insist else new)
    beside_candidate = candidate.artifacts_beside(request.workspace, () if insist else old)
    again = AgainRequest(
        workspace=request.workspace,
        baseline_artifacts=request.baseline_artifacts,
        beside_baseline=beside_baseline,
        beside_candidate=beside_candidate,
        budget_s=request.budget_s,
        trust=request.trust,
        insist=insist,
    )
    rows = compare_again(old, new, again, allowed=allowed, others=others, on_event=on_event)
    return check_rows(rows, request.max_regression)
