"""Imports results of other tools: each file becomes a document that keeps what it tells.

An imported number is nobody's verdict here: it gets none, no interval, no answer, and no rank among
records. ``peers/`` reads the files.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from deploybench.archive.imported import Imported
from deploybench.archive.peers import benchmark_app, mlperf, optimum, trtexec
from deploybench.archive.peers.source import Said, Source
from deploybench.documents import now
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.files import json_files_below, slug, write_whole
from deploybench.provenance import is_imported
from deploybench.untrusted import read_bytes

AUTO = "auto"
FORMATS: dict[str, ModuleType] = {
    "optimum-benchmark": optimum,
    "benchmark-app": benchmark_app,
    "trtexec": trtexec,
    "mlperf": mlperf,
}
"""How ``--format`` names each tool's files, and what reads them."""
LONGEST_SLUG = 60
SAID = ("model", "batch", "device", "precision")
OURS = (
    "expected a file of optimum-benchmark (benchmark.json, benchmark_report.json), benchmark_app "
    "(benchmark_report.csv or .json), trtexec (--exportTimes) or MLPerf LoadGen "
    "(mlperf_log_summary.txt, mlperf_log_detail.txt)"
)


@dataclass(frozen=True)
class Written:
    """A result that was imported, where it lies, and whether it was there before: ``new``,
    ``replaced`` (the user says something else of it now) or ``known``."""

    result: Imported
    path: Path
    how: str


def import_file(path: Path, format_name: str, said: Said) -> list[Imported]:
    """What a file of another tool tells; ``format_name`` is one of :data:`FORMATS`, or auto.

    Raises DeployBenchError for a file that cannot be read, is of no known kind, holds what no
    measurement gives, or tells something else than ``said``.
    """
    if format_name != AUTO and format_name not in FORMATS:
        raise unknown_name("format", format_name, (AUTO, *FORMATS))
    try:
        content = read_bytes(path)
    except OSError as error:
        raise DeployBenchError(
            f"{path} cannot be read: {error.strerror}", expected="a file of another tool"
        ) from None
    source = Source(str(path), content, said, now())
    reader = FORMATS[format_name] if format_name != AUTO else _reader_of(source)
    return [_with_said(result, source) for result in reader.results(source)]


def write_imported(results: Sequence[Imported], folder: Path) -> list[Written]:
    """Write each result into a file of its own, named after the tool, the model and its source.

    A result that is there already is left as it is, unless something else is said of it now.
    """
    written = []
    for result in results:
        path = folder / _file_name(result)
        how = "new"
        if path.exists():
            before = _read_before(path)
            if before is not None and _content(before) == _content(result):
                written.append(Written(before, path, "known"))
                continue
            how = "replaced"
        write_whole(path, result.model_dump_json(indent=1))
        written.append(Written(result, path, how))
    return written


def imported_below(path: Path) -> tuple[list[Imported], list[DeployBenchError]]:
    """The imported results in a file, or below a folder; of each that does not read, why."""
    results: list[Imported] = []
    problems: list[DeployBenchError] = []
    for file in _candidates(path):
        try:
            content = read_bytes(file)
        except OSError:
            continue  # whoever reads records says so
        if not is_imported(content):
            continue
        try:
            results.append(Imported.read(content, str(file)))
        except DeployBenchError as error:
            problems.append(error)
    return results, problems


def _candidates(path: Path) -> Iterator[Path]:
    if path.is_dir():
        yield from json_files_below(path)
    elif path.exists():
        yield path


def _reader_of(source: Source) -> ModuleType:
    found = [name for name, reader in FORMATS.items() if reader.reads(source)]
    if not found:
        raise DeployBenchError(
            f"{source.name} is of no format that is imported",
            expected=OURS.removeprefix("expected "),
            action=f"--format {'|'.join(FORMATS)} says what it is",
        )
    if len(found) > 1:
        raise DeployBenchError(
            f"{source.name} reads as {' and as '.join(found)}",
            action=f"--format {found[0]}",
        )
    return FORMATS[found[0]]


def _with_said(result: Imported, source: Source) -> Imported:
    """The result with a note of what was said of it. Raises DeployBenchError where the file tells
    something else."""
    said = {}
    for name in SAID:
        value = getattr(source.said, name)
        if value is None:
            continue
        told = getattr(result, name)
        if told != value:
            raise DeployBenchError(
                f"{source.name} tells the {name} {told}, and --{name} says {value}",
                expected=f"the same, or no --{name}",
                action="import it without the option; the file is kept by its sha256",
            )
        said[name] = str(value)
    return result.replaced(said=said)


def _file_name(result: Imported) -> str:
    name = f"{result.tool}-{slug(result.model)[:LONGEST_SLUG]}-{result.file_sha256[:12]}"
    return f"{name}.json"


def _read_before(path: Path) -> Imported | None:
    try:
        return Imported.read(read_bytes(path), str(path))
    except (OSError, DeployBenchError):
        return None


def _content(result: Imported) -> str:
    """What is the same whenever it is imported: all but the times of importing, and the name that
    the file had."""
    text = result.replaced(imported="", created="", file="").model_dump_json()
    return hashlib.sha256(text.encode()).hexdigest()
