"""What the models of an export put out and what that means, a line for each that is the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deploybench.artifacts.artifact import Manifest, TensorSpec
    from deploybench.export.request import ExportResult


def meaning_lines(results: Sequence[ExportResult]) -> list[str]:
    """The outputs of models that have several, and the task of every model."""
    models: dict[str, list[str]] = {}
    for result in results:
        if result.artifact is None:
            continue
        for line in _lines(result.artifact.manifest):
            models.setdefault(line, []).append(result.request.model.name)
    everybody = {result.request.model.name for result in results if result.artifact is not None}
    lines = []
    for line, names in models.items():
        whose = dict.fromkeys(names)
        if len(whose) < len(everybody):
            line = f"{', '.join(whose)}: {line}"
        lines.append(line)
    return lines


def meaning_data(manifest: Manifest | None) -> dict[str, object]:
    """The same of one artifact, as ``--json`` prints it."""
    if manifest is None:
        return {"outputs": None, "task": None}
    task = None
    if manifest.task is not None:
        task = manifest.task.model_dump(mode="json")
    return {"outputs": [output.name for output in manifest.outputs], "task": task}


def _lines(manifest: Manifest) -> list[str]:
    lines = []
    main, *others = manifest.outputs
    if others or main.is_integer:
        described = [f"{_described(main)}, the main one" if others else _described(main)]
        described += [_described(output) for output in others]
        word = "outputs" if others else "output"
        lines.append(f"{word}: {'; '.join(described)}")
    # What is assumed is among the other assumptions, with what to type instead.
    if manifest.task is not None and manifest.task.known != "assumed":
        lines.append(f"task: {manifest.task.words}")
    return lines


def _described(output: TensorSpec) -> str:
    """``aux (N x 10)``; ``classes (N, int64 as float32)``."""
    text = " x ".join(map(str, ("N", *output.shape[1:])))
    if output.is_integer:
        text += f", {output.model_dtype} as float32"
    return f"{output.name} ({text})"
