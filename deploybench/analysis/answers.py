"""The answer that a comparison is made for: which runner is the fastest, by how much, how sure.

Runners compete within one run on one job: the same model, device, batch, threads, streams and
timing. The fastest is *known* only where its paired speed-up over every other runner has an answer
(:func:`deploybench.statistics.ratios.answer`); runners within the margin of each other share the
place. What is not known comes with the number of rounds that would tell, and the command for it.
"""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from deploybench.analysis.against import answer_if_any
from deploybench.analysis.findings import baseline_of
from deploybench.analysis.settling import budget_for, rounds_to_settle
from deploybench.analysis.speedups import MOST_ROUNDS_OF_VISITS, speedups_of
from deploybench.analysis.verdicts import judge_speedup
from deploybench.data.image_size import size_text
from deploybench.hardware.devices import CPU
from deploybench.results.cell import HOST_TO_HOST, Cell
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.statistics.ratios import (
    DEFAULT_MARGIN,
    Answer,
    Ratio,
    answer,
)
from deploybench.statistics.samples import FEWEST_FOR_INTERVAL

MOST_ROUNDS_ADVISED = 100
"""More rounds than this are no advice: what disturbs the machine has to go first."""
USUAL_ROUNDS = 12
"""Rounds to start with where those that there are say nothing: twice the fewest."""
PROFILE_OF_THIS_HOST = "host"
DEFAULT_WORKSPACE = "deploybench-workspace"


@dataclass(frozen=True)
class Lead:
    """How many times faster the fastest runner is than ``cell``.

    ``undisturbed`` is false where other work ran beside the rounds that the ratio is from.
    ``rounds_to_settle`` would give an answer that is not AMBIGUOUS; None where rounds are not what
    is missing. ``experienced_answer`` and
    ``undisturbed_answer`` are those of the two ratios of cells that were visited.
    """

    cell: Cell
    ratio: Ratio
    answer: Answer
    undisturbed: bool
    rounds_to_settle: int | None = None
    experienced_answer: Answer | None = None
    undisturbed_answer: Answer | None = None
    undisturbed_ratio: Ratio | None = None

    @property
    def contention_decides(self) -> bool:
        """Whether it is known to be faster undisturbed, and known not to be as the machine was."""
        if self.undisturbed_answer is not Answer.FASTER:
            return False
        return self.experienced_answer in (Answer.SAME, Answer.SLOWER)


@dataclass(frozen=True)
class MemoryUse:
    """The largest memory of a cell, bytes above the interpreter; of a GPU its own."""

    cell: Cell
    peak_bytes: int


@dataclass(frozen=True)
class ModelAnswer:
    """What is known of one job of one run.

    ``fastest`` is None where nothing tells. ``as_fast`` are within the margin of it; ``undecided``
    may be faster or slower. ``leads`` are its speed-ups over all others that were measured beside
    it, the closest first. ``more_rounds`` would decide the undecided ones: None if there are none,
    or if it would take more rounds than anybody waits for. ``command`` measures them again.
    """

    records: tuple[Record, ...]
    fastest: Record | None
    as_fast: tuple[Cell, ...]
    undecided: tuple[Cell, ...]
    leads: tuple[Lead, ...]
    baseline: Cell | None
    memory: tuple[MemoryUse, ...]
    more_rounds: int | None
    command: str

    @property
    def cell(self) -> Cell:
        """One of its cells: they do the same job."""
        return self.records[0].cell

    @property
    def contested(self) -> bool:
        """Whether there is anything to compare."""
        return len(self.records) > 1

    @property
    def known(self) -> bool:
        """Whether the fastest is known, and no other runner may be faster."""
        return self.contested and self.fastest is not None and not self.undecided

    @property
    def over_baseline(self) -> Lead | None:
        """The lead over the baseline, where the two were measured beside each other."""
        if self.baseline is None:
            return None
        for lead in self.leads:
            if lead.cell.key == self.baseline.key:
                return lead
        return None

    @property
    def over_next(self) -> Lead | None:
        """The lead over the closest one that it is known to be faster than."""
        for lead in self.leads:
            if lead.answer is Answer.FASTER:
                return lead
        return None

    @property
    def least_memory(self) -> MemoryUse | None:
        """The cell that takes the least memory."""
        return min(self.memory, key=lambda use: use.peak_bytes, default=None)


