"""What could be deployed, from all records at hand: one candidate a cell, by machine.

Of a cell the newest record counts, as in ``compare``; one in which nothing was tried takes the
place of none that was. Machines are never mixed: a candidate stands beside those of the same host
alone. Accuracy belongs to what computes (:func:`deploybench.analysis.qualities.quality_key`) on a
processor, and is of one set of images for all candidates of a machine, as shares of different
images say nothing of each other.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deploybench.analysis.accepted import processor_of
from deploybench.analysis.amounts import (
    Amount,
    Quantity,
    amounts_of_quality,
    amounts_of_time,
    size_of,
    usual_accuracy,
)
from deploybench.analysis.matching import changes, unlike
from deploybench.analysis.qualities import quality_key
from deploybench.errors import DeployBenchError, unknown_name
from deploybench.hardware.host import gpu_of
from deploybench.plurals import counted
from deploybench.results.cell import HOST_TO_HOST, TIMINGS
from deploybench.results.quality import Quality
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict

UNUSABLE = (Verdict.FAILED, Verdict.INVALID, Verdict.SKIPPED)
Computes = tuple[tuple[str | None, ...], str]
"""The key of a quality, and the processor."""
DAY = 10
"""Letters of a date."""


@dataclass(frozen=True)
class Machine:
    """What candidates have to have in common to be compared at all."""

    profile: str
    hostname: str
    cpu_model: str
    usable_cores: int
    gpus: tuple[str, ...]

    @classmethod
    def of(cls, record: Record) -> Machine:
        host = record.host
        gpus = tuple(gpu.name for gpu in host.gpus)
        return cls(record.profile, host.hostname, host.cpu_model, host.usable_cores, gpus)


@dataclass(frozen=True)
class Candidate:
    """One cell that could be deployed, with the figures that are at hand.

    ``unusable`` says why it can never be recommended; empty where it can.
    """

    record: Record
    quality: Quality | None
    accuracy_of: str
    amounts: Mapping[Quantity, Amount]
    unusable: str = ""

    @property
    def timed(self) -> bool:
        """Whether it was run for its time; else only its answers are known."""
        return self.record.measures == "time"

    @property
    def random_weights(self) -> bool:
        return self.record.cell.weights_identity.startswith("random")

    @property
    def processor(self) -> str:
        """What computes: the CPU's model or the GPU's name."""
        return processor_of(self.record.cell.device, self.record.host)

    @property
    def answers_as_eager(self) -> bool:
        """Whether parity showed that it computes what fp32 eager does, and could have failed."""
        parity = self.record.parity
        return parity is not None and parity.passed and not parity.weak


@dataclass(frozen=True)
class Choice:
    """The candidates of one machine.

    ``evaluated_on`` is a quality on the images that the accuracies are of; None where there are
    none. ``notes`` say what was left out, and how the records differ.
    """

    machine: Machine
    candidates: tuple[Candidate, ...]
    accuracy_of: str
    evaluated_on: Quality | None
    notes: tuple[str, ...]


def choices_of(
    records: Sequence[Record],
    *,
    timing: str | None = None,
    accuracy_of: str | None = None,
    data: str | None = None,
    known: Sequence[Record] = (),
) -> list[Choice]:
    """The candidates of every machine, the one that was used last first.

    ``known`` are further evaluations, which make no candidates: they tell the accuracy of those.

    ``timing`` is what a time spans (None: host to host, where that was timed), ``accuracy_of`` one
    of :data:`deploybench.results.quality.ACCURACY_KINDS`, ``data`` the images that accuracies are
    of, by name, path or sha256 (None: those on which most candidates were evaluated).

    Raises DeployBenchError where nothing was evaluated on ``data`` or timed so.
    """
    records = _without_copies(records)
    timing = _timing(records, timing)
    evaluations = _evaluations(_without_copies([*known, *records]), data)
    by_machine: dict[Machine, list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.created, reverse=True):
        by_machine[Machine.of(record)].append(record)
    choices = []
    for machine, members in by_machine.items():
        choice = _choice(machine, members, timing, accuracy_of, evaluations)
        if choice.candidates:
            choices.append(choice)
    return choices


def _without_copies(records: Iterable[Record]) -> list[Record]:
    """Each record once: one that was named twice, or copied, is one."""
    once: dict[tuple[object, ...], Record] = {}
    for record in records:
        once[record.run, Machine.of(record), record.measures, record.cell.key] = record
    return list(once.values())


def _timing(records: Sequence[Record], asked: str | None) -> str:
    timings = {record.cell.timing for record in records if record.measures == "time"}
    if asked is not None:
        if timings and asked not in timings:
            raise DeployBenchError(
                f"no record is of {asked} times",
                expected=f"one of {', '.join(sorted(timings))}",
                action=f"deploybench run --{asked} measures them",
            )
        return asked
    if HOST_TO_HOST in timings or not timings:
        return HOST_TO_HOST
    return next(timing for timing in TIMINGS if timing in timings)


def _evaluations(records: Sequence[Record], data: str | None) -> list[Record]:
    """What was evaluated, oldest first: on the images that are asked for, if any are."""
    found = [
        record for record in records if record.quality is not None or record.measures != "time"
    ]
    found = [record for record in found if record.provenance != "simulated"]
    found.sort(key=lambda record: record.created)
    if data is None:
        return found
    fitting = [
        record for record in found if record.quality is None or _is_data(record.quality, data)
    ]
    if not any(record.quality is not None for record in fitting):
        names = {record.quality.data.name for record in found if record.quality is not None}
        raise unknown_name("set of images", data, names, action="deploybench evaluate --data DIR")
    return fitting


def _is_data(quality: Quality, asked: str) -> bool:
    seen = quality.data
    return asked in (seen.name, seen.path) or (len(asked) >= 8 and seen.sha256.startswith(asked))


def _choice(
    machine: Machine,
    records: Sequence[Record],
    timing: str,
    accuracy_of: str | None,
    evaluations: Sequence[Record],
) -> Choice:
    """``records`` are those of the machine, the newest first."""
    timed = [record for record in records if record.measures == "time"]
    fitting = [record for record in timed if record.cell.timing == timing]
    kept = _newest(fitting)
    timed_keys = {quality_key(record) for record in kept}
    # What was evaluated here and never timed could be deployed as well.
    for record in _newest([record for record in records if record.measures != "time"]):
        if quality_key(record) not in timed_keys:
            kept.append(record)
    qualities = _Qualities.of(kept, evaluations)
    kind = accuracy_of or usual_accuracy(qualities.example)
    candidates = tuple(_candidate(record, qualities, kind) for record in kept)
    notes = [*_left_out(timed, fitting, kept, timing), *_differences(kept)]
    return Choice(machine, candidates, kind, qualities.example, tuple(notes))


def _newest(records: Sequence[Record]) -> list[Record]:
    """Of every cell the newest record; of one run both of two artifacts of one form."""
    by_cell: dict[tuple[str | int, ...], list[Record]] = defaultdict(list)
    for record in sorted(records, key=lambda record: record.created, reverse=True):
        by_cell[record.cell.identity].append(record)
    kept = []
    for members in by_cell.values():
        tried = [record for record in members if _was_tried(record)] or members
        kept += [record for record in tried if record.run == tried[0].run]
    return kept


def _was_tried(record: Record) -> bool:
    """Whether the record says anything of the cell: not where it was skipped or cut short."""
    if record.judgement.verdict is Verdict.SKIPPED:
        return False
    return record.complete or record.summary is not None or record.quality is not None


def why_unusable(record: Record) -> str:
    """Why nothing may be chosen by what the record says, in words; empty where it may."""
    judgement = record.judgement
    if record.provenance == "simulated":
        return "simulated: a double stood in for the device, its figures are nobody's"
    if judgement.verdict in UNUSABLE:
        return f"{judgement.verdict.value}: {judgement.reason}"
    return ""


def _candidate(record: Record, qualities: _Qualities, accuracy_of: str) -> Candidate:
    quality = qualities.of_record(record)
    missing = qualities.why_none(record)
    return Candidate(
        record=record,
        quality=quality,
        accuracy_of=accuracy_of,
        amounts={
            **amounts_of_time(record),
            **amounts_of_quality(quality, accuracy_of, missing),
            Quantity.SIZE: size_of(record),
        },
        unusable=why_unusable(record),
    )


def _computes(record: Record) -> Computes:
    return quality_key(record), processor_of(record.cell.device, record.host)


@dataclass(frozen=True)
class _Qualities:
    """What is known of the answers of the candidates of a machine, on one set of images."""

    chosen: Mapping[Computes, Quality]
    example: Quality | None
    evaluations: Sequence[Record]

    @classmethod
    def of(cls, records: Sequence[Record], evaluations: Sequence[Record]) -> _Qualities:
        wanted = {_computes(record) for record in records}
        by_data: dict[str, dict[Computes, Quality]] = {}
        # Oldest first: the newest evaluation of each set of images stays.
        for record in evaluations:
            if record.quality is None or _computes(record) not in wanted:
                continue
            sha256 = record.quality.data.sha256
            # Taken out and put in again, so that the set that was evaluated last stands last.
            found = by_data.pop(sha256, {})
            by_data[sha256] = {**found, _computes(record): record.quality}
        if not by_data:
            return cls({}, None, evaluations)
        # With labels before without, then of most candidates; of equals the newest.
        newest_last = list(by_data.values())
        chosen = max(reversed(newest_last), key=lambda found: (_labelled(found), len(found)))
        return cls(chosen, next(iter(chosen.values())), evaluations)

    def of_record(self, record: Record) -> Quality | None:
        return self.chosen.get(_computes(record))

    def why_none(self, record: Record) -> str:
        """Why there is no quality of it."""
        key, processor = _computes(record)
        alike = [one for one in self.evaluations if quality_key(one) == key]
        if not alike:
            return "its accuracy was not measured"
        last = alike[-1]
        if last.quality is None:
            return f"its evaluation is {last.judgement.verdict.value}: {last.judgement.reason}"
        elsewhere = processor_of(last.cell.device, last.host)
        if elsewhere != processor:
            return f"it was evaluated on another processor only ({elsewhere})"
        return f"it was evaluated on other images only ({last.quality.data.name})"


def _labelled(found: Mapping[Computes, Quality]) -> bool:
    return any(quality.figures is not None for quality in found.values())


def _left_out(
    timed: Sequence[Record], fitting: Sequence[Record], kept: Sequence[Record], timing: str
) -> list[str]:
    """What of the machine's records takes no part."""
    notes = []
    others = len(fitting) - sum(record.measures == "time" for record in kept)
    if others:
        records = counted(others, "more record")
        notes.append(f"{records} of the same cells left out: the newest that was tried counts")
    otherwise = Counter(record.cell.timing for record in timed if record.cell.timing != timing)
    for other, count in otherwise.items():
        records = counted(count, "record")
        notes.append(f"{records} of {other} times left out: --timing {other} takes those")
    return notes


