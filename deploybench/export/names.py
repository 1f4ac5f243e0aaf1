"""A child that looks model names up.

It is a process of its own because that may mean importing torch and timm, or the user's own code.
"""

from __future__ import annotations

import sys

from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.export.job import ExportReply
from deploybench.models.source import find_source
from deploybench.processes import die_with_parent, finish


class NameCheck(Document):
    """The model names to look up."""

    names: tuple[str, ...]


def main() -> None:
    """Read the names from standard input; reply with the first that nothing can build."""
    die_with_parent()
    reply = ExportReply()
    for name in NameCheck.model_validate_json(sys.stdin.read()).names:
        source, own_name = find_source(name)
        try:
            source.check(own_name)
        except DeployBenchError as error:
            reply = ExportReply(found=error.found, expected=error.expected, action=error.action)
            break
        except Exception as error:  # importing the user's module may raise anything
            reply = ExportReply(found=f"importing '{name}' raised {type(error).__name__}: {error}")
            break
    finish(reply.model_dump_json())


if __name__ == "__main__":
    main()
