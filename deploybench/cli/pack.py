"""``deploybench pack``: artifacts in one file, for a target host."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from deploybench.cli import parse
from deploybench.cli.acceptance import AcceptByOption, MaxAccuracyDropOption, known_accuracies
from deploybench.cli.guard import guarded, say, say_aside
from deploybench.plurals import counted


@guarded
def pack(
    artifact: Annotated[
        list[Path] | None, typer.Argument(help="Artifact folders. [default: those of --model]")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", "-m", help="Every artifact of these models in the workspace."),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path(
        "artifacts.dbpack"
    ),
    image_size: parse.ImageSizeOption = None,
    patch_size: parse.PatchSizeOption = None,
    accept_by: AcceptByOption = None,
    max_accuracy_drop: MaxAccuracyDropOption = None,
    workspace: parse.WorkspaceOption = None,
) -> None:
    """Put verified artifacts into one file; deploybench run FILE measures them elsewhere."""
    from deploybench.artifacts.pack import SUFFIX, write_pack
    from deploybench.artifacts.workspace import open_workspace
    from deploybench.errors import DeployBenchError
    from deploybench.plan.selection import select_artifacts

    models = parse.model_names(model)
    if bool(artifact) == bool(models):
        raise DeployBenchError(
            "what to pack is told by artifact folders or by --model",
            expected="one of the two, not both and not none",
        )
    if out.suffix != SUFFIX:
        raise DeployBenchError(f"--out {out}", expected=f"a name that ends in {SUFFIX}")
    sizes = parse.sizes(image_size, patch_size)
    place = open_workspace(workspace)
    accuracies = known_accuracies(place, accept_by, max_accuracy_drop)
    chosen = select_artifacts(place, models, artifact or [], sizes, explained=False)
    missing = sorted(set(models) - {candidate.manifest.model.name for candidate in chosen})
    if missing:
        raise DeployBenchError(
            f"the workspace has no {missing[0]}", action=f"deploybench export --model {missing[0]}"
        )
    packed = []
    for candidate in chosen:
        parity = candidate.manifest.parity
        if accuracies is not None:
            parity = accuracies.weighed(candidate)
        if parity is None or parity.holds:
            packed.append(candidate)
            if parity is not None and parity.accepted:
                say_aside(f"{candidate.path} is accepted by accuracy: {parity.accepted}")
            continue
        reason = candidate.manifest.parity_note
        if parity.accuracy is not None:
            reason += f"; not accepted by accuracy: {parity.accuracy.words}"
        say_aside(f"left out {candidate.path}: {reason}")
    if not packed:
        raise DeployBenchError(
            "no artifact is left", action="export them again: what fails parity gets no speed"
        )
    write_pack(packed, out)
    names = ", ".join(dict.fromkeys(part.manifest.model.name for part in packed))
    artifacts = counted(len(packed), "artifact")
    say(f"{out}: {artifacts} of {names}, {out.stat().st_size / 2**20:.1f} MiB")
