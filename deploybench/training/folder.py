"""The folder of a training: what it was asked for, what came of it, and who may write into it.

``training.json`` tells all that decided the weights, so that a resume can be held against it.
``model.safetensors`` with ``config.json`` is the best epoch so far, ready for an export.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.data.dataset import LabelTask
from deploybench.documents import Document, read_document_file
from deploybench.errors import DeployBenchError
from deploybench.files import STAGING_PREFIX, from_here, write_whole
from deploybench.models.trained import CONFIG, WEIGHTS
from deploybench.training.curve import CURVE_FILE
from deploybench.training.recipe import Recipe
from deploybench.training.state import LAST

RECORD = "training.json"
SPLITS = "splits.csv"
OURS = (RECORD, CURVE_FILE, SPLITS, WEIGHTS, CONFIG, LAST)
OUR_PATTERNS = ("events.out.tfevents*", "curve.*", f"{STAGING_PREFIX}*")
MOST_DIFFERENCES = 6
MOST_CHARACTERS = 60
SAME_CHARACTERS = 20
"""Of a long value that differs: shown in all, and of them before the difference."""


class DataUsed(Document):
    """The images of a training: which, told by their content, and how many of each class."""

    name: str
    form: str
    task: LabelTask
    training_sha256: str
    evaluation_sha256: str
    training_split: str
    evaluation_split: str
    training_images: int
    evaluation_images: int
    classes: tuple[str, ...]
    training_counts: tuple[int, ...]
    evaluation_counts: tuple[int, ...]
    synthetic: str | None = None


class TrainingPlan(Document):
    """All that decides the weights that come out, on the same machine with the same libraries."""

    model: str
    identity: dict[str, str] = Field(description="what decides the architecture beside its name")
    recipe: Recipe
    seed: int
    data: DataUsed
    preprocessing: Preprocessing
    patch_size: int | None = None
    batchnorm_epsilon: float | None = None
    begun_from: str = Field(
        description="random weights, timm's, or the sha256 of the checkpoint, and what of it"
    )
    new_head: bool = False
    allow_partial: bool = False
    devices: int = 1


class TrainingRecord(Document):
    """What is known of a training besides its curve."""

    schema_version: int = 1
    plan: TrainingPlan
    finished: bool = False
    stopped_early: bool = False
    best_epoch: int | None = None
    epochs_made: int = 0
    steps_made: int = 0
    seconds: float = 0.0
    data_path: str = Field(description="the data, or the table of the split that was made of it")
    held_out: str | None = Field(default=None, description="a split that played no part")
    begun_from: str
    init_from: str | None = None
    device: str
    threads: int
    host: str
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    command: str | None = None
    created: str


def read_record(folder: Path) -> TrainingRecord | None:
    """What the folder says of its training; None where there was none.

    Raises DeployBenchError for one that does not read.
    """
    path = folder / RECORD
    if not path.is_file():
        return None
    return read_document_file(
        TrainingRecord,
        path,
        what="the record of a training",
        expected="what this version writes",
        action="choose another --out, or --force to begin anew",
    )


def write_record(folder: Path, record: TrainingRecord) -> None:
    write_whole(folder / RECORD, record.model_dump_json(indent=1))


def check_folder(folder: Path, *, resume: bool, force: bool) -> TrainingRecord | None:
    """The training that is to be gone on with, or None where one begins.

    With ``force`` what a training left there is removed, and nothing else. Raises DeployBenchError
    for a folder that is in use by something else, and for a training that is there already.
    """
    if folder.exists() and not folder.is_dir():
        raise DeployBenchError(f"{folder} is a file", expected="a folder for the training")
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    if not (folder / RECORD).is_file():
        # A training writes its record first: without one nothing here is a training's.
        foreign = [entry for entry in folder.iterdir() if not entry.name.startswith(STAGING_PREFIX)]
        if not foreign:
            return None
        listed = ", ".join(sorted(entry.name for entry in foreign)[:6])
        raise DeployBenchError(
            f"{folder} holds something else: {listed}",
            expected="a folder that is not there yet, is empty, or holds a training",
            action="choose another --out",
        )
    if force:
        _clear(folder)
        return None
    found = read_record(folder)
    if found is None or resume:
        return found
    here = from_here(folder)
    if found.finished:
        raise DeployBenchError(
            f"{here} holds a training of {found.plan.model} that is finished",
            expected="a folder that is not there yet",
            action="another --out; --force removes what is there, and begins anew",
        )
    raise DeployBenchError(
        f"{here} holds a training of {found.plan.model} that is not finished: "
        f"{found.epochs_made} of {found.plan.recipe.epochs} epochs",
        expected="to be told what becomes of it",
        action="--resume goes on with it; --force removes it, and begins anew",
    )


def check_same_plan(before: TrainingPlan, now: TrainingPlan, folder: Path) -> str | None:
    """Refuse to go on with another training than was begun; says what differs.

    Other versions and other code of the same model are no other training: what it returns says so.
    """
    same_code = now.replaced(identity=before.identity)
    differing = _differences(before.model_dump(), same_code.model_dump(), "")
    if not differing:
        return _about_code(before, now)
    listed = "; ".join(differing[:MOST_DIFFERENCES])
    more = len(differing) - MOST_DIFFERENCES
    if more > 0:
        listed += f"; and {more} more"
    raise DeployBenchError(
        f"{from_here(folder)} holds another training: {listed}",
        expected="the same model, data, recipe and seed",
        action="the options as they were; or another --out (--init-from FOLDER takes its weights)",
    )


def _about_code(before: TrainingPlan, now: TrainingPlan) -> str | None:
    names = dict.fromkeys((*before.identity, *now.identity))
    changed = [
        name.removesuffix("_sha256")
        for name in names
        if before.identity.get(name) != now.identity.get(name)
    ]
    if not changed:
        return None
    return (
        f"it goes on with another {', '.join(changed)} of {now.model} than it was begun with: the "
        "weights are not those of a training that was not interrupted"
    )


def _differences(before: Any, now: Any, name: str) -> list[str]:
    """The fields that differ, with what they were and are."""
    if before == now or name in ("recipe.changed", "recipe.source"):
        return []
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        found: list[str] = []
        for key in dict.fromkeys((*before, *now)):
            inner = f"{name}.{key}" if name else str(key)
            found += _differences(before.get(key), now.get(key), inner)
        return found
    if name.endswith("sha256"):
        return [f"{name.removesuffix('_sha256').replace('.', ' ')}: other images or labels"]
    was, now_is = (json.dumps(value, default=str, ensure_ascii=False) for value in (before, now))
    same = _same_characters(was, now_is)
    return [f"{name} was {_shown(was, same)}, and is {_shown(now_is, same)}"]


def _same_characters(first: str, second: str) -> int:
    """How many characters at their beginning are the same."""
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place
    return min(len(first), len(second))


def _shown(text: str, same: int) -> str:
    """The text, or as much of it as fits a line: around the place where it differs from another,
    with which it shares so many characters (``same``)."""
    if len(text) <= MOST_CHARACTERS:
        return text
    first = max(min(same - SAME_CHARACTERS, len(text) - MOST_CHARACTERS), 0)
    shown = text[first : first + MOST_CHARACTERS]
    if first:
        shown = f"…{shown}"
    if first + MOST_CHARACTERS < len(text):
        shown += "…"
    return shown


def _clear(folder: Path) -> None:
    for name in OURS:
        path = folder / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    for pattern in OUR_PATTERNS:
        for path in folder.glob(pattern):
            path.unlink()
