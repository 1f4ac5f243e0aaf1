"""What is not known of candidates, and the command that would tell it.

How long to measure follows from how far a figure is from its limit: an interval narrows with the
square root of what is measured. What would take longer than anybody waits is too close to tell.
"""

from __future__ import annotations

import math
import shlex
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.advice import Advice
from deploybench.analysis.amounts import P99, Quantity
from deploybench.analysis.answers import (
    MOST_ROUNDS_ADVISED,
    USUAL_ROUNDS,
    words_for,
    workspace_of,
)
from deploybench.analysis.candidates import Candidate
from deploybench.analysis.constraints import Constraint, Judged
from deploybench.analysis.settling import USUAL_BUDGET_S, budget_for
from deploybench.analysis.speedups import MOST_ROUNDS_OF_VISITS
from deploybench.hardware.devices import CPU
from deploybench.results.quality import Quality
from deploybench.results.record import Record
from deploybench.statistics.ratios import more_rounds

ANY_IMAGES = "FOLDER"
"""Stands for the user's images where nothing was evaluated yet."""
MARGIN_OF_SAMPLES = 1.2
"""A percentile is asked for with so many times the samples that it takes at least."""


@dataclass(frozen=True)
class OpenPoint:
    """One figure of a candidate that would have to be known better.

    ``judged`` is the constraint that it leaves open; None where it is the objective. ``rounds``
    that the cell has to be measured in, or ``images`` that it has to be evaluated on, would tell;
    None where that is not known, or ``too_close`` for any number.
    """

    candidate: Candidate
    quantity: Quantity
    judged: Judged | None = None
    rounds: int | None = None
    images: int | None = None
    too_close: bool = False

    @property
    def doubt(self) -> str:
        """Why the figure decides nothing; empty where it lies across its limit."""
        return self.candidate.amounts[self.quantity].doubt


def open_points(advice: Advice) -> list[OpenPoint]:
    """What is not known of the contenders: of what is asked, else of what is looked for."""
    points = []
    for assessment in advice.contenders:
        candidate = assessment.candidate
        found = [
            _point(candidate, judged.constraint.quantity, judged) for judged in assessment.open
        ]
        quantities = [point.quantity for point in found]
        if advice.objective not in quantities and candidate.amounts[advice.objective].doubt:
            found.append(_point(candidate, advice.objective, None))
        points += found
    return points


def commands_that_tell(points: Sequence[OpenPoint], evaluated_on: Quality | None) -> list[str]:
    """One command to measure and one to evaluate, as far as one will do; nothing for what is too
    close."""
    telling = [point for point in points if not point.too_close]
    measured: dict[tuple[object, ...], list[OpenPoint]] = defaultdict(list)
    for point in telling:
        cell = point.candidate.record.cell
        if point.quantity.of_time or not point.candidate.timed:
            # What differs in these takes commands of its own.
            apart = (cell.threads, point.candidate.record.profile, workspace_of(cell))
            measured[apart].append(point)
    commands = [_run_command(members) for members in measured.values()]
    evaluated = [
        point.candidate for point in telling if point.quantity in (Quantity.ACCURACY, Quantity.DROP)
    ]
    if evaluated:
        commands.append(evaluate_command(evaluated, evaluated_on))
    return commands


def evaluate_command(candidates: Sequence[Candidate], evaluated_on: Quality | None) -> str:
    """The command that evaluates the candidates, on the images that others were evaluated on."""
    cells = [candidate.record.cell for candidate in candidates]
    words = ["deploybench", "evaluate", "--data"]
    if evaluated_on is None:
        words.append(ANY_IMAGES)
    else:
        words.append(evaluated_on.data.path)
        if evaluated_on.data.split is not None:
            words += ["--split", evaluated_on.data.split]
    words += ["--model", ",".join(dict.fromkeys(cell.model for cell in cells))]
    words += ["--runner", ",".join(dict.fromkeys(cell.runner for cell in cells))]
    if any(cell.precision != cell.form.partition("-")[0] for cell in cells):
        words += ["--precision", ",".join(dict.fromkeys(cell.precision for cell in cells))]
    if any(cell.device != CPU for cell in cells):
        words += ["--device", ",".join(dict.fromkeys(cell.device for cell in cells))]
    workspace = workspace_of(cells[0])
    if workspace is not None:
        words += ["--workspace", str(workspace)]
    return shlex.join(words)


