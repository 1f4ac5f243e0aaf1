"""``deploybench rm``: remove artifacts and runs of the workspace by name."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from deploybench.artifacts.tidy import Removal
    from deploybench.artifacts.workspace import Workspace

YesOption = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@guarded
def rm(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Artifacts (resnet18/onnx, 'resnet18/*', a folder) and runs, as deploybench list "
            "names them."
        ),
    ],
    yes: YesOption = False,
    workspace: parse.WorkspaceOption = None,
) -> None:
    """Remove artifacts and runs of the workspace."""
    from deploybench.artifacts.tidy import named_removals
    from deploybench.artifacts.workspace import open_workspace

    opened = open_workspace(workspace)
    remove_with_consent(opened, named_removals(opened, names), yes=yes)


def remove_with_consent(workspace: Workspace, removals: Sequence[Removal], *, yes: bool) -> None:
    """Show what would be removed, ask unless ``yes``, remove it and say how many bytes that freed.

    Raises DeployBenchError where nobody can be asked.
    """
    from deploybench.artifacts.tidy import remove
    from deploybench.errors import DeployBenchError
    from deploybench.report.printing import print_report
    from deploybench.report.workspace_table import removals_report, size_text

    print_report(removals_report(removals))
    if not yes:
        if not sys.stdin.isatty():
            raise DeployBenchError(
                "nothing was removed: there is no terminal to ask",
                expected="a yes",
                action="the same with --yes",
            )
        if not typer.confirm(f"remove these {len(removals)}?"):
            say("nothing was removed")
            return
    freed = remove(workspace, removals)
    say(f"removed {len(removals)} from {workspace.root}, {size_text(freed)}")