def answers_of(
    records: Sequence[Record], baseline: str | None = None, margin: float = DEFAULT_MARGIN
) -> list[ModelAnswer]:
    """An answer a job with a number, in the order of the records.

    ``baseline`` as in :func:`deploybench.analysis.findings.findings_of`.
    """
    jobs: dict[tuple[object, ...], list[Record]] = defaultdict(list)
    for record in records:
        if record.summary is not None and record.summary.states:
            job = (record.run, *_job(record.cell))
            jobs[job].append(record)
    return [_answer(members, baseline, margin) for members in jobs.values()]


def command_for(records: Sequence[Record], rounds: int) -> str:
    """The command that measures the cells of ``records`` beside each other, in so many rounds."""
    words = words_for(records)
    if all(record.visits for record in records):
        # A number of rounds would be of fresh launches.
        return shlex.join([*words, "--budget", f"{budget_for(records, rounds)}s"])
    return shlex.join([*words, "--rounds", str(rounds)])


def words_for(records: Sequence[Record]) -> list[str]:
    """The same command in words, without how long it measures."""
    cells = [record.cell for record in records]
    words = ["deploybench", "run"]
    words += ["--model", _listed([cell.model for cell in cells])]
    if len({cell.image_size for cell in cells}) == 1:
        words += ["--image-size", size_text(cells[0].image_size)]
    words += ["--runner", _listed([cell.runner for cell in cells])]
    words += ["--batch", _listed([str(cell.batch) for cell in cells])]
    words += ["--threads", str(cells[0].threads)]
    if any(cell.precision != cell.form.partition("-")[0] for cell in cells):
        # Not the artifacts' own: it was asked for.
        words += ["--precision", _listed([cell.precision for cell in cells])]
    if any(cell.device != CPU for cell in cells):
        words += ["--device", _listed([cell.device for cell in cells])]
    if any(cell.streams > 1 for cell in cells):
        words += ["--streams", _listed([str(cell.streams) for cell in cells])]
    timings = dict.fromkeys(cell.timing for cell in cells)
    if list(timings) != [HOST_TO_HOST]:
        words += [f"--{timing}" for timing in timings]
    words += dict.fromkeys(word for cell in cells for word in cell.option_arguments)
    if records[0].profile != PROFILE_OF_THIS_HOST:
        words += ["--profile", records[0].profile]
    workspace = workspace_of(cells[0])
    if workspace is not None:
        words += ["--workspace", str(workspace)]
    return words


def rounds_in_all(leads: Sequence[Lead], more: int | None) -> int:
    """How many rounds to measure anew, so that there are ``more`` than ``leads`` are from."""
    seen = max((lead.ratio.count for lead in leads), default=0)
    return max(seen + (more or 0), USUAL_ROUNDS)


def _answer(records: Sequence[Record], baseline: str | None, margin: float) -> ModelAnswer:
    by_time = sorted(records, key=_p50_ms)
    fastest, leads = _fastest(by_time, margin)
    as_fast = tuple(lead.cell for lead in leads if lead.answer is Answer.SAME)
    undecided = _undecided(fastest, leads, by_time)
    more = _more_rounds(leads, undecided)
    rounds = rounds_in_all(leads, more)
    return ModelAnswer(
        records=tuple(by_time),
        fastest=fastest if _beats_or_equals_any(leads) else None,
        as_fast=as_fast,
        undecided=tuple(record.cell for record in undecided),
        leads=tuple(sorted(leads, key=lambda lead: lead.ratio.value)),
        baseline=_baseline_cell(by_time, records, baseline),
        memory=_memory(by_time),
        more_rounds=more,
        command=command_for([fastest, *undecided], rounds),
    )


def _undecided(fastest: Record, leads: Sequence[Lead], by_time: Sequence[Record]) -> list[Record]:
    """What may be faster than the fastest, or slower.

    SLOWER is no decision for the leader: it is left only where three runners beat each other in a
    circle, and then nobody is known to be the fastest.
    """
    decided = {lead.cell.key for lead in leads if lead.answer in (Answer.FASTER, Answer.SAME)}
    undecided = []
    for record in by_time:
        if record is not fastest and record.cell.key not in decided:
            undecided.append(record)
    return undecided


def _beats_or_equals_any(leads: Sequence[Lead]) -> bool:
    """Without one runner that it beats or equals, the fastest is a guess."""
    return any(lead.answer in (Answer.FASTER, Answer.SAME) for lead in leads)


