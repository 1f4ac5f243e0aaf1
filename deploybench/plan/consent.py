"""Which of the planned cells would run code, and whose word there is for that."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.signature import check_consent
from deploybench.contracts.registry import runners
from deploybench.plan.cells import Planned

TRUST = "--trust"


def check_planned(planned: Sequence[Planned], *, trust: bool, command: str) -> None:
    """Refuse cells whose runner would execute what an artifact holds, unless the user answers for
    the artifact (:func:`deploybench.artifacts.signature.check_consent`).

    With ``trust`` the user does so for every artifact of the plan: those that are read as data are
    signed, too. ``command`` is what to type to say so.

    Raises DeployBenchError before anything was loaded.
    """
    if trust:
        concerned = planned
    else:
        concerned = [cell for cell in planned if cell.skip is None and _runs_code(cell)]
    artifacts: dict[Path, Artifact] = {}
    for cell in concerned:
        artifacts.setdefault(cell.artifact.path, cell.artifact)
    check_consent(list(artifacts.values()), trust=trust, command=command)


def trusting_command(
    command: str,
    artifacts: Sequence[Path] = (),
    packs: Sequence[Path] = (),
    workspace: Path | None = None,
) -> str:
    """What to type to trust the artifacts of a command: with the folders and packs that it named.

    Named none, it is about the whole workspace.
    """
    words = ["deploybench", command, *map(str, packs)]
    for artifact in artifacts:
        words += ["--artifact", str(artifact)]
    if workspace is not None:
        words += ["--workspace", str(workspace)]
    return shlex.join([*words, TRUST])


def _runs_code(cell: Planned) -> bool:
    entry = runners().get(cell.cell.runner)
    return entry is None or entry.plugin is None or entry.plugin.runs_code
