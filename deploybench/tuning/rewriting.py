"""Other forms of configurations that lead: the graph written in another way, and int8 that loses
too much with its most sensitive layers in float.

What is worth a try stands in :mod:`deploybench.tuning.worth_trying`. Each form is an export of its
own, so only those that lead get them, and no longer than a share of the time that is left. What an
exporter finds nothing to do with (no transformer to fuse, no branches to join) is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic

from deploybench.analysis.tuned import NotTried
from deploybench.artifacts.calibration import AUTO
from deploybench.children import deadlines
from deploybench.contracts.registry import exporters
from deploybench.export.order import ExportEvent, export_requests
from deploybench.export.pipeline import ExportOptions, default_jobs
from deploybench.export.request import ExportRequest, ExportResult
from deploybench.plan.cells import Planned
from deploybench.tuning.measuring import Surroundings
from deploybench.tuning.space import INT8, Space, planned_cells
from deploybench.tuning.worth_trying import WORTH_WRITING

WRITING_SHARE = 0.3
"""Of the time that is left, for the exports of other forms."""


@dataclass(frozen=True)
class Rewritten:
    """The new configurations, each with the one that it is a form of; and what became none."""

    planned: tuple[tuple[Planned, Planned], ...]
    not_tried: tuple[NotTried, ...]


@dataclass(frozen=True)
class Rewriting:
    """Exports other forms of configurations of a tuning."""

    surroundings: Surroundings
    space: Space
    tell: Callable[[ExportEvent], None]

    def of(self, leaders: Sequence[Planned], over: Sequence[Planned]) -> Rewritten:
        """The other forms of the ``leaders``, and those of int8 that is ``over`` the drop."""
        wanted: dict[str, tuple[ExportRequest, list[Planned]]] = {}
        for plan in leaders:
            for request in _in_other_graphs(plan):
                wanted.setdefault(request.command(), (request, []))[1].append(plan)
        kept = f"{AUTO}:{100 * (1 - self.surroundings.request.max_accuracy_drop):g}%"
        for plan in over:
            for request in _with_layers_in_float(plan, kept):
                wanted.setdefault(request.command(), (request, []))[1].append(plan)
        requests = [request for request, _ in wanted.values()]
        if not requests:
            return Rewritten((), ())
        with deadlines.no_later_than(monotonic() + WRITING_SHARE * deadlines.left_s()):
            results = export_requests(
                requests,
                self.surroundings.workspace,
                ExportOptions(jobs=default_jobs()),
                self.tell,
            )
        planned: list[tuple[Planned, Planned]] = []
        not_tried: list[NotTried] = []
        for result in results:
            if result.artifact is None:
                not_tried.append(_failure(result))
                continue
            _, bases = wanted[result.request.command()]
            for base in bases:
                planned += [(base, plan) for plan in self._like(base, result)]
        return Rewritten(tuple(planned), tuple(not_tried))

    def _like(self, base: Planned, result: ExportResult) -> Iterator[Planned]:
        """The new artifact on the runner and in the precision of the configuration."""
        assert result.artifact is not None  # it was looked at before
        surroundings = self.surroundings
        if result.artifact.manifest.key == base.artifact.manifest.key:
            return
        for plan in planned_cells(
            [result.artifact],
            surroundings.request,
            surroundings.selection,
            self.space,
            surroundings.profile,
        ):
            same = (plan.cell.runner, plan.cell.device, plan.cell.precision) == (
                base.cell.runner,
                base.cell.device,
                base.cell.precision,
            )
            if same and plan.skip is None:
                yield plan


def words_of_writing() -> str:
    """What is tried on those that lead, in words."""
    words = []
    for name, values in WORTH_WRITING.items():
        words += [f"{name}={value}".lower() for value in values]
    return ", ".join(words)


def _in_other_graphs(plan: Planned) -> Iterator[ExportRequest]:
    """Each option of the exporter that is worth a try, by itself."""
    stored = plan.artifact.manifest.request
    plugin = exporters()[plan.cell.backend].plugin
    if plugin is None or not stored:
        return
    request = ExportRequest.model_validate(stored)
    for option in plugin.options:
        for value in WORTH_WRITING.get(option.name, ()):
            if option.name not in request.options:
                yield request.replaced(options={**request.options, option.name: value})


def _with_layers_in_float(plan: Planned, kept: str) -> Iterator[ExportRequest]:
    stored = plan.artifact.manifest.request
    if not stored or plan.artifact.manifest.precision != INT8:
        return
    request = ExportRequest.model_validate(stored)
    if not request.keep_fp32:
        yield request.replaced(keep_fp32=(kept,))


def _failure(result: ExportResult) -> NotTried:
    request = result.request
    changes = [f"{name}={value}" for name, value in request.options.items()]
    changes += [f"--keep-fp32 {pattern}" for pattern in request.keep_fp32]
    title = " ".join([request.backend, request.precision, *changes])
    reason = "it could not be exported" if result.error is None else str(result.error.found)
    return NotTried(title, reason)
