"""What the fixture ``deploybench_cell`` is: it measures one cell, and holds it against limits and
against a baseline.

Three things may come of a question. It is answered well: the test goes on. It is answered badly:
the test fails, and says the figures. It is not answered (noise, no baseline, work beside it): the
ini option ``deploybench_unknown`` decides, and never lets it pass in silence.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from deploybench.analysis.amounts import Quantity, amounts_of_time, size_of
from deploybench.analysis.between_runs import OtherRuns
from deploybench.analysis.constraints import Constraint, Fit
from deploybench.analysis.gate import Check, Outcome, outcome_of
from deploybench.analysis.matching import latest, match, read_allowed
from deploybench.archive.places import place_of
from deploybench.artifacts.workspace import open_workspace
from deploybench.cli import limits, parse
from deploybench.errors import DeployBenchError
from deploybench.files import from_here
from deploybench.gating.keeping import keep_baseline
from deploybench.gating.sides import Side, is_elsewhere, side_of
from deploybench.gating.times import GateRequest, gate_times
from deploybench.inert import inert
from deploybench.plan.cells import NO_OPTIONS
from deploybench.plurals import counted
from deploybench.results.cell import HOST_TO_HOST, CellOptions
from deploybench.results.record import Record, StateSummary
from deploybench.results.store import NoRecordsError, other_runs_of
from deploybench.results.verdict import Verdict
from deploybench.runs.events import RunEvent, RunPlanned
from deploybench.runs.request import RunRequest, carry_out
from deploybench.telemetry.alone import WaitingForOther
from deploybench.testing import words
from deploybench.testing.plugin import CURRENT, POLICIES, PROPERTY

WORKERS = "PYTEST_XDIST_WORKER_COUNT"
"""pytest-xdist tells its processes how many they are."""
LOG = logging.getLogger("deploybench")


@dataclass(frozen=True)
class MeasuredCell:
    """One cell that was measured: the ``record`` with every raw sample, and its figures.

    A figure of time is only handed out where the verdict is VALID: asking for it elsewhere is a
    question without an answer, and does what ``deploybench_unknown`` says. (``record.summary`` has
    the figures of a NOISY cell all the same.)
    """

    record: Record
    fixture: DeployBenchCell

    @property
    def verdict(self) -> Verdict:
        return self.record.judgement.verdict

    @property
    def reason(self) -> str:
        return self.record.judgement.reason

    @property
    def p50_ms(self) -> float:
        """The median call in ms; of a cell that was visited the undisturbed one."""
        return self._state().p50_ms

    @property
    def p50_interval_ms(self) -> tuple[float, float]:
        """The ends of its 95 % interval, in ms."""
        state = self._state()
        if state.p50_low_ms is None or state.p50_high_ms is None:
            self.fixture.unknown(f"{words.title(self.record)}: its median has no interval")
        return state.p50_low_ms, state.p50_high_ms

    @property
    def peak_mb(self) -> float:
        """The most memory that the cell's process took above the bare interpreter, in MiB."""
        amount = amounts_of_time(self.record)[Quantity.MEMORY]
        if amount.high is None:
            self.fixture.unknown(f"{words.title(self.record)}: {amount.doubt}")
        return amount.high / (1 << 20)

    def _state(self) -> StateSummary:
        if self.verdict is not Verdict.VALID or self.record.summary is None:
            self.fixture.unknown(words.not_valid(self.record))
        return self.record.summary.states[0]


