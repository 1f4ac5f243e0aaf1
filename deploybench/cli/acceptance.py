"""``--accept-by accuracy``: what lets a measured accuracy take the place of parity."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    from deploybench.analysis.known_accuracy import Acceptance
    from deploybench.artifacts.workspace import Workspace

AcceptByOption = Annotated[
    str | None,
    typer.Option(
        "--accept-by",
        help="accuracy: what fails parity in a reduced precision is accepted if an evaluation on "
        "labelled images says that it is as good as fp32 eager. [default: parity alone]",
    ),
]
MaxAccuracyDropOption = Annotated[
    str | None,
    typer.Option(
        "--max-accuracy-drop",
        help="With --accept-by accuracy: what may be lost, in percentage points. [default: 1%]",
    ),
]


def accepted_drop(accept_by: str | None, max_accuracy_drop: str | None) -> float | None:
    """The drop of accuracy that is accepted in place of parity; None where parity decides."""
    from deploybench.artifacts.acceptance import DEFAULT_DROP, WAYS, check_drop

    if accept_by is None:
        if max_accuracy_drop is not None:
            raise DeployBenchError(
                f"--max-accuracy-drop {max_accuracy_drop} without --accept-by accuracy",
                expected="both, or neither: parity decides unless accuracy is asked",
            )
        return None
    parse.choice(accept_by, "--accept-by", WAYS)
    if max_accuracy_drop is None:
        return DEFAULT_DROP
    drop = parse.percent(max_accuracy_drop, "--max-accuracy-drop")
    check_drop(drop)
    return drop


def known_accuracies(
    workspace: Workspace, accept_by: str | None, max_accuracy_drop: str | None
) -> Acceptance | None:
    """The accuracies that may take the place of parity; None where parity decides."""
    from deploybench.analysis.known_accuracy import Acceptance

    drop = accepted_drop(accept_by, max_accuracy_drop)
    if drop is None:
        return None
    return Acceptance(workspace, drop)
