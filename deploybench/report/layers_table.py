"""Where the time of an artifact goes: by module, beside the MACs; two artifacts side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from deploybench.analysis.layers import (
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
from deploybench.plurals import counted
from deploybench.report.layers_columns import (
    COLUMNS,
    kind_table,
    layer_table,
    module_table,
    pair_table,
)
from deploybench.report.table import Prose, Report, Style, Table
from deploybench.results.explanation import Explained, Explanation
from deploybench.results.layers import LayerFigures

SHOWN = 15
"""Modules of a table, unless more or fewer are asked for."""
UNMAPPED_SHOWN = 8


def explanation_report(
    explanation: Explanation, *, depth: int | None = None, top: int | None = None
) -> Report:
    """The whole answer to ``deploybench explain``: ``top`` modules, named ``depth`` parts deep."""
    times = times_of(explanation, depth)
    data = _data(explanation, times)
    failed = [
        f"{called(explained)} was not profiled: {explained.profile.failed}"
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


def times_of(explanation: Explanation, depth: int | None = None) -> list[TimesByModule]:
    """The times of each side by module, named ``depth`` parts deep."""
    times = []
    for explained in explanation.sides:
        found = by_module(
            explained.profile,
            explanation.work,
            batch=explained.batch,
            precision=explained.precision,
            depth=depth,
        )
        times.append(found)
    return times


def _one(
    explanation: Explanation, times: TimesByModule, depth: int | None, top: int | None
) -> list[Table | Prose]:
    sections: list[Table | Prose] = [Prose(tuple(said_of(explanation, [times])))]
    if not times.modules:
        sections.append(layer_table(times, top or SHOWN))
        sections.append(Prose(tuple(_remarks(explanation))))
        return sections
    shown = times.modules[: top or SHOWN]
    shown_times = replace(times, modules=tuple(shown))
    sections.append(module_table(shown_times, counted_too=bool(explanation.work)))
    left = times.modules[len(shown) :]
    below = []
    if left:
        left_ms = sum(row.ms for row in left)
        below.append(
            f"{counted(len(left), 'other module')}: {left_ms:.3f} ms "
            f"({left_ms / times.sum_ms:.1%}); --top {len(times.modules)} for all"
        )
    if explanation.work and depth is None:
        sections.append(kind_table(by_kind(times)))
    below += _apart(times)
    below += _remarks(explanation)
    if below:
        sections.append(Prose(tuple(below)))
    return sections


def _two(
    explanation: Explanation, times: Sequence[TimesByModule], top: int | None
) -> list[Table | Prose]:
    said = said_of(explanation, times)
    pairs = side_by_side(*times)
    shown = pairs[: top or SHOWN]
    table = pair_table(times, shown)
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


def said_of(explanation: Explanation, times: Sequence[TimesByModule]) -> list[str]:
    """What is said above the table: what ran, how the layers sum up, what bounds the call, and
    where the time is not where the MACs are; of each side, where there are two."""
    if len(explanation.sides) == 1:
        return [*_said_of_side(explanation.sides[0]), *lies(times[0])]
    said = []
    for letter, explained, found in zip("AB", explanation.sides, times, strict=True):
        first, *others = [*_said_of_side(explained), *lies(found)]
        said.append(f"{letter}: {first}")
        said += [f"   {line}" for line in others]
    return [*said, _together(explanation)]


def in_short(explanation: Explanation, times: Sequence[TimesByModule]) -> list[str]:
    """The same without what the profiler costs and what each layer of no module is called: the
    finding first, each sentence with the side that it is of."""
    several = len(explanation.sides) > 1
    said = []
    for letter, explained, found in zip("AB", explanation.sides, times, strict=False):
        summed, _, *warnings = reconciled(explained.profile)
        lines = [*lies(found), f"{called(explained)}: {summed}", *warnings, _limit(explained)]
        if found.unmapped:
            lines.append(unmapped_in_words(found))
        said += [f"{letter}: {line}" if several else line for line in lines]
    if several:
        said.append(_together(explanation))
    return said


def _said_of_side(explained: Explained) -> list[str]:
    return [_what_ran(explained), *reconciled(explained.profile), _limit(explained)]


def _together(explanation: Explanation) -> str:
    one, other = explanation.sides
    return (
        f"layers together: A {one.profile.layers_ms:.3f} ms, B {other.profile.layers_ms:.3f} ms; "
        f"A was profiled first, then B: which of them is faster, deploybench run says"
    )


def called(explained: Explained) -> str:
    return f"{explained.name} on {explained.runner} in {explained.precision}"


def _what_ran(explained: Explained) -> str:
    profile = explained.profile
    provider = profile.facts.provider if profile.facts else explained.runner
    return (
        f"{called(explained)} ({provider}), batch {explained.batch}, "
        f"{counted(explained.threads, 'thread')}: medians of the faster half of "
        f"{counted(profile.calls, 'call')} in {counted(profile.windows, 'window')}, in turn with "
        f"as many without the profiler"
    )


def _limit(explained: Explained) -> str:
    return limit_in_words(
        explained.profile, explained.bound, explained.unbounded, threads=explained.threads
    )


def lies(times: TimesByModule) -> list[str]:
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


def unmapped_in_words(times: TimesByModule) -> str:
    share = times.unmapped_ms / times.sum_ms
    layers = counted(len(times.unmapped), "layer")
    return f"not mapped: {times.unmapped_ms:.3f} ms ({share:.1%}) in {layers} that name no module"


def _apart(times: TimesByModule) -> list[str]:
    """What is mapped to no module, and the MACs that no layer is known to do."""
    said = []
    if times.unmapped:
        longest = sorted(times.unmapped, key=lambda layer: -layer.ms)
        names = [f"{layer.name} ({ran(layer)}) {layer.ms:.3f} ms" for layer in longest]
        more = ""
        if len(names) > UNMAPPED_SHOWN:
            more = f", and {len(names) - UNMAPPED_SHOWN} more"
        said.append(f"{unmapped_in_words(times)}: {', '.join(names[:UNMAPPED_SHOWN])}{more}")
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
        "runner": explained.runner,
        "precision": explained.precision,
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