def _differences(kept: Sequence[Record]) -> list[str]:
    """Runs that are older than the newest of them, and in what the host was another then."""
    newest = max(kept, key=lambda record: record.created, default=None)
    if newest is None:
        return []
    by_run: dict[str, dict[str, None]] = {}
    for record in sorted(kept, key=lambda record: record.created):
        if record.run == newest.run or record.measures != newest.measures:
            continue
        words = by_run.setdefault(f"{record.run} ({record.created[:DAY]})", {})
        words |= dict.fromkeys(_unlike(record, newest))
    if not by_run:
        return []
    named = []
    for run, words in by_run.items():
        named.append(f"{run}: {'; '.join(words)}" if words else run)
    runs = counted(len(by_run), "older run")
    verb = "is" if len(by_run) == 1 else "are"
    return [
        f"figures of {runs} {verb} beside those of {newest.run} ({newest.created[:DAY]}), and "
        f"whole runs shift: {', '.join(named)}"
    ]


def _unlike(old: Record, new: Record) -> list[str]:
    """In what the host and the software differ, in words."""
    differing = unlike(old, new)
    words = [differing[name] for name in ("host", "version", "environment") if name in differing]
    words += changes(old, new)
    before, after = old.host, new.host
    if before.cpu_quota != after.cpu_quota:
        words.append(f"CPU quota {before.cpu_quota or 'none'} → {after.cpu_quota or 'none'}")
    if before.governor != after.governor:
        words.append(f"governor {before.governor or 'none'} → {after.governor or 'none'}")
    gpu_before, gpu_after = gpu_of(old.cell.device, before), gpu_of(new.cell.device, after)
    if gpu_before is not None and gpu_after is not None and gpu_before.driver != gpu_after.driver:
        words.append(f"driver {gpu_before.driver} → {gpu_after.driver}")
    return words
