"""Class names of an artifact: read from the user's file, and replaced where only they differ.

Labels are no part of an artifact's identity: the graph and the weights are the same under any
names. Asking for the same export with other labels changes ``labels.json`` and nothing else.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deploybench.artifacts.artifact import (
    LABELS,
    MANIFEST,
    Artifact,
    Manifest,
    file_entry,
    open_artifact,
)
from deploybench.artifacts.task import TASK_ASSUMED, Task, task_asked
from deploybench.artifacts.workspace import Workspace, publish
from deploybench.data.postprocess import task_in
from deploybench.errors import DeployBenchError
from deploybench.export.request import ExportRequest, ModelRequest
from deploybench.plurals import counted
from deploybench.untrusted import read_text


def read_labels(path: Path, classes: int | None) -> tuple[str, ...]:
    """The class names in a file, one a line.

    Raises DeployBenchError unless there are ``classes`` of them; None takes any number.
    """
    try:
        text = read_text(path)
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DeployBenchError(
            f"{path} cannot be read: {why}", expected="a text file, the name of a class a line"
        ) from None
    lines = (line.strip() for line in text.splitlines())
    labels = tuple(line for line in lines if line)
    if classes is not None and len(labels) != classes:
        raise DeployBenchError(
            f"{path} has {counted(len(labels), 'name')}", expected=f"{classes}, one line a class"
        )
    return labels


def label_count(task: Task | None, classes: int) -> int:
    """How many names the classes have: a yes-or-no score of one number has two, no and yes."""
    if task is not None and task.kind == "binary":
        return 2
    return classes


def with_labels_of(
    model: ModelRequest, artifact: Artifact, workspace: Workspace
) -> tuple[Artifact, str | None]:
    """The artifact with the labels that are asked for, and a remark where they were others before.

    Without labels in the request the artifact keeps what it has.
    """
    if model.labels is None:
        return artifact, None
    manifest = artifact.manifest
    labels = read_labels(Path(model.labels), label_count(manifest.task, manifest.model.num_classes))
    before = artifact.labels()
    if before is not None and tuple(before) == labels:
        return artifact, None
    relabelled = _relabelled(artifact, labels, model.labels, workspace)
    had = "had other labels"
    if before is None:
        had = "had no labels"
    remark = (
        f"{artifact.path.name} {had}: they are now those of {model.labels}; "
        "graph and weights are unchanged"
    )
    return relabelled, remark


def _relabelled(
    artifact: Artifact, labels: tuple[str, ...], source: str, workspace: Workspace
) -> Artifact:
    """Put a copy with other labels in the artifact's place, in one step."""

    def relabel(staging: Path, content: dict[str, Any]) -> None:
        (staging / LABELS).write_text(json.dumps(labels))
        files = [file for file in content["files"] if file["path"] != LABELS]
        files.append(file_entry(staging / LABELS, staging).model_dump(mode="json"))
        content["files"] = sorted(files, key=lambda file: str(file["path"]))
        content["request"]["model"]["labels"] = source

    return _republished(artifact, workspace, relabel)


def with_task_of(
    model: ModelRequest, artifact: Artifact, workspace: Workspace
) -> tuple[Artifact, str | None]:
    """The artifact with the task that is asked for, and a remark where it was another before.

    Like labels, the task changes no file that is run.
    """
    if model.task is None:
        return artifact, None
    manifest = artifact.manifest
    before = task_in(manifest)
    task = task_asked(model.task, manifest.outputs[0].sizes(1)[1:], before)
    if manifest.task is not None and task.words == before.words:
        return artifact, None

    def change(staging: Path, content: dict[str, Any]) -> None:
        content["task"] = task.model_dump(mode="json")
        content["request"]["model"]["task"] = model.task
        assumed = content.get("assumed") or []
        content["assumed"] = [said for said in assumed if not said.startswith(TASK_ASSUMED)]

    changed = _republished(artifact, workspace, change)
    return changed, (
        f"the task of {artifact.path.name} was {before.words}: it is now {task.words}; graph and "
        "weights are unchanged"
    )


def _republished(
    artifact: Artifact, workspace: Workspace, change: Callable[[Path, dict[str, Any]], None]
) -> Artifact:
    """Put a copy that ``change`` has worked on (its folder, its manifest's content) in the
    artifact's place, in one step."""
    manifest = artifact.manifest
    with workspace.staging() as staging:
        # Only what the manifest lists, and no link: the files are the copy's own.
        for file in manifest.files:
            target = staging / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(artifact.path / file.path, target)
        content = manifest.model_dump(mode="json", exclude_unset=True)
        change(staging, content)
        content["command"] = ExportRequest.model_validate(content["request"]).command()
        changed = Manifest.model_validate_json(json.dumps(content))
        (staging / MANIFEST).write_text(changed.sealed().model_dump_json(indent=1))
        publish(staging, artifact.path)
    return open_artifact(artifact.path)
