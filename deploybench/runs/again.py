"""The artifacts of two sets of records measured again, beside each other in one run.

Between two runs the machine changed, and nobody knows by how much. Within one run both artifacts of
a cell meet the same machine, so their ratio is paired, and small differences can be seen. What that
shows is what differs between the two **artifacts**: a library that changed runs both of them, and
is in no such ratio. Cells for which this cannot be done are compared by their records, and say why.
"""

from __future__ import annotations

import contextlib
import platform
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from deploybench.analysis.between_runs import NO_OTHERS, OtherRuns
from deploybench.analysis.comparison import Comparison, Status, compare_pair, compare_records
from deploybench.analysis.matching import latest, match, refuse_the_same_run, unlike
from deploybench.artifacts.artifact import Artifact, open_artifact, sha256_of_file
from deploybench.artifacts.naming import KEY_DIGITS
from deploybench.artifacts.workspace import MEASURED_AGAIN, open_workspace
from deploybench.errors import DeployBenchError
from deploybench.plan.cells import form_of
from deploybench.plan.selection import named_artifacts
from deploybench.results.cell import END_TO_END, Cell, CellOptions
from deploybench.results.record import Record
from deploybench.runs.events import RunEvent
from deploybench.runs.request import RunRequest, carry_out
from deploybench.runs.run import end_to_end_image

SETTLED_HERE = frozenset({"host", "version", "environment"})
"""What may differ between two records: their artifacts are measured here, by this version."""

ONE_ARTIFACT = "both sides are one artifact, so that its files changed nothing"

Key = tuple[str | int | None, ...]
Tell = Callable[[RunEvent], None]


@dataclass(frozen=True)
class AgainRequest:
    """How the artifacts of both sides are measured again.

    ``baseline_artifacts`` are folders or names of artifacts. Those of the records are looked for in
    the workspace, and among the artifacts that lie beside the records of either side:
    ``beside_baseline``, ``beside_candidate``. ``budget_s`` and ``rounds`` are those of
    :class:`~deploybench.runs.request.RunRequest`.

    ``insist`` also measures where libraries changed between the records, where the candidate comes
    from another host, and has a run that is refused raise. Artifacts of one key are then compared
    as well, if the baseline's lies beside its records: the same files are not measured, and
    the row says so; other files are.
    """

    workspace: Path | None = None
    baseline_artifacts: Sequence[Path] = ()
    beside_baseline: Sequence[Artifact] = ()
    beside_candidate: Sequence[Artifact] = ()
    budget_s: float = 60.0
    rounds: int | None = None
    trust: bool = False
    insist: bool = False


@dataclass
class _Pair:
    """The two records of one cell, either of which may be missing, and what comes of them.

    ``artifacts`` are the baseline's and the candidate's, where both can be measured again;
    ``why_not`` says why they are not. ``rows`` are those of the new run.
    """

    old: Record | None
    new: Record | None
    artifacts: tuple[Artifact, Artifact] | None = None
    why_not: str = ""
    notes: list[str] = field(default_factory=list)
    same_files: bool = False
    rows: list[Comparison] = field(default_factory=list)


def compare_again(
    baseline: Sequence[Record],
    candidate: Sequence[Record],
    request: AgainRequest,
    *,
    allowed: Collection[str] = (),
    others: OtherRuns = NO_OTHERS,
    on_event: Tell | None = None,
) -> list[Comparison]:
    """As :func:`~deploybench.analysis.comparison.compare_records`, of artifacts measured again
    where that can be done.

    Raises DeployBenchError for a record on both sides and for artifacts that are named and not
    there, and what cut a run short.
    """
    refuse_the_same_run(baseline, candidate)
    others = replace(others, records=(*others.records, *baseline, *candidate))
    pairs = [_Pair(old, new) for old, new in match(latest(baseline), latest(candidate), ())]
    _find_artifacts(pairs, request, allowed)

    # Cells of one run have their threads and options in common.
    groups: dict[tuple[int, CellOptions], list[_Pair]] = defaultdict(list)
    for pair in pairs:
        if pair.artifacts is not None and pair.new is not None:
            groups[pair.new.cell.threads, pair.new.cell.options].append(pair)
    for members in groups.values():
        try:
            _measure(members, request, allowed, on_event)
        except DeployBenchError as error:
            if request.insist:
                raise
            for pair in members:
                pair.why_not = f"measuring again was refused ({error.found})"

    rows: list[Comparison] = []
    for pair in pairs:
        if pair.same_files:
            rows.append(_row_of_the_same_files(pair))
        else:
            rows += pair.rows or _rows_of_records(pair, allowed, others)
    return rows


