"""Records on disk: written whole, read with the first thing that is wrong named; the runs of a
folder."""

from __future__ import annotations

import secrets
from datetime import datetime, timezone
from pathlib import Path

from deploybench.documents import read_document
from deploybench.errors import DeployBenchError
from deploybench.files import write_whole
from deploybench.hardware.devices import CPU
from deploybench.results.record import Record


def write_record(record: Record, folder: Path) -> Path:
    """Write the record whole into ``folder``, named after its cell."""
    cell = record.cell
    key = (cell.artifact_key or "none")[:8]
    size = f"b{cell.batch}-t{cell.threads}-s{cell.streams}"
    runner = cell.runner if cell.device == CPU else f"{cell.runner}-{cell.device}"
    options = "".join(f"-{mark.replace(' ', '-')}" for mark in cell.option_marks)
    name = f"{cell.model}-{runner}-{cell.precision}-{size}-{cell.timing}{options}-{key}"
    path = folder / f"{name.replace(':', '-').replace('/', '-')}.json"
    write_whole(path, record.model_dump_json(indent=1))
    return path


def read_records(path: Path) -> list[Record]:
    """The records below a folder, or the one in a file.

    Raises DeployBenchError for a file that does not read.
    """
    if not path.exists():
        raise DeployBenchError(
            f"there are no records at {path}",
            expected="a record, or a folder of records",
            action="deploybench run",
        )
    paths = (
        sorted(item for item in path.rglob("*.json") if not item.name.startswith("."))
        if path.is_dir()
        else [path]
    )
    records = [_read(item) for item in paths if "artifacts" not in item.relative_to(path).parts]
    if not records:
        raise DeployBenchError(f"{path} holds no records", action="deploybench run writes some")
    return records


def runs_in(folder: Path) -> list[Path]:
    """The runs of a workspace, oldest first: one folder each, named by time."""
    return sorted(item for item in folder.glob("*") if item.is_dir() and any(item.glob("*.json")))


def new_run_name() -> str:
    """A name that sorts by time and does not collide between hosts."""
    now = datetime.now(timezone.utc)
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"


def _read(path: Path) -> Record:
    return read_document(
        Record,
        path.read_bytes(),
        origin=str(path),
        what="a record",
        expected="a record of schema version 2 (this version of deploybench writes it)",
        action="move it out of the folder, or run the cell again",
    )
