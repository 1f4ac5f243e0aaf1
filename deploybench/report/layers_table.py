"""Where the time of an artifact goes: by module, beside the MACs; two artifacts side by side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from deploybench.analysis.layers import (
    KindTime,
    ModulePair,
    ModuleTime,
    TimesByModule,
    by_kind,
    by_module,
    misplaced_share,
    ran,
    reconciled,
    side_by_side,
    where_macs_lie,
)
from deploybench.analysis.limits import limit_in_words
from deploybench.artifacts.module_work import ModuleWork
from deploybench.plurals import counted
from deploybench.report.table import NOTHING, Column, Prose, Report, Style, Table, table_of
from deploybench.results.layers import LayerFigures

if TYPE_CHECKING:
    from deploybench.runs.explaining import Explained, Explanation

SHOWN = 15
"""Modules of a table, unless more or fewer are asked for."""
UNMAPPED_SHOWN = 8
MOST_FUSED = 3
LEGEND = (
    "ms: of one call, the median. time, MACs: shares of all layers and of the whole model. ratio: "
    "time over MACs; above 1 a module takes longer than its MACs say. MB: what it reads and "
    "writes, weights included, if nothing stays in a cache. with: other modules that are computed "
    "in the same layers, in the same time. ran: the runtime's own words."
)


def explanation_report(
    explanation: Explanation, *, depth: int | None = None, top: int | None = None
) -> Report:
    """The whole answer to ``deploybench explain``: ``top`` modules, named ``depth`` parts deep."""
    times = [_times(explained, explanation.work, depth) for explained in explanation.sides]
    data = _data(explanation, times)
    failed = [
        f"{_called(explained)} was not profiled: {explained.profile.failed}"
        for explained in explanation.sides
        if explained.profile.failed
    ]
    if failed:
        return Report((Prose(tuple(failed), Style.BAD),), data)
    sections: list[Table | Prose] = []
    if len(explanation.sides) == 2:
        sections += _two(explanation, times, top)
    else:
        sections += _one(explanation, times[0], depth, top)
    return Report(tuple(sections), data)


def _times(explained: Explained, work: Sequence[ModuleWork], depth: int | None) -> TimesByModule:
    return by_module(
        explained.profile,
        work,
        batch=explained.batch,
        precision=explained.side.precision,
        depth=depth,
    )


def _one(
    explanation: Explanation, times: TimesByModule, depth: int | None, top: int | None
) -> list[Table | Prose]:
    [explained] = explanation.sides
    said = [_what_ran(explained), *reconciled(explained.profile), _limit(explained)]
    said += _lies(times)
    sections: list[Table | Prose] = [Prose(tuple(said))]
    if not times.modules:
        sections.append(_without_modules(times, top))
        sections.append(Prose(tuple(_remarks(explanation))))
        return sections
    shown = times.modules[: top or SHOWN]
    columns = [column for column in COLUMNS if explanation.work or column.key not in OF_THE_WORK]
    sections.append(table_of(columns, shown, legend=LEGEND))
    left = times.modules[len(shown) :]
    below = []
    if left:
        left_ms = sum(row.ms for row in left)
        below.append(
            f"{counted(len(left), 'other module')}: {left_ms:.3f} ms "
            f"({left_ms / times.sum_ms:.1%}); --top {len(times.modules)} for all"
        )
    if explanation.work and depth is None:
        sections.append(table_of(KIND_COLUMNS, by_kind(times), title="by kind of module"))
    below += _apart(times)
    below += _remarks(explanation)
    if below:
        sections.append(Prose(tuple(below)))
    return sections


def _without_modules(times: TimesByModule, top: int | None) -> Table:
    """The layers themselves, of a runtime that names no module of any."""
    longest = sorted(times.unmapped, key=lambda layer: -layer.ms)

    def share(layer: LayerFigures) -> float:
        return layer.ms / times.sum_ms

    columns = (
        Column[LayerFigures]("layer", "layer, of no module", lambda layer: layer.name),
        Column[LayerFigures](
            "ms", "ms", lambda layer: f"{layer.ms:.3f}", lambda layer: layer.ms, number=True
        ),
        Column[LayerFigures](
            "time_share", "time", lambda layer: _percent(share(layer)), share, number=True
        ),
        Column[LayerFigures]("ran", "ran", ran, priority=2),
    )
    return table_of(columns, longest[: top or SHOWN])


def _two(
    explanation: Explanation, times: Sequence[TimesByModule], top: int | None
) -> list[Table | Prose]:
    one, other = explanation.sides
    said = []
    for letter, explained, found in zip("AB", explanation.sides, times, strict=True):
        said.append(f"{letter}: {_what_ran(explained)}")
        said += [f"   {line}" for line in reconciled(explained.profile)]
        said.append(f"   {_limit(explained)}")
        said += [f"   {line}" for line in _lies(found)]
    said.append(
        f"layers together: A {one.profile.layers_ms:.3f} ms, B {other.profile.layers_ms:.3f} ms; "
        f"A was profiled first, then B: which of them is faster, deploybench run says"
    )
    pairs = side_by_side(*times)
    shown = pairs[: top or SHOWN]
    table = table_of(_pair_columns(*times), shown, legend=PAIR_LEGEND)
    below = []
    left = pairs[len(shown) :]
    if left:
        rest_ms = sum(pair.difference_ms for pair in left)
        below.append(
            f"{counted(len(left), 'other module')}: B - A {rest_ms:+.3f} ms; "
            f"--top {len(pairs)} for all"
        )
    for letter, found in zip("AB", times, strict=True):
        below += [f"{letter}: {line}" for line in _apart(found)]
    below += _remarks(explanation)
    return [Prose(tuple(said)), table, Prose(tuple(below))]


def _called(explained: Explained) -> str:
    return f"{explained.name} on {explained.side.runner} in {explained.side.precision}"


def _what_ran(explained: Explained) -> str:
    profile = explained.profile
    provider = profile.facts.provider if profile.facts else explained.side.runner
    return (
        f"{_called(explained)} ({provider}), batch {explained.batch}, "
        f"{counted(explained.threads, 'thread')}: medians of the faster half of "
        f"{counted(profile.calls, 'call')} in {counted(profile.windows, 'window')}, in turn with "
        f"as many without the profiler"
    )


def _limit(explained: Explained) -> str:
    return limit_in_words(explained.profile, explained.bound, explained.unbounded)


def _lies(times: TimesByModule) -> list[str]:
    """Where the time is not where the MACs are, in one sentence."""
    named = where_macs_lie(times)
    share = misplaced_share(times)
    if share is None or not named:
        return []
    modules = [
        f"{row.module} ({row.kinds[0] if row.kinds else '?'}: {row.time_share:.1%} of the time, "
        f"{row.macs_share or 0.0:.1%} of the MACs)"
        for row in named
    ]
    return [f"{share:.0%} of the time is not where the MACs are; most of all {', '.join(modules)}"]


def _apart(times: TimesByModule) -> list[str]:
    """What is mapped to no module, and the MACs that no layer is known to do."""
    said = []
    if times.unmapped:
        longest = sorted(times.unmapped, key=lambda layer: -layer.ms)
        names = [f"{layer.name} ({ran(layer)}) {layer.ms:.3f} ms" for layer in longest]
        more = ""
        if len(names) > UNMAPPED_SHOWN:
            more = f", and {len(names) - UNMAPPED_SHOWN} more"
        said.append(
            f"not mapped: {times.unmapped_ms:.3f} ms ({times.unmapped_ms / times.sum_ms:.1%}) in "
            f"{counted(len(times.unmapped), 'layer')} that name no module: "
            f"{', '.join(names[:UNMAPPED_SHOWN])}{more}"
        )
    if times.lost_macs is not None and times.lost_macs > 0.001:
        said.append(
            f"{times.lost_macs:.1%} of the MACs belong to modules that no layer names: the ratios "
            f"of what computes them are too low by as much"
        )
    return said


def _remarks(explanation: Explanation) -> list[str]:
    notes = list(dict.fromkeys(e.profile.note for e in explanation.sides if e.profile.note))
    if explanation.uncounted:
        notes.append(f"no MACs by module: {explanation.uncounted}")
    return notes


def _number(
    key: str,
    title: str,
    show: Callable[[ModuleTime], str],
    value: Callable[[ModuleTime], object],
    priority: int = 1,
) -> Column[ModuleTime]:
    return Column(key, title, show, value, number=True, priority=priority)


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{share:.1%}"


def _ratio(ratio: float | None) -> str:
    if ratio is None:
        return NOTHING
    return f"{ratio:.2f}" if ratio < 100 else f"{ratio:.0f}"


def _scaled(number: int | None, by: float) -> str:
    return NOTHING if number is None else f"{number / by:.2f}"


def _with(row: ModuleTime) -> str:
    """The other modules of the row's layers; those beside it without what they have in common."""
    others = [name for name in row.computes if name and not f"{name}.".startswith(f"{row.module}.")]
    beside = row.module.rpartition(".")[0] + "."
    others = [name.removeprefix(beside) for name in others]
    more = f" +{len(others) - MOST_FUSED}" if len(others) > MOST_FUSED else ""
    return ", ".join(others[:MOST_FUSED]) + more or NOTHING


