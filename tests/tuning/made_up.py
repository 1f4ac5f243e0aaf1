"""A tuning whose clock and whose images are made up: times and answers of each configuration are
given, and everything else is the real search."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from deploybench.analysis.tuned import NotTried
from deploybench.artifacts.workspace import Workspace
from deploybench.evaluate.job import DataRequest
from deploybench.hardware.host import describe_host
from deploybench.plan.cells import Planned, Selection
from deploybench.results.cell import Cell
from deploybench.results.quality import ITSELF, Quality
from deploybench.results.record import Record
from deploybench.results.store import write_record
from deploybench.results.verdict import Judgement, Verdict
from deploybench.runs.evaluation import EvaluationRequest
from deploybench.tuning.events import TuneEvent
from deploybench.tuning.images import TuneImages
from deploybench.tuning.journal import JournalFile
from deploybench.tuning.measuring import Surroundings
from deploybench.tuning.request import TuneRequest
from deploybench.tuning.rewriting import Rewritten
from deploybench.tuning.search import Search
from tests import advised, qualities
from tests.visits import BEST, visits_at

SHARES = tuple(1.0 - 0.001 * (number % 7) for number in range(24))
VISITS_SCATTER = 0.01
BROKEN = Judgement(
    verdict=Verdict.FAILED, reason="the process was killed: out of memory", advice=""
)


@dataclass
class MadeUp:
    """Configurations by (runner, precision): what a call takes in ms, and the share of images that
    each answers as fp32 eager does not, wrongly. ``calls`` notes what was asked for."""

    times: Mapping[tuple[str, str], float]
    wrong: Mapping[tuple[str, str], float] = field(default_factory=dict)
    memory_mb: Mapping[tuple[str, str], int] = field(default_factory=dict)
    broken: frozenset[tuple[str, str]] = frozenset()
    counts: tuple[int, ...] = (1000,)
    scatter: float = 0.002
    interrupt_in_round: int | None = None
    seed: int = 0
    rounds: list[tuple[str, ...]] = field(default_factory=list)
    evaluated: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)
    said: list[TuneEvent] = field(default_factory=list)
    rewriting: list[tuple[str, ...]] = field(default_factory=list)

    def planned(self, mixed: bool = False) -> list[Planned]:
        """Those that a tuning begins with; or all with layers in float, ``int8-mixed``, which it
        comes to."""
        plans = []
        for runner, name in self.times:
            precision, _, kept = name.partition("-")
            if bool(kept) != mixed:
                continue
            made = advised.candidate(10.0, runner, precision=precision)
            if mixed:
                form = f"{precision}-dynamic-mixed2"
                made = made.replaced(cell=made.cell.replaced(form=form, artifact_key="f" * 64))
            manifest = SimpleNamespace(precision=precision, key=made.cell.artifact_key)
            artifact: Any = SimpleNamespace(
                path=Path(f"/w/{runner}-{precision}"), manifest=manifest
            )
            plans.append(Planned(made.cell, artifact, None))
        return plans

    def record_of(self, cell: Cell, run: str) -> Record:
        kind = (cell.runner, cell.precision_name)
        if kind in self.broken:
            made = advised.candidate(10.0, cell.runner, run=run, judgement=BROKEN)
            return made.replaced(cell=cell, summary=None, launches=(), visits=())
        generator = random.Random(f"{self.seed} {len(self.rounds)} {kind} {cell.threads}")
        ms = self.times[kind] * (1 + generator.gauss(0, self.scatter))
        if cell.threads == 1:
            ms *= 1.5
        made = advised.candidate(
            ms, cell.runner, run=run, memory_mb=self.memory_mb.get(kind), shares=SHARES
        )
        visits = []
        for number, share in enumerate(SHARES):
            (visit,) = visits_at([share], ms * (1 + generator.gauss(0, VISITS_SCATTER)))
            visits.append(visit.replaced(round=number, process=number % 2, at_s=float(number)))
        return made.replaced(cell=cell, visits=tuple(visits), canary=BEST)

    def quality_of(self, cell: Cell, step: int) -> Quality:
        count = self.counts[step]
        right = np.arange(count) % 10 != 0
        if (cell.runner, cell.precision) == ("pytorch", "fp32"):
            return qualities.quality(right).replaced(no_eager=ITSELF)
        changed = round(count * self.wrong.get((cell.runner, cell.precision_name), 0.0))
        mine = right.copy()
        mine[np.flatnonzero(right)[:changed]] = False
        return qualities.quality(mine, eager=right, shift=0.3 if changed else 1e-6)

    def measured(
        self,
        planned: Sequence[Planned],
        run: str,
        seconds_each: float,
        surroundings: Surroundings,
        tell: Callable[[Any], None],
    ) -> list[Record]:
        if self.interrupt_in_round == len(self.rounds):
            raise KeyboardInterrupt
        records = [self.record_of(plan.cell, run) for plan in planned]
        for record in records:
            write_record(record, surroundings.workspace.records_folder / run)
        self.rounds.append(tuple(plan.cell.title() for plan in planned))
        return records

    def carry_out_evaluation(
        self, request: EvaluationRequest, tell: Callable[[Any], None]
    ) -> SimpleNamespace:
        step = int(request.data.name)
        records = []
        run = f"evaluation-{step}-{len(self.evaluated)}"
        for plan in [*self.planned(), *self.planned(mixed=True)]:
            assert request.only is not None
            if request.only(plan.cell):
                found = self.quality_of(plan.cell, step)
                made = qualities.evaluation(found, run)
                records.append(made.replaced(cell=plan.cell))
        for record in records:
            write_record(record, self.surroundings.workspace.records_folder / run)
        titles = tuple(f"{one.cell.runner} {one.cell.precision_name}" for one in records)
        self.evaluated.append((step, titles))
        return SimpleNamespace(records=tuple(records), run=run, cut_short=None)

    def search(self, root: Path, monkeypatch: pytest.MonkeyPatch, **changes: object) -> Search:
        """The search, ready to be carried out; all that it does is noted here."""
        asked: dict[str, object] = {
            "data": root,
            "model": "net",
            "budget_s": 600.0,
            "runtime_options": False,
            **changes,
        }
        request = TuneRequest(**asked)  # type: ignore[arg-type]
        monkeypatch.setattr("deploybench.tuning.rounds.measured", self.measured)
        monkeypatch.setattr(
            "deploybench.tuning.evaluating.carry_out_evaluation", self.carry_out_evaluation
        )
        selection = Selection([], [1], (), 2, devices=["cpu"])
        workspace = Workspace(root)
        workspace.prepare()
        self.surroundings = Surroundings(request, selection, workspace, describe_host(), None, True)
        steps = tuple(DataRequest(path=str(step)) for step in range(len(self.counts)))
        images = TuneImages(steps, self.counts, True, "5" * 64)
        journal = JournalFile(root / "tuned" / "net", {"asked": "this"})
        rewriting: Any = None
        if self.planned(mixed=True):
            rewriting = SimpleNamespace(of=self.rewritten)
        return Search(
            self.surroundings, images, self.planned(), journal, self.said.append, rewriting
        )

    def rewritten(self, leaders: Sequence[Planned], over: Sequence[Planned]) -> Rewritten:
        """What each that is over the drop becomes with layers in float."""
        self.rewriting.append(tuple(f"{one.cell.runner} {one.cell.precision}" for one in over))
        found = []
        for base in over:
            found += [
                (base, plan)
                for plan in self.planned(mixed=True)
                if plan.cell.runner == base.cell.runner
            ]
        return Rewritten(tuple(found), (NotTried("onnx fp32 fuse=transformer", "nothing to fuse"),))
