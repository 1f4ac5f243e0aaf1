"""``deploybench compare``: two runs side by side."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.guard import guarded


@guarded
def compare(
    baseline: Annotated[str, typer.Argument(help="A run's name or folder, a record, or a workspace.")],
    candidate: Annotated[str, typer.Argument(help="The same; its times are divided by the baseline's.")],
    workspace: parse.WorkspaceOption = None,
    json: parse.JsonOption = False,
) -> None:
    """Join two runs by cell and print the ratio of their p50 latencies (below 1: the candidate is faster)."""
    from deploybench.comparison import compare_records
    from deploybench.report.console import output_console
    from deploybench.report.tables import print_json, print_table
    from deploybench.results import read_records
    from deploybench.workspace import open_workspace

    folder = open_workspace(workspace).records_folder
    paths = [folder / name if (folder / name).exists() else Path(name) for name in (baseline, candidate)]
    rows = compare_records(read_records(paths[0]), read_records(paths[1]))
    if json:
        print_json([row.data() for row in rows])
        return
    print_table(
        ["model", "runner", "prec", "b", "thr", "baseline ms", "candidate ms", "ratio", "note"],
        [row.texts() for row in rows],
        output_console(),
    )
