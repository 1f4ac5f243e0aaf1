"""Which record of one side belongs to which of the other, and what makes two records unlike."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from deploybench.children.environment import in_words, said_of
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.hardware.devices import CPU, kind_of
from deploybench.hardware.places import cpus_in_words
from deploybench.plurals import counted
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
    "environment",
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
    """A comparison of two values of one field, often within one run.

    As ``runner``, ``onnxruntime``, ``openvino``.
    """

    field: str
    baseline: str
    candidate: str


def read_allowed(names: Sequence[str]) -> frozenset[str]:
    """The names of what may differ; ``all`` is each of them.

    Raises DeployBenchError for an unknown one.
    """
    for name in names:
        if name not in (*ALLOWABLE, "all"):
            raise unknown_name("kind of difference", name, (*ALLOWABLE, "all"))
    if "all" in names:
        return frozenset(ALLOWABLE)
    return frozenset(names)


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
    by_cell = {}
    for record in sorted(records, key=lambda record: record.created):
        by_cell[record.cell.identity] = record
    return list(by_cell.values())


def held_against(baseline: Sequence[Record], candidate: Sequence[Record]) -> list[Record]:
    """Of a baseline of several runs the records that a candidate is held against, one a cell.

    A record that was replaced is one only where the candidate has its cell: a checkpoint or a model
    that the baseline itself has left behind is missed by nobody. It was replaced where its cell was
    measured later, of whatever weights and wherever, or where its run was followed by one on the
    same host with a cell in common, which would have measured it.
    """
    newest: dict[object, str] = {}
    newest_here: dict[object, str] = {}
    for record in baseline:
        cell = _but_for_weights(record)
        newest[cell] = max(newest.get(cell, ""), record.created)
        here = (record.host.hostname, cell)
        newest_here[here] = max(newest_here.get(here, ""), record.created)
    last_of_runs = _last_of_runs(baseline)
    followed = set()
    for record in baseline:
        run = _run_of(record)
        if newest_here[record.host.hostname, _but_for_weights(record)] > last_of_runs[run]:
            followed.add(run)

    held: list[Record] = []
    for old, new in match(latest(baseline), latest(candidate), ()):
        if old is None:
            continue
        replaced = newest[_but_for_weights(old)] > last_of_runs[_run_of(old)]
        if new is not None or not (replaced or _run_of(old) in followed):
            held.append(old)
    return held


def _but_for_weights(record: Record) -> tuple[object, ...]:
    return _values(record.cell, [name for name in FIELDS if name != "weights"])


def _run_of(record: Record) -> tuple[str, str]:
    return (record.host.hostname, record.run)


def _last_of_runs(records: Sequence[Record]) -> dict[tuple[str, str], str]:
    """When each run wrote its last record."""
    last: dict[tuple[str, str], str] = {}
    for record in records:
        run = _run_of(record)
        last[run] = max(last.get(run, ""), record.created)
    return last


def refuse_the_same_run(baseline: Sequence[Record], candidate: Sequence[Record]) -> None:
    """Raise DeployBenchError when a record is on both sides: it would be compared with itself."""
    cells_of_baseline = {(record.run, record.cell.identity) for record in baseline}
    shared = []
    for record in candidate:
        if (record.run, record.cell.identity) in cells_of_baseline:
            shared.append(record)
    if shared:
        run = shared[0].run
        records = counted(len(shared), "record")
        verb = "is" if len(shared) == 1 else "are"
        raise DeployBenchError(
            f"{records} of run {run} {verb} on both sides",
            expected="two different runs, or two things within one",
            action=f"deploybench compare {run} --across runner=onnxruntime,openvino",
        )


def having(records: Sequence[Record], field: str, value: str) -> list[Record]:
    """The records whose field has that value. Raises DeployBenchError when none has."""
    by_value: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_value[str(_value(record.cell, field))].append(record)
    if value not in by_value:
        raise unknown_name(field, value, set(by_value))
    return by_value[value]


def match(
    baseline: Sequence[Record], candidate: Sequence[Record], free: Collection[str]
) -> list[tuple[Record | None, Record | None]]:
    """Each record with its partner of the other side.

    That is the one that differs in nothing, else the one left over that differs in the least, else
    None. What is in ``free`` may differ without being a difference.
    """
    partner_of_old = _equals(baseline, candidate)
    partner_of_new = {new: old for old, new in partner_of_old.items()}
    # Those that differ in the least choose first; of equals those of the baseline's latest run, and
    # within a run those that stand first.
    for i, j in _nearest_first(baseline, candidate, partner_of_old, free):
        if i not in partner_of_old and j not in partner_of_new:
            partner_of_old[i] = j
            partner_of_new[j] = i
    matched: list[tuple[Record | None, Record | None]] = []
    for i, old in enumerate(baseline):
        if i in partner_of_old:
            matched.append((old, candidate[partner_of_old[i]]))
        else:
            matched.append((old, None))
    for j, new in enumerate(candidate):
        if j not in partner_of_new:
            matched.append((None, new))
    return matched


def _equals(baseline: Sequence[Record], candidate: Sequence[Record]) -> dict[int, int]:
    """Which of the candidate's records differs in nothing, by the place of the baseline's.

    Of several that do not, the first choose the first.
    """
    places: dict[tuple[object, ...], deque[int]] = defaultdict(deque)
    for j, new in enumerate(candidate):
        places[_values(new.cell, FIELDS)].append(j)
    partners = {}
    for i, old in enumerate(baseline):
        alike = places.get(_values(old.cell, FIELDS))
        if alike:
            partners[i] = alike.popleft()
    return partners


def _nearest_first(
    baseline: Sequence[Record],
    candidate: Sequence[Record],
    partners: Mapping[int, int],
    free: Collection[str],
) -> list[tuple[int, int]]:
    """The pairs of what is left over that may be compared at all, those that differ in the least
    first."""
    # What may not differ puts records that could be partners together: thousands of records are
    # not held against thousands.
    fixed = [name for name in FIELDS if name not in ALLOWABLE and name not in free]
    taken = set(partners.values())
    left_over: dict[tuple[object, ...], list[int]] = defaultdict(list)
    for j, new in enumerate(candidate):
        if j not in taken:
            left_over[_values(new.cell, fixed)].append(j)
    last_of_runs = _last_of_runs(baseline)
    newest_first = sorted(set(last_of_runs.values()), reverse=True)
    age = {created: number for number, created in enumerate(newest_first)}
    near: list[tuple[int, int, int, int, int]] = []
    for i, old in enumerate(baseline):
        if i in partners:
            continue
        run_age = age[last_of_runs[_run_of(old)]]
        for j in left_over.get(_values(old.cell, fixed), ()):
            differing = {name for name in FIELDS if _differs(old.cell, candidate[j].cell, name)}
            near.append((len(differing.difference(free)), len(differing), run_age, i, j))
    return [(i, j) for _, _, _, i, j in sorted(near)]


def _values(cell: Cell, names: Iterable[str]) -> tuple[object, ...]:
    return tuple(_value(cell, name) for name in names)


def _value(cell: Cell, name: str) -> object:
    """The value of the field that the user calls by that name."""
    return getattr(cell, FIELDS[name])


def _differs(old: Cell, new: Cell, name: str) -> bool:
    return _value(old, name) != _value(new, name)


def unlike(old: Record, new: Record) -> dict[str, str]:
    """What makes the two records unlike, by the name that allows it, in words."""
    differences = {}
    for name in ALLOWABLE:
        if name in FIELDS and _differs(old.cell, new.cell, name):
            before, after = _value(old.cell, name), _value(new.cell, name)
            differences[name] = f"{name} {before} → {after}"
    ran_before, ran_after = _effective_precision(old), _effective_precision(new)
    both_ran = ran_before is not None and ran_after is not None
    if both_ran and ran_before != ran_after and "precision" not in differences:
        differences["precision"] = f"effective precision {ran_before} → {ran_after}"
    if old.host.hostname != new.host.hostname:
        differences["host"] = f"host {old.host.hostname} → {new.host.hostname}"
    elif hardware(old) != hardware(new) and kind_of(old.cell.device) == kind_of(new.cell.device):
        differences["host"] = f"hardware {', '.join(hardware(old))} → {', '.join(hardware(new))}"
    old_version, new_version = _own_version(old), _own_version(new)
    if old_version != new_version:
        differences["version"] = f"deploybench {old_version} → {new_version}"
    environment = _environments(old, new)
    if environment is not None:
        differences["environment"] = environment
    return differences


def _environments(old: Record, new: Record) -> str | None:
    """How the variables that change numbers differ; None where they do not, or one is not known."""
    if old.host.environment_kept is None or new.host.environment_kept is None:
        return None
    before, after = said_of(old.host.environment_kept), said_of(new.host.environment_kept)
    if before == after:
        return None
    words = [in_words(_not_in(one, other)) for one, other in ((before, after), (after, before))]
    return f"environment {words[0] or 'without'} → {words[1] or 'without'}"


def _not_in(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in one.items() if other.get(name) != value}


def _effective_precision(record: Record) -> str | None:
    """What the first launch ran in; None where it did not come to that."""
    if record.summary is None or not record.launches:
        return None
    facts = record.launches[0].facts
    if facts is None:
        return None
    return facts.precision


def _own_version(record: Record) -> str:
    """The version of deploybench that wrote the record."""
    return record.host.versions.get("deploybench", "unknown")


def hardware(record: Record) -> tuple[str, ...]:
    """What the cell ran on, by make: two hosts may be alike."""
    host = record.host
    parts = [host.cpu_model, counted(host.usable_cores, "usable core")]
    if record.cell.device != CPU:
        parts += [gpu.name for gpu in host.gpus]
    return tuple(parts)


def changes(old: Record, new: Record) -> list[str]:
    """What else is not the same: often it is the very question."""
    before = {**old.versions, "kernel": old.host.kernel, "Python": old.host.python}
    after = {**new.versions, "kernel": new.host.kernel, "Python": new.host.python}
    changed = []
    for name, version in before.items():
        if name in after and after[name] != version:
            changed.append(f"{name} {version} → {after[name]}")
    if old.pinned != new.pinned:
        changed.append(f"{_pinned(old)} → {_pinned(new)}")
    return changed


def _pinned(record: Record) -> str:
    if record.pinned is None:
        return "not pinned"
    return f"pinned to {cpus_in_words(record.pinned)}"
