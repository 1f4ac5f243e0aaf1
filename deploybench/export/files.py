"""The files that an export is asked for by name: whether they read, and how they are shown.

A request holds absolute paths, so that it means the same from everywhere. Who typed them is told of
them as they are typed from the current folder.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from deploybench.errors import DeployBenchError
from deploybench.export.request import ModelRequest
from deploybench.files import from_here
from deploybench.untrusted import read_text


def check_files(model: ModelRequest) -> None:
    """Refuse a checkpoint or labels that are not there or may not be read.

    What a checkpoint holds takes torch to see (:mod:`deploybench.export.names`).
    """
    if model.checkpoint is not None:
        path = Path(model.checkpoint)
        if not _is_there(path):
            raise DeployBenchError(
                f"there is no checkpoint {from_here(path)}", action="check the path"
            )
    if model.labels is not None:
        _check_labels(Path(model.labels))


def seen_from_here(error: DeployBenchError, models: Sequence[ModelRequest]) -> DeployBenchError:
    """The same refusal with the files of the models as they are typed from the current folder."""
    shown: dict[str, str] = {}
    for model in models:
        for path in (model.checkpoint, model.labels):
            if path is None:
                continue
            shown[path] = from_here(path)
            # An index's shards lie beside it.
            folder = str(Path(path).parent)
            shown[f"{folder}/"] = f"{from_here(folder)}/".removeprefix("./")

    expected, action = error.expected, error.action
    if expected is not None:
        expected = _renamed(expected, shown)
    if action is not None:
        action = _renamed(action, shown)
    return DeployBenchError(_renamed(error.found, shown), expected=expected, action=action)


def _renamed(text: str, names: Mapping[str, str]) -> str:
    """The text with every path in it under its other name."""
    for path, name in names.items():
        end = ""
        if not path.endswith("/"):
            end = r"(?![\w.-])"  # what only begins like the path is another one
        text = re.sub(re.escape(path) + end, name.replace("\\", r"\\"), text)
    return text


def _is_there(path: Path) -> bool:
    """Raises DeployBenchError where that cannot be seen."""
    try:
        return path.exists()
    except OSError as error:
        raise _unreadable(path, error) from None


def _check_labels(path: Path) -> None:
    if not _is_there(path):
        raise DeployBenchError(f"there is no file {from_here(path)}", action="check the path")
    try:
        read_text(path)
    except OSError as error:
        raise _unreadable(path, error) from None
    except UnicodeDecodeError as error:
        raise DeployBenchError(
            f"{from_here(path)} is no text: {error.reason} at byte {error.start}",
            expected="class names in UTF-8, one line a class",
        ) from None


def _unreadable(path: Path, error: OSError) -> DeployBenchError:
    return DeployBenchError(
        f"{from_here(path)} cannot be read: {error.strerror}",
        action="check the permissions of the file and of the folders that it lies in",
    )
