"""The cells of an evaluation one after another: predict, score, hold against fp32 eager, record."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from deploybench.analysis.accepted import evidence_of
from deploybench.analysis.verdicts import judge_attempts
from deploybench.artifacts.acceptance import Evidence
from deploybench.data.dataset import DataSet
from deploybench.evaluate.agreement import agreement_of
from deploybench.evaluate.events import CellStarted, EvaluationEvent, ImagesSeen
from deploybench.evaluate.predicting import Predicting, predict_cell
from deploybench.evaluate.scoring import (
    Evaluated,
    Scored,
    data_seen,
    difference_of,
    evaluated_of,
    quality_of,
    scored,
)
from deploybench.plan.cells import Planned
from deploybench.results.launch import Launch
from deploybench.results.quality import ITSELF, REFERENCE_ITSELF, AgainstEager, Quality
from deploybench.results.record import Record
from deploybench.results.verdict import Judgement, Verdict
from deploybench.runs.evaluation_plan import Eager, Held
from deploybench.runs.evaluation_records import evaluation_command, evaluation_record
from deploybench.runs.settings import RunContext

Group = tuple[str | int, ...]
Booleans = npt.NDArray[np.bool_]
NO_ANSWERS = "it has no answers itself"
NEVER = Evidence(accepted=False, words="")
"""Of a failure that no accuracy may stand for: the report puts in why."""


@dataclass(frozen=True)
class _Reference:
    """The answers of fp32 eager to the images, and which of them are right."""

    planned: Planned
    evaluated: Evaluated
    score: Scored | None


@dataclass
class Evaluating:
    """What the cells of one evaluation share; it remembers the answers of fp32 eager.

    ``held`` is by artifact, ``eager`` by group of cells: those of fp32 eager come first.
    ``max_drop`` is the drop of accuracy by which a reduced precision is accepted that fails parity;
    None: none is.
    """

    data: DataSet
    split: str | None
    labelled: bool
    held: Mapping[Path, Held]
    eager: Mapping[Group, Eager]
    common: Predicting
    context: RunContext
    seed: int
    max_drop: float | None
    tell: Callable[[EvaluationEvent], None]
    _references: dict[Group, _Reference] = field(default_factory=dict)

    def record_of(self, planned: Planned) -> Record:
        """Evaluate one cell and record it.

        Raises DeployBenchError where the record or the predictions cannot be written, and
        KeyboardInterrupt; what was predicted until then stays.
        """
        problem = self._why_not(planned)
        if problem is not None:
            return self._recorded(planned, None, None, problem)
        predicted = predict_cell(
            planned,
            self.common,
            started=lambda done: self.tell(CellStarted(planned, done, len(self.data))),
            seen=lambda done: self.tell(ImagesSeen(planned, done)),
        )
        launch = predicted.launch
        by_accuracy = self._left_to_accuracy(launch)
        if judge_attempts([launch], "") is not None and not by_accuracy:
            if self.max_drop is not None and launch.parity is not None:
                # In fp32, or with outputs that are none: it says why accuracy was not asked.
                launch = _weighed(launch, NEVER)
            return self._recorded(planned, launch, None)
        held = self.held[planned.artifact.path]
        evaluated = evaluated_of(predicted.predictions, held.task, held.names, held.classes)
        quality = self._quality(planned, held, evaluated)
        if by_accuracy:
            assert self.max_drop is not None
            launch = _weighed(launch, evidence_of(quality, launch.parity, self.max_drop))
        return self._recorded(planned, launch, quality)

    def _left_to_accuracy(self, launch: Launch) -> bool:
        """Whether nothing but parity in a reduced precision is wrong, and accuracy may decide."""
        if self.max_drop is None or launch.error is not None or launch.refused is not None:
            return False
        parity = launch.parity
        return parity is not None and not parity.passed and not parity.why_never_accepted

    def _recorded(
        self,
        planned: Planned,
        launch: Launch | None,
        quality: Quality | None,
        problem: Judgement | None = None,
    ) -> Record:
        command = evaluation_command(
            planned, self.context, self.common.images.request, self.max_drop
        )
        return evaluation_record(planned, launch, quality, self.context, command, problem=problem)

    def _why_not(self, planned: Planned) -> Judgement | None:
        if planned.skip is not None:
            return Judgement(verdict=Verdict.SKIPPED, reason=planned.skip, advice=planned.remedy)
        error = self.held[planned.artifact.path].problem
        if error is None:
            return None
        reason = error.found
        if error.expected:
            reason += f" (expected: {error.expected})"
        return Judgement(verdict=Verdict.INVALID, reason=reason, advice=error.action or "")

    def _quality(self, planned: Planned, held: Held, evaluated: Evaluated) -> Quality:
        data, how = self.data, ""
        if held.data is not None:
            data, how = held.data.data, held.data.how
        score = None
        if self.labelled and len(evaluated.images):
            score = scored(evaluated, data, seed=self.seed)
        group = planned.cell.group
        chosen = self.eager[group]
        if chosen.planned is not None and chosen.planned.cell.key == planned.cell.key:
            self._references[group] = _Reference(planned, evaluated, score)
        against, why_not = self._against(planned, evaluated, score)
        preprocessing = ""
        if self.common.preprocessing is not None:
            preprocessing = self.common.preprocessing.model_dump_json()
        return quality_of(
            evaluated,
            data,
            data_seen(
                data,
                evaluated,
                self.common.images.sha256,
                self.split,
                labelled=self.labelled,
            ),
            held.task,
            score,
            classes_from=how,
            preprocessing=preprocessing,
            eager=against,
            no_eager=why_not,
            artifact_sha256=planned.artifact.manifest.content_sha256,
            seed=self.seed,
        )

    def _against(
        self, planned: Planned, evaluated: Evaluated, score: Scored | None
    ) -> tuple[AgainstEager | None, str]:
        """How the cell stands to fp32 eager, or why nothing is known of that."""
        reference = self._references.get(planned.cell.group)
        if reference is None:
            return None, self.eager[planned.cell.group].why_not or NO_ANSWERS
        if reference.planned.cell.key == planned.cell.key:
            if self.eager[planned.cell.group].stands_for:
                return None, REFERENCE_ITSELF
            return None, ITSELF
        agreement = agreement_of(reference.evaluated, evaluated, self.data)
        if agreement is None:
            return None, "no image was seen by both"
        difference = None
        if score is not None and reference.score is not None:
            both = self._marks(reference.evaluated) & self._marks(evaluated)
            difference = difference_of(reference.score.right, score.right, both)
        cell = reference.planned.cell
        return (
            AgainstEager(
                runner=cell.runner,
                device=cell.device,
                artifact_key=cell.artifact_key,
                agreement=agreement,
                difference=difference,
                stands_for=self.eager[planned.cell.group].stands_for,
            ),
            "",
        )

    def _marks(self, evaluated: Evaluated) -> Booleans:
        marks = np.zeros(len(self.data), dtype=np.bool_)
        marks[evaluated.images] = True
        return marks


def _weighed(launch: Launch, evidence: Evidence) -> Launch:
    """The launch with what the accuracy says of a parity that failed."""
    if launch.parity is None:
        return launch
    return launch.replaced(parity=launch.parity.weighed(evidence))
