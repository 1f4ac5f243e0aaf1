"""Which cells of a plan may be accepted by their accuracy, where they fail parity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from deploybench.artifacts.acceptance import EXACT, WHY_NOT_EXACT, Evidence, check_reduced
from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.parity import loosest
from deploybench.plan.cells import Planned


class KnownAccuracy(Protocol):
    """What is known of the accuracies of artifacts on this host."""

    def evidence(
        self, artifact: Artifact, runner: str, device: str, precision: str
    ) -> Evidence: ...


def with_evidence(planned: Sequence[Planned], known: KnownAccuracy, command: str) -> list[Planned]:
    """The cells, each with what is known of its accuracy.

    Raises DeployBenchError where none of them computes in a reduced precision; ``command`` is what
    it says to type: ``run``.
    """
    check_reduced([loosest_of(cell) for cell in planned if cell.skip is None], command)
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
