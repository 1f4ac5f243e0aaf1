"""Where many results come from on the command line, and what is said of files that do not read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from deploybench.cli.guard import print_error, say_aside
from deploybench.plurals import counted

if TYPE_CHECKING:
    from deploybench.archive.places import Place
    from deploybench.errors import DeployBenchError

MOST_PROBLEMS = 5
"""Files that do not read are named up to here, then counted."""


def places_of(names: Sequence[str] | None, workspace: Path | None) -> list[Place]:
    """The places that were named, else the workspace's."""
    from deploybench.archive.places import place_of
    from deploybench.artifacts.workspace import open_workspace

    if names:
        return [place_of(name) for name in dict.fromkeys(names)]
    places = [open_workspace(workspace).records_folder]
    imported = imported_folder(workspace)
    if imported.is_dir():
        places.append(imported)
    return [place_of(str(path)) for path in places]


def imported_folder(workspace: Path | None) -> Path:
    """Beside the workspace's records."""
    from deploybench.artifacts.workspace import open_workspace

    return open_workspace(workspace).records_folder.parent / "imported"


def tell_problems(problems: Sequence[DeployBenchError]) -> None:
    """The files that did not read, aside."""
    for error in problems[:MOST_PROBLEMS]:
        print_error(error)
    if len(problems) > MOST_PROBLEMS:
        more = counted(len(problems) - MOST_PROBLEMS, "more file")
        say_aside(f"{more} did not read")
