"""Packs: many records in a few Parquet files, by profile and month, and the records out of them.

Below a pack's folder lie ``records`` (every document byte for byte), ``rows``, ``quality``,
``imported`` (what is queried) and ``sides`` (what is compared), each in
``profile=NAME/month=2026-11/PART.parquet``. A part never changes; packing again writes parts of
what is new. The part of ``records`` is written last: whatever has no such part was never finished,
and is not read.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from deploybench.archive.columns import moment_of, month_of
from deploybench.archive.extra import needed
from deploybench.archive.gathering import Gathered, Stored, gather, read_stored
from deploybench.archive.imported import Imported
from deploybench.archive.layout import MARK, RECORDS, SIDES, VIEWS, check_pack
from deploybench.archive.lean import read_lean
from deploybench.archive.places import MARKER, Place
from deploybench.archive.sides import sides_table
from deploybench.errors import DeployBenchError
from deploybench.files import write_whole
from deploybench.results.record import Record

if TYPE_CHECKING:
    import pyarrow

PART_BYTES = 128 << 20
"""Of JSON that is held before a part is written: its rows take a few times as much."""
PART_RECORDS = 10_000
IMPORTED_PROFILE = "imported"
"""Stands for the profile of what another tool measured: it earned none of ours."""


@dataclass
class Packed:
    """What packing did. ``left_out`` says of each file that was not packed, why."""

    added: int = 0
    known: int = 0
    incomplete: int = 0
    parts: int = 0
    left_out: list[DeployBenchError] = field(default_factory=list)


@dataclass(frozen=True)
class Partition:
    """Where a document belongs: the values of the two folders."""

    profile: str
    month: str

    @property
    def folder(self) -> str:
        return f"profile={quote(self.profile, safe=' ')}/month={self.month}"


@dataclass
class Pending:
    """What will be the next part of a partition."""

    stored: list[Stored] = field(default_factory=list)
    gathered: Gathered = field(default_factory=Gathered)
    size: int = 0

    @property
    def full(self) -> bool:
        return self.size >= PART_BYTES or len(self.stored) >= PART_RECORDS


def pack_results(source: Place, pack: Place, *, incomplete: bool = False) -> Packed:
    """Pack every record of ``source`` that ``pack`` does not hold yet.

    Records that are not complete (a run is under way, or was interrupted) are left out unless
    ``incomplete``. Raises DeployBenchError where there is nothing to pack, or no room.
    """
    if not pack.exists(MARKER) and pack.parts(""):
        raise DeployBenchError(
            f"{pack.name} holds Parquet files and is no pack of results",
            expected="an empty folder, or a pack",
            action="choose another -o",
        )
    known = packed_records(pack)
    done = Packed()
    pending: dict[Partition, Pending] = {}
    pack.write(MARKER, json.dumps(MARK).encode())
    for folder in _folders_of(source, done):
        new = _new_of(folder, known, done, incomplete=incomplete)
        if not new:
            continue
        # Records that are known already are read once more: rows of new ones are held against them.
        everything = [one for one, _ in folder]
        for one in new:
            partition = _partition_of(one)
            waiting = pending.setdefault(partition, Pending())
            waiting.stored.append(one)
            waiting.size += len(one.content)
        wanted = {one.path: one.sha256 for one in new}
        _sort_rows(gather(everything, wanted), new, pending)
        for partition in [key for key, waiting in pending.items() if waiting.full]:
            _write_part(pack, partition, pending.pop(partition), done)
    for partition, waiting in pending.items():
        _write_part(pack, partition, waiting, done)
    return done


def packed_records(pack: Place) -> set[str]:
    """The sha256 of every record that a pack holds."""
    found: set[str] = set()
    for path in pack.parts(RECORDS):
        table = read_part(pack, path, ["sha256"])
        found.update(table.column("sha256").to_pylist())
    return found


def unpack_results(pack: Place, folder: Path) -> tuple[int, int]:
    """Write every record of a pack below ``folder``, as it was packed; how many were written, and
    how many were there.

    Raises DeployBenchError for a pack that is none, was changed, or names a path outside of
    ``folder``, and where another file of that name is there already.
    """
    written = there = 0
    for path, content in documents_of(pack):
        target = folder / _safe_path(path, pack)
        if target.exists():
            if target.read_bytes() != content:
                raise DeployBenchError(
                    f"{target} is there already, and another one", action="choose another -o"
                )
            there += 1
        else:
            write_whole(target, content)
            written += 1
    return written, there


def documents_of(pack: Place) -> Iterator[tuple[str, bytes]]:
    """Every document of a pack with the path that it had, byte for byte.

    Raises DeployBenchError for a pack that is none, and for one that was changed.
    """
    check_pack(pack)
    for part in pack.parts(RECORDS):
        for entry in read_part(pack, part, ["path", "sha256", "json"]).to_pylist():
            content: bytes = entry["json"]
            if hashlib.sha256(content).hexdigest() != entry["sha256"]:
                raise DeployBenchError(
                    f"{pack.address(part)} was changed: {entry['path']} is not what was packed",
                    action="take the pack from where it was made",
                )
            yield entry["path"], content


def _folders_of(source: Place, done: Packed) -> Iterator[list[tuple[Stored, str]]]:
    """The documents of each folder: those of a run lie together."""
    by_folder: dict[str, list[str]] = {}
    for path in source.json_files():
        by_folder.setdefault(str(PurePosixPath(path).parent), []).append(path)
    for paths in by_folder.values():
        stored = []
        for path in paths:
            try:
                one = read_stored(source, path, source.read(path))
                stored.append((one, one.sha256))
            except DeployBenchError as error:
                done.left_out.append(error)
        yield stored


def _new_of(
    folder: Sequence[tuple[Stored, str]],
    known: set[str],
    done: Packed,
    *,
    incomplete: bool,
) -> list[Stored]:
    new = []
    for one, digest in folder:
        if digest in known:
            done.known += 1
            continue
        unfinished = isinstance(one.document, Record) and not one.document.complete
        if unfinished and not incomplete:
            done.incomplete += 1
            continue
        known.add(digest)
        new.append(one)
    return new


def _sort_rows(
    gathered: Gathered, new: Sequence[Stored], pending: Mapping[Partition, Pending]
) -> None:
    """Every row to the partition of its record."""
    partitions = {one.sha256: _partition_of(one) for one in new}
    for view, rows in gathered.rows.items():
        for row in rows:
            pending[partitions[row["record"]]].gathered.rows[view].append(row)


def _partition_of(stored: Stored) -> Partition:
    document = stored.document
    month = month_of(moment_of(document.created))
    if isinstance(document, Imported):
        return Partition(IMPORTED_PROFILE, month)
    return Partition(document.profile, month)


def _write_part(pack: Place, partition: Partition, waiting: Pending, done: Packed) -> None:
    """The tables of these documents, that of the documents themselves last."""
    digests = sorted(one.sha256 for one in waiting.stored)
    # The name follows from what is in it: after a kill the same part is written over.
    name = hashlib.sha256("".join(digests).encode()).hexdigest()[:16]
    place = f"{partition.folder}/{name}.parquet"
    for view in VIEWS:
        if waiting.gathered.rows[view]:
            pack.write(f"{view}/{place}", _parquet(waiting.gathered.table(view)))
    timed = (
        (one.sha256, read_lean(one.content, one.path))
        for one in waiting.stored
        if isinstance(one.document, Record)
    )
    sides = sides_table(timed)
    if sides.num_rows:
        pack.write(f"{SIDES}/{place}", _parquet(sides))
    pack.write(f"{RECORDS}/{place}", _parquet(_records_table(waiting.stored)))
    done.added += len(waiting.stored)
    done.parts += 1


def _records_table(stored: Sequence[Stored]) -> pyarrow.Table:
    arrow = needed("pyarrow")
    return arrow.table(
        {
            "sha256": arrow.array([one.sha256 for one in stored], arrow.string()),
            "path": arrow.array([one.path for one in stored], arrow.string()),
            "json": arrow.array([one.content for one in stored], arrow.large_binary()),
        }
    )


def _parquet(table: pyarrow.Table) -> bytes:
    buffer = io.BytesIO()
    needed("pyarrow.parquet").write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def read_part(pack: Place, path: str, columns: Sequence[str]) -> Any:
    """These columns of a part, as an Arrow table. Raises DeployBenchError for what is no part."""
    arrow, parquet = needed("pyarrow"), needed("pyarrow.parquet")
    try:
        return parquet.read_table(io.BytesIO(pack.read(path)), columns=list(columns))
    except (arrow.ArrowException, OSError) as error:
        raise DeployBenchError(
            f"{pack.address(path)} does not read as a part of a pack: {error}",
            action="pack the records again, or take the part away",
        ) from None


def _safe_path(path: str, pack: Place) -> PurePosixPath:
    """The path below the folder that a record is written to. A pack may come from anywhere."""
    named = PurePosixPath(path)
    stays_below = not named.is_absolute() and ".." not in named.parts and "\\" not in path
    if not stays_below or named.suffix != ".json" or "\0" in path:
        raise DeployBenchError(
            f"{pack.name} names {path!r} as the path of a record",
            expected="a path below the folder that it is unpacked to",
            action="do not trust this pack: it was not made by deploybench results pack",
        )
    return named
