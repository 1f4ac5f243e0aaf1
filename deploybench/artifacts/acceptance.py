"""What may take the place of parity where a reduced precision fails it: an accuracy that was
measured.

Parity asks whether the outputs are those of fp32 eager within what the precision may cost. Where
they are farther off, the user may let the answers decide (``--accept-by accuracy``): the artifact
is accepted if it gets as many images right as fp32 eager does. In fp32 there is nothing to accept:
the same arithmetic gives the same numbers, and what gives others is another model, however many
images it happens to get right.
"""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.documents import Document
from deploybench.errors import DeployBenchError

ACCURACY = "accuracy"
WAYS = (ACCURACY,)
"""What ``--accept-by`` takes."""
DEFAULT_DROP = 0.01
"""Of accuracy: what may be lost unless the user says otherwise, a percentage point."""
MOST_TIMES_FURTHER = 2.0
"""The outputs may be so many times as far off as where the accuracy was measured: kernels for
another batch or other options round in another order. What is farther off computes something else
than what was evaluated."""
EXACT = "fp32"
WHY_NOT_EXACT = (
    "never in fp32, where parity is the proof: the same arithmetic gives the same numbers, and "
    "what gives others is wrong, whatever it gets right on some images"
)


class Evidence(Document):
    """What the workspace knows of the accuracy of one artifact on one runner.

    ``words`` are the figures, or why they do not accept it; ``action`` is what to do then.
    ``max_error`` is that of parity where the accuracy was measured.
    """

    accepted: bool
    words: str
    max_error: float | None = None
    action: str = ""


def check_drop(max_drop: float | None) -> None:
    """Raise DeployBenchError for a drop of accuracy that is no share."""
    if max_drop is not None and not 0 <= max_drop < 1:
        raise DeployBenchError(
            f"a drop of accuracy of {max_drop:g}",
            expected="a share from 0 on and below 1: 0.01 for a percentage point",
        )


def check_reduced(precisions: Sequence[str], command: str) -> None:
    """Raise DeployBenchError where accuracy was asked to decide, and all is in full precision.

    Where nothing can be run at all, that is said elsewhere.
    """
    if not precisions or any(precision != EXACT for precision in precisions):
        return
    raise DeployBenchError(
        f"--accept-by {ACCURACY} with nothing but {EXACT}: {WHY_NOT_EXACT}",
        expected="a reduced precision: fp16, bf16, int8",
        action=f"leave --accept-by out, or say --precision fp16 to deploybench {command}",
    )


def acceptance_arguments(max_drop: float | None) -> list[str]:
    """What on a command line asks for this; nothing where parity alone decides."""
    if max_drop is None:
        return []
    return ["--accept-by", ACCURACY, "--max-accuracy-drop", f"{100 * max_drop:g}%"]