def _rows_of_records(
    pair: _Pair, allowed: Collection[str], others: OtherRuns
) -> Iterator[Comparison]:
    old = [pair.old] if pair.old is not None else []
    new = [pair.new] if pair.new is not None else []
    for row in compare_records(old, new, allowed=allowed, others=others):
        notes = row.notes
        if row.ratio is not None and pair.why_not:
            notes = (f"on the records: {pair.why_not}", *notes)
        yield replace(row, notes=notes)


def _row_of_the_same_files(pair: _Pair) -> Comparison:
    assert pair.old is not None
    assert pair.new is not None
    row = compare_pair(pair.old, pair.new, allowed=("host", "version", "environment"))[0]
    words = "both artifacts are the same files, byte for byte: there was nothing to measure again"
    return Comparison(row.baseline, row.candidate, Status.SAME_FILES, reason=words, notes=(words,))


def _find_artifacts(
    pairs: Sequence[_Pair], request: AgainRequest, allowed: Collection[str]
) -> None:
    """Say of each pair which artifacts to measure, or why it stays as it is."""
    workspace = open_workspace(request.workspace)
    named = named_artifacts(workspace, request.baseline_artifacts)
    own = {artifact.manifest.key: artifact for artifact in workspace.artifacts()}
    beside_candidate = {artifact.manifest.key: artifact for artifact in request.beside_candidate}
    beside_baseline = {artifact.manifest.key: artifact for artifact in request.beside_baseline}
    at_hand = {**beside_candidate, **beside_baseline, **own}
    for pair in pairs:
        if pair.old is not None and pair.new is not None:
            pair.why_not = _why_not(pair.old, pair.new, request, allowed) or ""
            if not pair.why_not:
                _find_both(pair, pair.old, pair.new, named, at_hand)
            if request.insist and pair.why_not == ONE_ARTIFACT:
                _look_at_the_files(pair, pair.old, pair.new, beside_baseline, beside_candidate, own)


def _find_both(
    pair: _Pair,
    old: Record,
    new: Record,
    named: Sequence[Artifact],
    at_hand: Mapping[str, Artifact],
) -> None:
    before = _artifact_of(old.cell, at_hand)
    for artifact in named:
        if _fits(artifact, old.cell):
            before = artifact
    after = _artifact_of(new.cell, at_hand)
    if before is None:
        pair.why_not = f"the baseline's artifact ({_short_key(old)}) is not at hand"
    elif after is None:
        pair.why_not = f"the candidate's artifact ({_short_key(new)}) is not at hand"
    elif before.manifest.key == after.manifest.key:
        pair.why_not = ONE_ARTIFACT
    else:
        pair.artifacts = (before, after)
        if before.manifest.key != old.cell.artifact_key:
            pair.notes.append("the baseline's artifact is the one that was named")
        changed = _changed_libraries(old, new)
        if changed:
            pair.notes.append(
                f"both artifacts ran on what is installed now, so that {changed} is in no ratio"
            )


def _look_at_the_files(
    pair: _Pair,
    old: Record,
    new: Record,
    beside_baseline: Mapping[str, Artifact],
    beside_candidate: Mapping[str, Artifact],
    own: Mapping[str, Artifact],
) -> None:
    """Two exports of one key may differ in their files: then both are measured.

    Only what lies beside its records is surely the baseline's. The candidate's is that, too, where
    it is there, or what it was measured from, or else the workspace's ``own``.
    """
    before = beside_baseline.get(old.cell.artifact_key or "")
    after = beside_candidate.get(new.cell.artifact_key or "") or _artifact_of(new.cell, own)
    if before is None or after is None or before.path.resolve() == after.path.resolve():
        return
    if before.manifest.content_sha256 != after.manifest.content_sha256:
        pair.artifacts, pair.why_not = (before, after), ""
    elif not _changed_libraries(old, new):
        # Where libraries changed, the records are all that tells what came of it.
        pair.same_files = True


def _short_key(record: Record) -> str:
    return (record.cell.artifact_key or "none")[:KEY_DIGITS]


def _why_not(
    old: Record, new: Record, request: AgainRequest, allowed: Collection[str]
) -> str | None:
    """Why the two records are better left as they are; None where they are not."""
    if old.summary is None or new.summary is None:
        return "a side has no number"
    if any(record.parity is not None and record.parity.accepted for record in (old, new)):
        return "a side was accepted by accuracy, which is not measured again here"
    if set(unlike(old, new)) - SETTLED_HERE - set(allowed):
        return "they are unlike"
    if _means(old.cell) != _means(new.cell):
        return "they were measured by unlike means"
    if new.cell.timing == END_TO_END and new.cell.image != _own_image(request):
        return "the image that was read is not at hand"
    if request.insist:
        return None
    if new.host.hostname != platform.node():
        return f"the candidate was measured on {new.host.hostname}; --rerun-baseline measures here"
    changed = _changed_libraries(old, new)
    if changed:
        return f"{changed} is in no artifact; --rerun-baseline compares the artifacts alone"
    return None