class DeployBenchCell:
    """The fixture. Relative paths begin at pytest's root folder."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._kept: dict[str, list[Record]] = {}
        named = config.getini("deploybench_workspace")
        self.workspace = open_workspace(None).root
        if named or "DEPLOYBENCH_WORKSPACE" not in os.environ:
            self.workspace = config.rootpath / (named or self.workspace)

    def __call__(
        self,
        *,
        runner: str,
        artifact: str | Path | None = None,
        model: str | None = None,
        device: str | None = None,
        precision: str | None = None,
        batch: int = 1,
        threads: int | None = None,
        timing: str = HOST_TO_HOST,
        options: CellOptions = NO_OPTIONS,
        budget: str = "60s",
        trust: bool = False,
    ) -> MeasuredCell:
        """Measure one cell: an artifact's folder (or its name in the workspace), or a model, which
        is exported where that is missing. The rest as for ``deploybench run``.

        Fails the test where the cell does not run, or does not compute what its model does.
        """
        self._check_alone()
        artifacts = [] if artifact is None else [self._path(artifact)]
        try:
            request = RunRequest(
                models=[] if model is None else [model],
                artifacts=artifacts,
                runners=[runner],
                devices=[] if device is None else [device],
                precisions=[] if precision is None else [precision],
                batches=[batch],
                threads=threads,
                timings=[timing],
                options=options,
                budget_s=parse.seconds(budget, "budget"),
                trust=trust,
                workspace=self.workspace,
            )
            result = carry_out(request, _heard_of_one_cell)
        except DeployBenchError as error:
            _fail(words.refused(error))
        if result.cut_short is not None:
            raise result.cut_short
        (record,) = result.records
        measured = MeasuredCell(record, self)
        self._note(words.measured(record))
        if measured.verdict in (Verdict.FAILED, Verdict.INVALID):
            _fail(words.not_valid(record))
        if measured.verdict is Verdict.SKIPPED:
            self.unknown(words.not_valid(record))
        return measured

    def meets(
        self,
        cell: MeasuredCell,
        *,
        p50: str | None = None,
        p99: str | None = None,
        throughput: str | None = None,
        memory: str | None = None,
        size: str | None = None,
        unknown: str | None = None,
    ) -> None:
        """Hold the cell against limits with their units: ``p50="12ms"``, ``throughput="80/s"``
        (at least), ``memory="200MB"``.

        A limit is met where the whole interval is within it, and missed where all of the interval
        is outside; in between it is not known.
        """
        asked = (
            (Quantity.P50, p50, limits.milliseconds),
            (Quantity.P99, p99, limits.milliseconds),
            (Quantity.THROUGHPUT, throughput, limits.images_per_second),
            (Quantity.MEMORY, memory, limits.byte_count),
            (Quantity.SIZE, size, limits.byte_count),
        )
        amounts = amounts_of_time(cell.record) | {Quantity.SIZE: size_of(cell.record)}
        try:
            constraints = [
                Constraint(quantity, read(text, quantity.value))
                for quantity, text, read in asked
                if text is not None
            ]
        except DeployBenchError as error:
            _fail(words.refused(error))
        judged = [constraint.judge(amounts[constraint.quantity]) for constraint in constraints]
        if not judged:
            _fail('no limit was given: deploybench_cell.meets(cell, p50="12ms")')
        text = words.limits_text(cell.record, judged)
        fits = {one.fit for one in judged}
        if Fit.FAILS in fits:
            _fail(text)
        if Fit.NOT_KNOWN in fits:
            self.unknown(text, unknown)

    def gate(
        self,
        cell: MeasuredCell | Record,
        baseline: str | Path | None = None,
        *,
        max_slowdown: str = "5%",
        rerun_baseline: bool | None = None,
        baseline_artifact: str | Path | None = None,
        allow: Sequence[str] = (),
        run_shift: str | None = None,
        budget: str = "60s",
        trust: bool = False,
        unknown: str | None = None,
    ) -> list[Check]:
        """Hold the cell against a baseline, as ``deploybench gate`` does; what it says of each
        state of the machine.

        ``baseline`` is a folder, a record, a pack or an address (``s3://…``, ``git:REV:PATH``);
        without it the ini option ``deploybench_baseline``. Fails where the whole interval of the
        slowdown is above ``max_slowdown``. With ``--deploybench-keep`` nothing is compared: the
        record becomes the baseline.
        """
        record = cell.record if isinstance(cell, MeasuredCell) else cell
        shown = str(baseline or self._config.getini("deploybench_baseline"))
        address = self._address(shown)
        if self._config.getoption("--deploybench-keep"):
            self._kept.setdefault(address, []).append(record)
            self._note(f"kept as the baseline in {shown}")
            return []
        try:
            side = side_of(address, self.workspace)
            (pair,) = [(old, new) for old, new in match(latest(side.records), [record], ()) if new]
            if pair[0] is None:
                self.unknown(words.without_baseline(f"{shown} has no record of it"), unknown)
            named = [] if baseline_artifact is None else [self._path(baseline_artifact)]
            folder = self.workspace / "records"
            others = [*side.records, *other_runs_of([pair[0], record], folder)]
            shift = None if run_shift is None else parse.percent(run_shift, "run_shift")
            request = GateRequest(
                max_regression=parse.percent(max_slowdown, "max_slowdown"),
                rerun_baseline=rerun_baseline,
                baseline_artifacts=named,
                budget_s=parse.seconds(budget, "budget"),
                allowed=read_allowed(list(allow)),
                others=OtherRuns(others, shift),
                trust=trust,
                workspace=self.workspace,
            )
            if rerun_baseline is not False:
                self._check_alone(unknown)
            old = Side([pair[0]], side.folder, side.place)
            checks = gate_times(old, Side([record]), request, _heard)
        except NoRecordsError as error:
            self.unknown(words.without_baseline(error.found), unknown)
        except DeployBenchError as error:
            _fail(words.refused(error))
        self._judge(checks, request.max_regression, shown, unknown)
        return checks

    def unknown(self, text: str, policy: str | None = None) -> NoReturn:
        """End the test as the options say for what is not known."""
        chosen = policy or self._config.getoption("--deploybench-unknown")
        chosen = chosen or self._config.getini("deploybench_unknown")
        if chosen not in POLICIES:
            _fail(f"unknown={chosen!r}: expected {', '.join(POLICIES)}")
        self._note(f"not known: {text.splitlines()[0]}")
        text = inert_lines(f"not known: {text}")
        if chosen == "skip":
            raise pytest.skip.Exception(text) from None
        if chosen == "xfail":
            raise pytest.xfail.Exception(text) from None
        raise pytest.fail.Exception(
            f"{text}\n(deploybench_unknown = skip or xfail in pytest's configuration lets such a "
            "test end otherwise)",
            pytrace=False,
        ) from None

    def keep_what_was_measured(self) -> None:
        """At the end of a session with ``--deploybench-keep``: write the baselines."""
        for address, records in self._kept.items():
            try:
                keep_baseline(records, place_of(address), self.workspace)
            except DeployBenchError as error:
                raise pytest.UsageError(words.refused(error)) from None

    def _judge(
        self, checks: Sequence[Check], largest: float, address: str, unknown: str | None
    ) -> None:
        outcome = outcome_of(checks)
        for check in checks:
            self._note(words.check_line(check))
        text = words.gate_text(checks, outcome, largest, address)
        if outcome is Outcome.REGRESSION:
            _fail(text)
        if outcome is Outcome.INCONCLUSIVE:
            self.unknown(text, unknown)

    def _check_alone(self, unknown: str | None = None) -> None:
        """Two that measure wait for each other; what else is tested beside does not wait."""
        workers = os.environ.get(WORKERS, "1")
        if workers in ("0", "1") or self._config.getini("deploybench_beside_others"):
            return
        self.unknown(
            f"{workers} processes of pytest-xdist work beside each other, so nothing was measured\n"
            "  do: pytest -m deploybench -n 0 measures, pytest -m 'not deploybench' -n auto tests "
            "the rest",
            unknown,
        )

    def _path(self, named: str | Path) -> Path:
        below = self._config.rootpath / named
        return below if below.exists() else Path(named)

    def _address(self, named: str) -> str:
        if is_elsewhere(named) or (self.workspace / "records" / named).exists():
            return named
        return str(self._config.rootpath / named)

    def _note(self, line: str) -> None:
        item = self._config.stash.get(CURRENT, None)
        if item is not None:
            item.user_properties.append((PROPERTY, inert(line)))


def inert_lines(text: str) -> str:
    """The text with its own lines, and nothing else that does anything."""
    return "\n".join(inert(line) for line in text.split("\n"))


def _fail(text: str) -> NoReturn:
    # Whatever was handled when this was found out is in the text.
    raise pytest.fail.Exception(inert_lines(text), pytrace=False) from None


def _heard(event: RunEvent) -> None:
    if isinstance(event, WaitingForOther):
        LOG.warning(event.words)


def _heard_of_one_cell(event: RunEvent) -> None:
    """Refuse a plan of several cells before any is measured."""
    _heard(event)
    if isinstance(event, RunPlanned) and len(event.cells) != 1:
        folders = [from_here(planned.artifact.path) for planned in event.cells]
        named = ", ".join(folders) or "(none)"
        raise DeployBenchError(
            f"{counted(len(event.cells), 'cell')}, of the artifacts {named}",
            expected="one cell a measurement",
            action=f'artifact="{folders[-1] if folders else ""}" instead of the model',
        )
