"""Records on disk, and the runs of a folder.

A record is written whole; where one does not read, the first thing that is wrong is named.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from deploybench.documents import read_document, read_document_file
from deploybench.errors import DeployBenchError
from deploybench.files import json_files_below, names_a_record, write_whole
from deploybench.hardware.devices import CPU
from deploybench.provenance import is_imported
from deploybench.results.plausible import why_implausible
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.untrusted import read_bytes

MOST_OTHER_RUNS = 12
"""The shift of whole runs is known within a quarter by then, and records take time to read."""

READ_AS_A_RECORD = "a record of schema version 2 to 4 (this version of deploybench writes 4)"
NOT_A_RECORD = "move it out of the folder, or run the cell again"

QUALITY_PREFIX = "quality-"
"""Of the names of records of evaluations: their cells may have been timed under the same name."""


class NoRecordsError(DeployBenchError):
    """There is nothing to read: the first run of a pipeline has no baseline, say."""


class ImportedError(DeployBenchError):
    """A result that another tool measured stands where a record should."""


def write_record(record: Record, folder: Path, mark: str = "") -> Path:
    """Write the record whole into ``folder``, named after its cell.

    A ``mark`` at the end of the name tells it from another record of the cell in the same run.
    """
    path = folder / record_name(record)
    if mark:
        path = path.with_name(f"{path.stem}-{mark}{path.suffix}")
    write_whole(path, record.sealed().model_dump_json(indent=1))
    return path


def record_name(record: Record) -> str:
    """The name after the cell, the same in every run.

    A record of an export that failed has no artifact whose key would tell it from another of the
    same model: there the whole cell and the command that repeats it do.
    """
    cell = record.cell
    parts = [cell.model, cell.runner]
    if record.measures == "quality":
        parts.insert(0, QUALITY_PREFIX.rstrip("-"))
    if cell.device != CPU:
        parts.append(cell.device)
    parts += [cell.precision, f"b{cell.batch}-t{cell.threads}-s{cell.streams}", cell.timing]
    parts += [mark.replace(" ", "-") for mark in cell.option_marks]
    if cell.artifact_key:
        parts.append(cell.artifact_key[:8])
    else:
        parts.append(f"none-{_digest(record)}")
    name = "-".join(parts).replace(":", "-").replace("/", "-")
    return f"{name}.json"


def read_records(path: Path) -> list[Record]:
    """The records below a folder, or the one in a file.

    Raises DeployBenchError for a file that does not read, and NoRecordsError where there is none.
    """
    if not path.exists():
        problem = f"there are no records at {path}"
        if path.is_symlink():
            problem += f": it is a link to {path.readlink()}, which is not there"
        raise NoRecordsError(
            problem,
            expected="a record, or a folder of records",
            action="deploybench run",
        )
    if not path.is_dir():
        return [_read(path)]
    records, imported = [], None
    for file in json_files_below(path):
        try:
            records.append(_read(file))
        except ImportedError as error:
            imported = error
    if not records and imported is not None:
        raise imported
    if not records:
        raise NoRecordsError(f"{path} holds no records", action="deploybench run writes some")
    return records


def readable_records(path: Path) -> tuple[list[Record], list[DeployBenchError]]:
    """As :func:`read_records`; beside the records, of each file that does not read, why.

    Raises NoRecordsError where there is nothing at all.
    """
    if not path.is_dir():
        # One file, or nothing: the only one that was asked for has to read.
        return read_records(path), []
    records, problems = [], []
    for file in json_files_below(path):
        try:
            records.append(_read(file))
        except ImportedError:
            continue  # it is no record, and no broken one
        except DeployBenchError as error:
            problems.append(error)
        except OSError as error:
            problems.append(DeployBenchError(f"{file} could not be read: {error.strerror}"))
    if not records and not problems:
        raise NoRecordsError(f"{path} holds no records", action="deploybench run writes some")
    return records, problems


def runs_in(folder: Path) -> list[Path]:
    """The runs of a workspace, oldest first: one folder each, named by time."""
    return sorted(item for item in folder.glob("*") if item.is_dir() and _holds_records(item))


def _holds_records(folder: Path) -> bool:
    return any(names_a_record(path.name) for path in folder.glob("*.json"))


def other_runs_of(records: Sequence[Record], folder: Path) -> list[Record]:
    """The records of the same cells in the newest runs of a workspace; not those that do not read.

    They tell by how much whole runs shift. At most :data:`MOST_OTHER_RUNS` of a cell are read.
    """
    known = {(record.run, record_name(record)) for record in records}
    newest_first = list(reversed(runs_in(folder)))
    found = []
    for name in sorted({record_name(record) for record in records}):
        runs = [run for run in newest_first if (run / name).is_file()]
        for run in runs[:MOST_OTHER_RUNS]:
            if (run.name, name) not in known:
                with contextlib.suppress(DeployBenchError):
                    found.append(_read(run / name))
    return found


def new_run_name() -> str:
    """A name that sorts by the time it was made at, and does not collide between hosts.

    Its last four digits are the part of the second, in steps of 15 microseconds: runs that begin in
    one second sort as they began, and hosts hardly ever begin in one step.
    """
    started = datetime.now(timezone.utc)
    step = (started.microsecond << 16) // 1_000_000
    return f"{started:%Y%m%d-%H%M%S}-{step:04x}"


def latest_run(folder: Path) -> Path | None:
    """The newest run of a workspace in which something was measured or tried, or None.

    A run whose every cell was skipped measured nothing, so an earlier one stays the latest; and so
    it does where cells were only evaluated: their quality is found beside it.
    """
    for run in reversed(runs_in(folder)):
        records = timed(read_records(run))
        if any(record.judgement.verdict is not Verdict.SKIPPED for record in records):
            return run
    return None


def latest_evaluation(folder: Path) -> Path | None:
    """The newest run of a workspace in which anything was evaluated, or None."""
    for run in reversed(runs_in(folder)):
        if any(run.glob(f"{QUALITY_PREFIX}*.json")):
            return run
    return None


def timed(records: Sequence[Record]) -> list[Record]:
    """The records of cells that were run for their time."""
    return [record for record in records if record.measures == "time"]


def evaluations_in(folder: Path) -> list[Record]:
    """The records with a quality in all runs of a workspace, oldest first; not those that do not
    read."""
    found = []
    for run in runs_in(folder):
        for path in sorted(run.glob(f"{QUALITY_PREFIX}*.json")):
            with contextlib.suppress(DeployBenchError):
                found.append(_read(path))
    return [record for record in found if record.quality is not None]


def _digest(record: Record) -> str:
    """Eight characters that differ between two records of different cells or commands."""
    identity = record.cell.model_dump_json() + record.command
    return hashlib.sha256(identity.encode()).hexdigest()[:8]


def record_in(content: bytes, origin: str) -> Record:
    """The record in a JSON text; ``origin`` says where that lies.

    Raises DeployBenchError, also for one that was edited and for one that no measurement gives.
    """
    record = read_document(
        Record,
        content,
        origin=origin,
        what="a record",
        expected=READ_AS_A_RECORD,
        action=NOT_A_RECORD,
    )
    _check_unchanged(record, origin)
    return record


def _read(path: Path) -> Record:
    try:
        record = read_document_file(
            Record, path, what="a record", expected=READ_AS_A_RECORD, action=NOT_A_RECORD
        )
    except DeployBenchError:
        _check_ours(path)
        raise
    _check_unchanged(record, str(path))
    return record


def _check_ours(path: Path) -> None:
    """Raise ImportedError for what another tool measured."""
    try:
        content = read_bytes(path)
    except OSError:
        return  # the reader of documents says it
    if is_imported(content):
        raise ImportedError(
            f"{path} was imported: another tool measured it, and nothing of it was checked here",
            expected="records of deploybench run: imported results have no interval and no "
            "verdict, and are never compared or ranked",
            action="deploybench show FILE prints it, deploybench results query has the view "
            "imported; deploybench run measures the cell here",
        )


def _check_unchanged(record: Record, origin: str) -> None:
    """Refuse a record that somebody edited, and one that no measurement gives."""
    if not record.intact:
        raise DeployBenchError(
            f"{origin} was edited after it was written: its seal is that of other content",
            expected="the record as deploybench wrote it",
            action="take the original, or run the cell again: nothing is known of its numbers",
        )
    problem = why_implausible(record)
    if problem is not None:
        raise DeployBenchError(
            f"{origin} does not read as a record: {problem}",
            expected="what a measurement gives",
            action="move it out of the folder, or run the cell again",
        )