def _means(cell: Cell) -> Key:
    """What has to be equal for both artifacts to be measured in one run, as one cell."""
    return (
        cell.runner,
        cell.device,
        cell.precision,
        cell.batch,
        cell.threads,
        cell.streams,
        cell.timing,
        *cell.option_values.values(),
    )


def _own_image(request: AgainRequest) -> str:
    """What identifies the image that end-to-end cells read unless they are given another."""
    workspace = open_workspace(_own_workspace(request))
    workspace.prepare()
    return sha256_of_file(end_to_end_image(None, workspace))[:12]


def _own_workspace(request: AgainRequest) -> Path:
    """Where the records of the new run go: among the others it would be the latest run, in which
    a cell stands twice."""
    return open_workspace(request.workspace).root / MEASURED_AGAIN


def _changed_libraries(old: Record, new: Record) -> str:
    """The versions that differ, in words: ``onnxruntime 1.30 → 1.31``."""
    changed = []
    for name, version in old.versions.items():
        after = new.versions.get(name, version)
        if after != version:
            changed.append(f"{name} {version} → {after}")
    return ", ".join(changed)


def _artifact_of(cell: Cell, at_hand: Mapping[str, Artifact]) -> Artifact | None:
    """The artifact of a record: where it lay, else wherever one with its key lies."""
    if cell.artifact is not None:
        with contextlib.suppress(DeployBenchError):
            artifact = open_artifact(Path(cell.artifact))
            if artifact.manifest.key == cell.artifact_key:
                return artifact
    return at_hand.get(cell.artifact_key or "")


def _fits(artifact: Artifact, cell: Cell) -> bool:
    """Whether an artifact that was named can stand for that of a record."""
    manifest = artifact.manifest
    if manifest.key == cell.artifact_key:
        return True
    size = (manifest.preprocessing.height, manifest.preprocessing.width)
    same_model = (manifest.model.name, size) == (cell.model, cell.image_size)
    return same_model and (manifest.backend, form_of(artifact)) == (cell.backend, cell.form)


def _measure(
    pairs: Sequence[_Pair],
    request: AgainRequest,
    allowed: Collection[str],
    on_event: Tell | None,
) -> None:
    """One run of both artifacts of each pair, and the rows that come of it."""
    wanted: set[Key] = set()
    cells: list[Cell] = []
    paths: list[Path] = []
    for pair in pairs:
        assert pair.new is not None
        assert pair.artifacts is not None
        cells.append(pair.new.cell)
        for artifact in pair.artifacts:
            paths.append(artifact.path)
            wanted.add((str(artifact.path), *_means(pair.new.cell)))
    result = carry_out(
        RunRequest(
            artifacts=list(dict.fromkeys(paths)),
            runners=list(dict.fromkeys(cell.runner for cell in cells)),
            devices=list(dict.fromkeys(cell.device for cell in cells)),
            precisions=list(dict.fromkeys(cell.precision for cell in cells)),
            batches=list(dict.fromkeys(cell.batch for cell in cells)),
            threads=cells[0].threads,
            streams=list(dict.fromkeys(cell.streams for cell in cells)),
            timings=list(dict.fromkeys(cell.timing for cell in cells)),
            options=cells[0].options,
            only=lambda cell: (cell.artifact, *_means(cell)) in wanted,
            budget_s=request.budget_s,
            rounds=request.rounds,
            trust=request.trust,
            workspace=_own_workspace(request),
        ),
        on_event,
    )
    if result.cut_short is not None:
        raise result.cut_short
    records = {(record.cell.artifact, *_means(record.cell)): record for record in result.records}
    for pair in pairs:
        assert pair.new is not None
        assert pair.artifacts is not None
        means = _means(pair.new.cell)
        old, new = (records.get((str(artifact.path), *means)) for artifact in pair.artifacts)
        if old is None or new is None:
            pair.why_not = "the cell cannot be measured here now"
        elif old.summary is None:
            pair.why_not = f"the baseline's artifact has no number here: {old.judgement.reason}"
        else:
            notes = (f"both artifacts were measured again: {result.folder}", *pair.notes)
            rows = compare_pair(old, new, allowed=allowed)
            pair.rows = [replace(row, notes=(*notes, *row.notes)) for row in rows]
