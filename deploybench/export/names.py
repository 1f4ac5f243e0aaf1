"""A child that looks model names up, and into the checkpoints that are to be exported.

It is a process of its own because that may mean importing torch and timm, or the user's own code.
"""

from __future__ import annotations

import sys
from pathlib import Path

from deploybench.children.processes import die_with_parent, finish
from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.export.job import ExportReply
from deploybench.models.source import find_source


class NameCheck(Document):
    """The model names to look up, and the files or folders of weights to read."""

    names: tuple[str, ...]
    checkpoints: tuple[str, ...] = ()


def main() -> None:
    """Read what to look up from standard input; reply with the first name that nothing can build,
    or the first checkpoint that does not read."""
    die_with_parent()
    check = NameCheck.model_validate_json(sys.stdin.read())
    reply = ExportReply()
    try:
        for name in check.names:
            _check_name(name)
        for checkpoint in check.checkpoints:
            _check_checkpoint(Path(checkpoint))
    except DeployBenchError as error:
        reply = ExportReply(found=error.found, expected=error.expected, action=error.action)
    finish(reply.model_dump_json())


def _check_name(name: str) -> None:
    source, own_name = find_source(name)
    try:
        source.check(own_name)
        own_weights = source.checkpoint(own_name)
    except DeployBenchError:
        raise
    except Exception as error:  # importing the user's module may raise anything
        raise DeployBenchError(
            f"importing '{name}' raised {type(error).__name__}: {error}"
        ) from error
    if own_weights is not None:
        _check_checkpoint(own_weights)


def _check_checkpoint(path: Path) -> None:
    """Read it as far as its tensors' names: the numbers are read where they are loaded."""
    from deploybench.models.checkpoint import read_checkpoint

    read_checkpoint(path)


if __name__ == "__main__":
    main()
