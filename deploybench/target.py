"""GPU targets: the compute capability that a plan is built for, as a word: ``sm86`` is compute capability 8.6."""

from __future__ import annotations

import re

from deploybench.errors import DeployBenchError
from deploybench.host import find_gpus

TARGET = re.compile(r"sm(\d{2,3})")


def target_of(compute_capability: str) -> str:
    """``8.6`` as ``sm86``."""
    return f"sm{compute_capability.replace('.', '')}"


def sm_of(target: str) -> int:
    """``sm86`` as 86. Raises DeployBenchError for a text of another form."""
    matched = TARGET.fullmatch(target)
    if matched is None:
        raise DeployBenchError(
            f"target {target}", expected="sm and a compute capability without its point: sm86 is 8.6"
        )
    return int(matched[1])


def targets_here() -> list[str]:
    """The targets that the GPUs of this host are, in the driver's order."""
    return [target_of(gpu.compute_capability) for gpu in find_gpus()[0]]
