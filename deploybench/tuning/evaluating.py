"""How right configurations are: evaluations of a tuning, step by step with more images.

What computes the same answers is evaluated once, whatever its options and threads. An evaluation
that an earlier call finished is read from its records.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from deploybench.analysis.qualities import quality_key
from deploybench.artifacts.acceptance import EXACT
from deploybench.children import deadlines
from deploybench.errors import DeployBenchError
from deploybench.evaluate.events import EvaluationEvent
from deploybench.export.order import ExportEvent
from deploybench.plan.acceptance import loosest_of
from deploybench.plan.cells import Planned
from deploybench.results.cell import Cell
from deploybench.results.quality import Quality
from deploybench.results.record import Record
from deploybench.results.store import read_records
from deploybench.runs.evaluation import EvaluationRequest, carry_out_evaluation
from deploybench.tuning.images import TuneImages
from deploybench.tuning.journal import JournalFile, TuneEvaluation
from deploybench.tuning.measuring import Surroundings
from deploybench.tuning.space import name_of

LARGEST_SHARE = 0.5
"""Of the time that is left, for more images."""
Answers = tuple[str | None, ...]


def answers_of(cell: Cell) -> Answers:
    """What computes the same answers: as :func:`~deploybench.analysis.qualities.quality_key`."""
    return (cell.artifact_key, cell.runner, cell.device, cell.precision)


@dataclass
class Evaluations:
    """What is known of the answers; ``records`` are the latest of each that was evaluated."""

    images: TuneImages
    surroundings: Surroundings
    journal: JournalFile
    tell: Callable[[EvaluationEvent | ExportEvent], None]
    records: dict[Answers, Record] = field(default_factory=dict)
    steps: dict[Answers, int] = field(default_factory=dict)
    seconds_an_image: float = 0.0
    """By the latest evaluation that was carried out whole."""

    def quality_of(self, cell: Cell) -> Quality | None:
        record = self.records.get(answers_of(cell))
        if record is None:
            return None
        return record.quality

    def record_of(self, cell: Cell) -> Record | None:
        return self.records.get(answers_of(cell))

    def next_step(self, cell: Cell) -> int | None:
        """The step that tells more of the cell; None where there are no more images."""
        step = self.steps.get(answers_of(cell), -1) + 1
        if step < len(self.images.steps):
            return step
        return None

    def affordable(self, step: int, count: int, left_s: float) -> bool:
        """Whether so many cells can see the images of the step in the time that is left."""
        if left_s <= 0:
            return False  # what an image takes may not be known
        needed_s = self.seconds_an_image * self.images.counts[step] * count
        return needed_s <= LARGEST_SHARE * left_s

    def evaluate(self, step: int, planned: Sequence[Planned], ends: float = math.inf) -> float:
        """Evaluate the cells on the images of the step; the seconds that it took, now or before.

        What is not done by ``ends`` (on the monotonic clock) is not known, and no later call takes
        it for done: it goes on from what was predicted.

        Raises KeyboardInterrupt, and DeployBenchError where nothing can be evaluated.
        """
        names = tuple(sorted({name_of(plan.cell) for plan in planned}))
        known = self._known(step, names)
        if known is not None:
            records, spent_s = known
            all_done = bool(records)
        else:
            began = monotonic()
            with deadlines.no_later_than(ends):
                records, run = self._carried_out(step, planned)
                cut = deadlines.passed()
            spent_s = monotonic() - began
            seen = [one for one in records if not (cut and one.quality is None)]
            all_done = bool(records) and len(seen) == len(records)
            if all_done:
                made = TuneEvaluation(step=step, run=run, names=names, spent_s=spent_s)
                self.journal.put_evaluation(made)
            records = seen
        for record in records:
            self.records[quality_key(record)] = record
            self.steps[quality_key(record)] = step
        if all_done:
            # What was cut took its time for images that nobody counted: it tells of no later one.
            self.seconds_an_image = spent_s / (len(records) * self.images.counts[step])
        return spent_s

    def _known(self, step: int, names: tuple[str, ...]) -> tuple[list[Record], float] | None:
        """What an earlier call found."""
        for made in self.journal.document.evaluations:
            if (made.step, made.names) != (step, names):
                continue
            folder = self.surroundings.workspace.records_folder / made.run
            with contextlib.suppress(DeployBenchError):
                return read_records(folder), made.spent_s
        return None

    def _carried_out(self, step: int, planned: Sequence[Planned]) -> tuple[list[Record], str]:
        asked = self.surroundings.request
        data = self.images.steps[step]
        wanted = {answers_of(plan.cell) for plan in planned}
        reduced = any(loosest_of(plan) != EXACT for plan in planned)
        drop = asked.max_accuracy_drop if self.images.labelled and reduced else None
        request = EvaluationRequest(
            data=Path(data.path),
            split=data.split,
            class_names=data.class_names,
            uncertain=data.uncertain,
            columns=data.columns,
            unlabelled=data.unlabelled,
            artifacts=list(dict.fromkeys(plan.artifact.path for plan in planned)),
            runners=list(dict.fromkeys(plan.cell.runner for plan in planned)),
            devices=list(dict.fromkeys(plan.cell.device for plan in planned)),
            precisions=list(dict.fromkeys(plan.cell.precision for plan in planned)),
            threads=asked.threads,
            pin=asked.pin,
            task=asked.task,
            only=lambda cell: answers_of(cell) in wanted,
            max_accuracy_drop=drop,
            seed=asked.seed,
            trust=asked.trust,
            workspace=self.surroundings.workspace.root,
        )
        result = carry_out_evaluation(request, self.tell)
        if result.cut_short is not None:
            raise result.cut_short
        return list(result.records), result.run