def _first_of(values: Sequence[str]) -> str:
    if not values:
        return NOTHING
    return values[0] + (f" +{len(values) - 1}" if len(values) > 1 else "")


OF_THE_WORK = ("macs", "macs_share", "ratio", "moved_bytes")
COLUMNS = (
    Column[ModuleTime]("module", "module", lambda row: row.module),
    Column[ModuleTime](
        "kind", "kind", lambda row: _first_of(row.kinds), lambda row: row.kinds, priority=2
    ),
    _number("ms", "ms", lambda row: f"{row.ms:.3f}", lambda row: row.ms),
    _number("time_share", "time", lambda row: _percent(row.time_share), lambda row: row.time_share),
    _number("macs_share", "MACs", lambda row: _percent(row.macs_share), lambda row: row.macs_share),
    _number("ratio", "ratio", lambda row: _ratio(row.ratio), lambda row: row.ratio),
    _number("macs", "MMAC", lambda row: _scaled(row.macs, 1e6), lambda row: row.macs, 4),
    _number(
        "moved_bytes", "MB", lambda row: _scaled(row.moved_bytes, 1e6), lambda r: r.moved_bytes, 2
    ),
    Column[ModuleTime](
        "precision",
        "prec",
        lambda row: _first_of(row.precisions),
        lambda row: row.precisions,
        priority=3,
    ),
    Column[ModuleTime]("ran", "ran", lambda row: _first_of(row.ran), lambda r: r.ran, priority=2),
    Column[ModuleTime]("with", "with", _with, lambda row: row.computes, priority=3),
)
KIND_COLUMNS = (
    Column[KindTime]("kind", "kind", lambda row: row.kind),
    Column[KindTime](
        "modules", "modules", lambda row: str(row.modules), lambda row: row.modules, number=True
    ),
    Column[KindTime]("ms", "ms", lambda row: f"{row.ms:.3f}", lambda row: row.ms, number=True),
    Column[KindTime](
        "time_share",
        "time",
        lambda row: _percent(row.time_share),
        lambda row: row.time_share,
        number=True,
    ),
    Column[KindTime](
        "macs_share",
        "MACs",
        lambda row: _percent(row.macs_share),
        lambda row: row.macs_share,
        number=True,
    ),
)
PAIR_LEGEND = (
    "ms: of one call, the median. B - A: how much longer B takes. in …: that side computes the "
    "module in the layer of another one, in that one's time."
)


