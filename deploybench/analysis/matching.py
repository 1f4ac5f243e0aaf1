"""Which record of one side belongs to which of the other, and what makes two records unlike."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from deploybench.errors import DeployBenchError, unknown_name
from deploybench.hardware.devices import CPU, kind_of
from deploybench.results.cell import Cell
from deploybench.results.record import Record

FIELDS = {
    "model": "model",
    "weights": "weights_identity",
    "image": "image_size",
    "patch": "patch_size",
    "backend": "backend",
    "form": "form",
    "runner": "runner",
    "device": "device",
    "precision": "precision",
    "batch": "batch",
    "threads": "threads",
    "streams": "streams",
    "timing": "timing",
    **{option.name: field for field, option in Cell.declared().items()},
}
"""What tells cells apart, by the name that the user types, with the attribute of :class:`Cell`."""
ALLOWABLE = (
    "batch",
    "precision",
    "threads",
    "streams",
    "timing",
    *(option.name for option in Cell.declared().values()),
    "form",
    "weights",
    "host",
    "version",
)
"""What may differ between two rows once the user allows it; everything else is another question."""
AXES = {
    "runner": ("runner", "backend", "form"),
    "precision": ("precision", "form"),
    "threads": ("threads",),
    "device": ("device",),
    "model": ("model", "weights", "form", "patch"),
}
"""What a comparison can run across, with the fields that then differ of necessity."""


@dataclass(frozen=True)
class Axis:
    """A comparison of two values of one field, often within one run: ``runner``, ``onnxruntime``,
    ``openvino``."""

    field: str
    baseline: str
    candidate: str


def read_allowed(names: Sequence[str]) -> frozenset[str]:
    """The names of what may differ; ``all`` is each of them. Raises DeployBenchError for an unknown
    one."""
    for name in names:
        if name not in (*ALLOWABLE, "all"):
            raise unknown_name("kind of difference", name, (*ALLOWABLE, "all"))
    return frozenset(ALLOWABLE if "all" in names else names)


def read_axis(text: str) -> Axis:
    """``runner=onnxruntime,openvino`` as an axis. Raises DeployBenchError for anything else."""
    field, _, values = text.partition("=")
    parts = [part.strip() for part in values.split(",")]
    if field not in AXES or len(parts) != 2 or not all(parts) or parts[0] == parts[1]:
        raise DeployBenchError(
            f"--across {text}",
            expected=f"FIELD=BASELINE,CANDIDATE with a field of {', '.join(AXES)}: "
            f"runner=onnxruntime,openvino",
        )
    return Axis(field, parts[0], parts[1])


def latest(records: Sequence[Record]) -> list[Record]:
    """One record a cell: the one created last."""
    found = {
        record.cell.identity: record
        for record in sorted(records, key=lambda record: record.created)
    }
    return list(found.values())


def refuse_the_same_run(baseline: Sequence[Record], candidate: Sequence[Record]) -> None:
    """Raise DeployBenchError when a record is on both sides: it would be compared with itself."""
    known = {(record.run, record.cell.identity) for record in baseline}
    shared = [record.run for record in candidate if (record.run, record.cell.identity) in known]
    if shared:
        run = shared[0]
        raise DeployBenchError(
            f"{len(shared)} records of run {run} are on both sides",
            expected="two different runs, or two things within one",
            action=f"deploybench compare {run} --across runner=onnxruntime,openvino",
        )


def having(records: Sequence[Record], field: str, value: str) -> list[Record]:
    """The records whose field has that value. Raises DeployBenchError when none has."""
    found = [record for record in records if str(getattr(record.cell, FIELDS[field])) == value]
    if not found:
        raise unknown_name(
            field, value, {str(getattr(record.cell, FIELDS[field])) for record in records}
        )
    return found


def match(
    baseline: Sequence[Record], candidate: Sequence[Record], free: Collection[str]
) -> list[tuple[Record | None, Record | None]]:
    """Each record with its exact partner, else with the one left over that differs in the least,
    else with None.

    What is in ``free`` may differ without being a difference.
    """
    near: list[tuple[int, int, int, int]] = []
    for i, old in enumerate(baseline):
        for j, new in enumerate(candidate):
            differing = {name for name in FIELDS if _differs(old.cell, new.cell, name)}
            if differing <= {*ALLOWABLE, *free}:
                near.append((len(differing.difference(free)), len(differing), i, j))
    partner: dict[int, int] = {}
    for _, _, i, j in sorted(near):
        if i not in partner and j not in partner.values():
            partner[i] = j
    matched = [
        (old, candidate[partner[i]] if i in partner else None) for i, old in enumerate(baseline)
    ]
    return [
        *matched,
        *((None, new) for j, new in enumerate(candidate) if j not in partner.values()),
    ]


def _differs(old: Cell, new: Cell, name: str) -> bool:
    return bool(getattr(old, FIELDS[name]) != getattr(new, FIELDS[name]))


def unlike(old: Record, new: Record) -> dict[str, str]:
    """What makes the two records unlike, by the name that allows it, in words."""
    found = {
        name: f"{name} {getattr(old.cell, FIELDS[name])} → {getattr(new.cell, FIELDS[name])}"
        for name in ALLOWABLE
        if name in FIELDS and _differs(old.cell, new.cell, name)
    }
    ran = [record.launches[0].facts for record in (old, new) if record.summary and record.launches]
    if len(ran) == 2 and ran[0] and ran[1] and ran[0].precision != ran[1].precision:
        found.setdefault(
            "precision", f"effective precision {ran[0].precision} → {ran[1].precision}"
        )
    if old.host.hostname != new.host.hostname:
        found["host"] = f"host {old.host.hostname} → {new.host.hostname}"
    elif hardware(old) != hardware(new) and kind_of(old.cell.device) == kind_of(new.cell.device):
        found["host"] = f"hardware {', '.join(hardware(old))} → {', '.join(hardware(new))}"
    versions = [record.host.versions.get("deploybench", "unknown") for record in (old, new)]
    if versions[0] != versions[1]:
        found["version"] = f"deploybench {versions[0]} → {versions[1]}"
    return found


def hardware(record: Record) -> tuple[str, ...]:
    """What the cell ran on, by make: two hosts may be alike."""
    host = record.host
    gpus = () if record.cell.device == CPU else tuple(gpu.name for gpu in host.gpus)
    return (host.cpu_model, f"{host.usable_cores} usable cores", *gpus)


def changes(old: Record, new: Record) -> list[str]:
    """What else is not the same: often it is the very question."""
    before = {**old.versions, "kernel": old.host.kernel, "Python": old.host.python}
    after = {**new.versions, "kernel": new.host.kernel, "Python": new.host.python}
    changed = [name for name in before if name in after and after[name] != before[name]]
    return [f"{name} {before[name]} → {after[name]}" for name in changed]
