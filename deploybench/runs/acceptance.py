"""Which cells of a plan may be accepted by their accuracy, where they fail parity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from deploybench.artifacts.acceptance import EXACT, WHY_NOT_EXACT, Evidence, check_reduced
from deploybench.artifacts.parity import loosest
from deploybench.artifacts.workspace import Workspace
from deploybench.export.acceptance import Acceptance
from deploybench.plan.cells import Planned


def with_evidence(
    planned: Sequence[Planned], workspace: Workspace, max_drop: float
) -> list[Planned]:
    """The cells, each with what the workspace knows of its accuracy.

    Raises DeployBenchError where none of them computes in a reduced precision.
    """
    check_reduced([loosest_of(cell) for cell in planned if cell.skip is None], "run")
    known = Acceptance(workspace, max_drop)
    weighed = []
    for plan in planned:
        cell = plan.cell
        if loosest_of(plan) == EXACT:
            evidence = Evidence(accepted=False, words=WHY_NOT_EXACT)
        else:
            evidence = known.evidence(plan.artifact, cell.runner, cell.device, cell.precision)
        weighed.append(replace(plan, evidence=evidence))
    return weighed


def loosest_of(planned: Planned) -> str:
    """The precision whose budget the cell is held to."""
    return loosest(planned.artifact.manifest.precision, planned.cell.precision)