def _pair_columns(one: TimesByModule, other: TimesByModule) -> tuple[Column[ModulePair], ...]:
    return (
        Column("module", "module", lambda pair: pair.module),
        Column(
            "a_ms",
            "A ms",
            lambda pair: _side(pair.module, pair.one, one),
            lambda pair: pair.one.ms if pair.one else None,
            number=True,
        ),
        Column(
            "b_ms",
            "B ms",
            lambda pair: _side(pair.module, pair.other, other),
            lambda pair: pair.other.ms if pair.other else None,
            number=True,
        ),
        Column(
            "difference_ms",
            "B - A",
            lambda pair: f"{pair.difference_ms:+.3f}",
            lambda pair: pair.difference_ms,
            number=True,
        ),
        Column("a_ran", "A ran", lambda pair: _ran(pair.one), priority=2),
        Column("b_ran", "B ran", lambda pair: _ran(pair.other), priority=2),
        Column("a_with", "A with", lambda p: _with(p.one) if p.one else NOTHING, priority=4),
        Column("b_with", "B with", lambda p: _with(p.other) if p.other else NOTHING, priority=4),
    )


def _side(module: str, row: ModuleTime | None, times: TimesByModule) -> str:
    if row is not None:
        return f"{row.ms:.3f}"
    holder = times.holder_of(module)
    return NOTHING if holder is None else f"in {holder}"


def _ran(row: ModuleTime | None) -> str:
    return NOTHING if row is None else _first_of(row.ran)


def _data(explanation: Explanation, times: Sequence[TimesByModule]) -> dict[str, object]:
    return {
        "sides": [
            _side_data(explained, found)
            for explained, found in zip(explanation.sides, times, strict=True)
        ],
        "uncounted": explanation.uncounted or None,
    }


def _side_data(explained: Explained, times: TimesByModule) -> dict[str, object]:
    profile = explained.profile
    layer_data = partial(LayerFigures.model_dump, mode="json")
    return {
        "artifact": explained.name,
        "runner": explained.side.runner,
        "precision": explained.side.precision,
        "batch": explained.batch,
        "threads": explained.threads,
        "failed": profile.failed,
        "calls": profile.calls,
        "windows": profile.windows,
        "plain_ms": profile.plain_ms,
        "profiled_ms": profile.profiled_ms,
        "layers_ms": profile.layers_ms,
        "gaps_ms": list(profile.gaps_ms),
        "limit": None if profile.failed else _limit(explained),
        "bound": explained.bound.model_dump(mode="json") if explained.bound else None,
        "misplaced_share": misplaced_share(times),
        "unmapped_ms": times.unmapped_ms,
        "lost_macs_share": times.lost_macs,
        "note": profile.note,
        "modules": [
            {**{column.key: column.data(row) for column in COLUMNS}, "layers": row.layers}
            for row in times.modules
        ],
        "layers": [layer_data(layer) for layer in profile.layers],
    }
