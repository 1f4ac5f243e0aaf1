"""The row of a candidate of an advice: flat, every unit in the name; table, JSON and CSV print the
same rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.advice import Advice
from deploybench.analysis.amounts import Amount, Quantity
from deploybench.analysis.candidates import Candidate
from deploybench.analysis.constraints import Assessment
from deploybench.rows.readers import BYTES_PER_MIB
from deploybench.rows.row import Row
from deploybench.rows.rows import rows_of

BEST, SAME = "best", "as good"
KEYS = {
    Quantity.P50: ("p50", "_ms", 1),
    Quantity.P99: ("p99", "_ms", 1),
    Quantity.THROUGHPUT: ("throughput", "_images_per_s", 1),
    Quantity.MEMORY: ("memory", "_mib", BYTES_PER_MIB),
    Quantity.SIZE: ("artifact", "_mib", BYTES_PER_MIB),
    Quantity.ACCURACY: ("accuracy", "", 1),
    Quantity.DROP: ("accuracy_drop", "", 1),
}
"""The name of a figure, the end of the name, and how many of our unit are one of it."""


@dataclass(frozen=True)
class AdviceRow:
    """One candidate, with the row of its time; ``place`` is ``best``, ``as good`` or empty."""

    assessment: Assessment
    row: Row
    place: str

    @property
    def candidate(self) -> Candidate:
        return self.assessment.candidate


def advice_rows(advice: Advice) -> list[AdviceRow]:
    """The rows of one machine: those of a model together, the best by the objective first."""
    places = {}
    if advice.recommended is not None:
        places[id(advice.recommended.candidate)] = BEST
    for rival in advice.as_good:
        places[id(rival.assessment.candidate)] = SAME
    groups = list(dict.fromkeys(_group(one) for one in advice.assessments))
    rows = []
    for assessment in advice.assessments:
        candidate = assessment.candidate
        record = candidate.record
        if candidate.quality is not None:
            record = record.replaced(quality=candidate.quality)
        row = next(row for row in rows_of([record]) if row.main_state)
        rows.append(AdviceRow(assessment, row, places.get(id(candidate), "")))
    return sorted(
        rows,
        key=lambda row: (
            groups.index(_group(row.assessment)),
            not row.assessment.usable,
            _order(row.candidate, advice.objective),
        ),
    )


def _group(assessment: Assessment) -> tuple[str | int, ...]:
    return assessment.candidate.record.cell.group


def _order(candidate: Candidate, objective: Quantity) -> float:
    value = candidate.amounts[objective].value
    if value is None:
        return float("inf")
    return -value if objective.more_is_better else value


def advice_data(
    row: AdviceRow, advice: Advice, words: str, commands: Sequence[str]
) -> dict[str, object]:
    """The row for a program; ``words`` and ``commands`` are of the whole machine."""
    return {**_entry(row, advice), "advice": words, "commands": "; ".join(commands)}


def _entry(found: AdviceRow, advice: Advice) -> dict[str, object]:
    candidate, assessment, row = found.candidate, found.assessment, found.row
    entry: dict[str, object] = {
        "recommended": found.place == BEST,
        "as_good": found.place == SAME,
        "fit": assessment.fit.value if assessment.usable else None,
        "unusable": candidate.unusable,
        "on_front": assessment.on_front,
        "dominated_by": _title(assessment.dominated_by),
        "objective": advice.objective.value,
        "model": row.model,
        "weights": row.weights,
        "image_size": row.image_size,
        "patch_size": row.patch_size,
        "runner": row.runner,
        "device": row.device,
        "form": row.form,
        "precision": row.precision,
        "batch": row.batch if candidate.timed else None,
        "threads": row.asked_threads,
        "streams": row.streams,
        "timing": row.timing,
        "options": ", ".join(row.options.option_marks),
        "timed": candidate.timed,
        "verdict": row.verdict.value if candidate.timed else None,
        "reason": row.reason,
    }
    for quantity, amount in candidate.amounts.items():
        entry |= _figures(quantity, amount)
    for judged in assessment.judged:
        name, unit, factor = KEYS[judged.constraint.quantity]
        entry[f"{name}_limit{unit}"] = judged.constraint.limit / factor
        entry[f"{name}_fit"] = judged.fit.value
    return {
        **entry,
        "accuracy_of": candidate.accuracy_of,
        "accuracy_data": "" if candidate.quality is None else candidate.quality.data.name,
        "agreement": row.agreement,
        "experienced_p50_ms": row.experienced_p50_ms,
        "parity_max_error": row.parity_max_error,
        "parity_weak": row.parity_weak,
        "parity_accepted": row.parity_accepted,
        "profile": row.profile,
        "host": row.host,
        "processor": candidate.processor,
        "run": row.run,
        "created": candidate.record.created,
        "artifact_key": row.artifact_key,
        "artifact": candidate.record.cell.artifact,
        "command": row.command,
    }


def _figures(quantity: Quantity, amount: Amount) -> dict[str, object]:
    name, unit, factor = KEYS[quantity]
    return {
        f"{name}{unit}": _in(amount.value, factor),
        f"{name}_low{unit}": _in(amount.low, factor),
        f"{name}_high{unit}": _in(amount.high, factor),
        f"{name}_doubt": amount.doubt,
    }


def _in(value: float | None, factor: int) -> float | None:
    return None if value is None else value / factor


def _title(candidate: Candidate | None) -> str:
    return "" if candidate is None else candidate.record.cell.title()