def _baseline_cell(
    by_time: Sequence[Record], records: Sequence[Record], baseline: str | None
) -> Cell | None:
    """The cell that the others of the job are compared with."""
    reference = baseline_of(by_time[0], records, baseline)
    if reference is None:
        return None
    return reference.cell


def _fastest(by_time: Sequence[Record], margin: float) -> tuple[Record, list[Lead]]:
    """The record that none is known to be faster than, and its leads.

    That is nearly always the one of the shortest median. Where the rounds that two shared say
    otherwise, these count: the medians may be of other moments.
    """
    leader = by_time[0]
    visited = {leader.cell.key}
    while True:
        leads = _leads(leader, by_time, margin)
        faster = [lead.cell.key for lead in leads if lead.answer is Answer.SLOWER]
        # Nobody is faster; or the runners beat each other in a circle, which has no end.
        if not faster or faster[0] in visited:
            return leader, leads
        leader = next(record for record in by_time if record.cell.key == faster[0])
        visited.add(leader.cell.key)


def _leads(leader: Record, others: Sequence[Record], margin: float) -> list[Lead]:
    """The leader's speed-up over each other record that was ever in its state of the machine."""
    leads = []
    for other in others:
        if other is leader:
            continue
        speedups = speedups_of(other, leader)
        if not speedups:
            continue
        # The state of the machine that most rounds of both met.
        most = speedups[0]
        judgement = judge_speedup(most)
        leads.append(
            Lead(
                cell=other.cell,
                ratio=most.ratio,
                answer=answer(most.ratio, margin),
                undisturbed=judgement.verdict is Verdict.VALID,
                rounds_to_settle=rounds_to_settle(most, margin),
                experienced_answer=answer_if_any(most.experienced, margin),
                undisturbed_answer=answer_if_any(most.undisturbed, margin),
                undisturbed_ratio=most.undisturbed,
            )
        )
    return leads


def _more_rounds(leads: Sequence[Lead], undecided: Sequence[Record]) -> int | None:
    """How many more rounds decide all that is undecided; None where that is none, or too many."""
    if not undecided:
        return None
    by_cell = {lead.cell.key: lead for lead in leads}
    needed = []
    for record in undecided:
        lead = by_cell.get(record.cell.key)
        if lead is None:
            # They never met in one state of the machine: nothing to reckon with yet.
            needed.append(FEWEST_FOR_INTERVAL)
            continue
        if lead.rounds_to_settle is None:
            return None
        needed.append(lead.rounds_to_settle)
    most = max(needed)
    advised = MOST_ROUNDS_ADVISED
    if all(record.visits for record in undecided):
        advised = MOST_ROUNDS_OF_VISITS
    if most > advised:
        return None
    return most


def _memory(records: Sequence[Record]) -> tuple[MemoryUse, ...]:
    """What each took at most: on a GPU of the GPU's memory, as far as that is known of all."""
    summaries = [(record.cell, record.summary) for record in records if record.summary]
    on_gpu = records[0].cell.device != CPU
    if on_gpu and all(summary.device_bytes is not None for _, summary in summaries):
        return tuple(MemoryUse(cell, summary.device_bytes or 0) for cell, summary in summaries)
    return tuple(MemoryUse(cell, summary.peak_bytes) for cell, summary in summaries)


def _job(cell: Cell) -> tuple[object, ...]:
    """What cells that compete with each other have in common."""
    return (*cell.group, cell.device, cell.batch, cell.threads, cell.streams, cell.timing)


def _p50_ms(record: Record) -> float:
    """In the state of the machine that the cell met most."""
    assert record.summary is not None  # answers are of records with a number
    return record.summary.states[0].p50_ms


def _listed(names: Sequence[str]) -> str:
    return ",".join(dict.fromkeys(names))


def workspace_of(cell: Cell) -> Path | None:
    """The workspace that holds the artifact, where it is not the usual one."""
    if cell.artifact is None:
        return None
    # Artifacts lie in WORKSPACE/artifacts/MODEL/ARTIFACT.
    parents = Path(cell.artifact).parents
    if len(parents) < 3 or parents[1].name != "artifacts":
        return None
    workspace = parents[2]
    if workspace.name == DEFAULT_WORKSPACE:
        return None
    return workspace