def _point(candidate: Candidate, quantity: Quantity, judged: Judged | None) -> OpenPoint:
    if quantity.of_time:
        rounds = _rounds(candidate, quantity, None if judged is None else judged.constraint)
        return OpenPoint(candidate, quantity, judged, rounds=rounds, too_close=rounds is None)
    if quantity in (Quantity.ACCURACY, Quantity.DROP):
        return _point_of_accuracy(candidate, quantity, judged)
    # Memory that lies across its limit: the launches differ, and more of them would as well.
    too_close = candidate.timed and not candidate.amounts[quantity].doubt
    return OpenPoint(candidate, quantity, judged, too_close=too_close)


def _point_of_accuracy(
    candidate: Candidate, quantity: Quantity, judged: Judged | None
) -> OpenPoint:
    amount, quality = candidate.amounts[quantity], candidate.quality
    known = amount.known
    if judged is None or known is None or quality is None:
        return OpenPoint(candidate, quantity, judged)
    reach = max(known.value - known.low, known.high - known.value)
    distance = abs(known.value - judged.constraint.limit)
    if not distance:
        return OpenPoint(candidate, quantity, judged, too_close=True)
    images = math.ceil(quality.data.evaluated * (reach / distance) ** 2)
    return OpenPoint(candidate, quantity, judged, images=images)


def _rounds(candidate: Candidate, quantity: Quantity, constraint: Constraint | None) -> int | None:
    """The rounds that would tell, all together; None where nobody waits for as many."""
    record = candidate.record
    looks = _looks(record)
    most = MOST_ROUNDS_OF_VISITS if record.visits else MOST_ROUNDS_ADVISED
    if not looks:
        return USUAL_ROUNDS
    known = candidate.amounts[quantity].known
    if known is None or constraint is None:
        rounds = max(2 * looks, looks + (record.more_rounds or 0), USUAL_ROUNDS)
        if quantity is Quantity.P99:
            rounds = max(rounds, _rounds_of_samples(record, looks))
        # Not more than anybody waits for: the reason of the verdict says what else helps.
        return min(rounds, most)
    reach = max(math.log(known.value / known.low), math.log(known.high / known.value))
    distance = abs(math.log(known.value / constraint.limit))
    rounds = looks + more_rounds(looks, reach, distance)
    return rounds if rounds <= most else None


def _rounds_of_samples(record: Record, looks: int) -> int:
    """In how many rounds there are samples enough for a p99."""
    assert record.summary is not None  # only what was measured has rounds
    for state in record.summary.states[:1]:
        for percentile in state.percentiles:
            if percentile.fraction == P99 and percentile.samples:
                wanted = MARGIN_OF_SAMPLES * percentile.needed / percentile.samples
                return math.ceil(looks * wanted)
    return looks


def _looks(record: Record) -> int:
    """How often the cell was measured: visits of its processes, or launches."""
    if record.summary is None or record.measures != "time":
        return 0
    return len(record.visits) or len(record.launches)


def _run_command(points: Sequence[OpenPoint]) -> str:
    """The command that measures the cells of the points beside each other, for long enough."""
    records = [_to_be_timed(point.candidate) for point in points]
    words = words_for(records)
    rounds = max(point.rounds or USUAL_ROUNDS for point in points)
    visited = [record for record in records if record.visits]
    afresh = [record for record in records if record.launches and not record.visits]
    if afresh:
        return shlex.join([*words, "--rounds", str(rounds)])
    budget_s = USUAL_BUDGET_S
    if visited:
        budget_s = budget_for(visited, rounds)
    return shlex.join([*words, "--budget", f"{budget_s}s"])


def _to_be_timed(candidate: Candidate) -> Record:
    """The record; of what was only evaluated one image a call, as a deployed model gets them."""
    record = candidate.record
    if candidate.timed:
        return record
    return record.replaced(cell=record.cell.replaced(batch=1), launches=())
