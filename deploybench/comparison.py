"""Two sets of records joined by cell, with the plain ratio of their p50 latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from deploybench.results import Record

NOTHING = "–"


@dataclass(frozen=True)
class ComparisonRow:
    """One cell of either side. ``ratio`` is candidate / baseline of p50; ``note`` says what is missing or unlike."""

    model: str
    runner: str
    precision: str
    batch: int
    threads: int
    baseline_p50_ms: float | None
    candidate_p50_ms: float | None
    ratio: float | None
    note: str

    def data(self) -> dict[str, object]:
        return asdict(self)

    def texts(self) -> list[str]:
        """The cells of the printed row."""
        return [
            self.model,
            self.runner,
            self.precision,
            str(self.batch),
            str(self.threads),
            NOTHING if self.baseline_p50_ms is None else f"{self.baseline_p50_ms:.2f}",
            NOTHING if self.candidate_p50_ms is None else f"{self.candidate_p50_ms:.2f}",
            NOTHING if self.ratio is None else f"{self.ratio:.3f}",
            self.note,
        ]


def compare_records(baseline: Sequence[Record], candidate: Sequence[Record]) -> list[ComparisonRow]:
    """A row for every cell of either side; the latest record counts where a side has a cell twice."""
    old = {record.cell.identity: record for record in sorted(baseline, key=lambda record: record.created)}
    new = {record.cell.identity: record for record in sorted(candidate, key=lambda record: record.created)}
    return [_row(old.get(identity), new.get(identity)) for identity in {**old, **new}]


def _row(old: Record | None, new: Record | None) -> ComparisonRow:
    cell = _either(old, new).cell
    before = old.summary.p50_ms if old and old.summary else None
    after = new.summary.p50_ms if new and new.summary else None
    return ComparisonRow(
        model=cell.model,
        runner=cell.runner,
        precision=cell.precision,
        batch=cell.batch,
        threads=cell.threads,
        baseline_p50_ms=before,
        candidate_p50_ms=after,
        ratio=after / before if before and after else None,
        note=_note(old, new),
    )


def _either(old: Record | None, new: Record | None) -> Record:
    record = old or new
    if record is None:
        raise ValueError("a comparison row needs a record on one side")
    return record


def _note(old: Record | None, new: Record | None) -> str:
    if old is None:
        return "only in the candidate"
    if new is None:
        return "only in the baseline"
    notes = [
        f"{side} {record.judgement.verdict.value}"
        for side, record in (("baseline", old), ("candidate", new))
        if record.judgement.verdict.value != "VALID"
    ]
    if old.host.cpu_model != new.host.cpu_model or old.host.hostname != new.host.hostname:
        notes.append("different hosts")
    changed = sorted(name for name in old.versions if old.versions[name] != new.versions.get(name))
    notes += [f"{name} {old.versions[name]} → {new.versions.get(name, 'none')}" for name in changed]
    return "; ".join(notes)
