"""The tables of ``deploybench explain``: their columns, for one artifact and for two."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from deploybench.analysis.layers import KindTime, ModulePair, ModuleTime, TimesByModule, ran
from deploybench.report.table import NOTHING, Column, Table, table_of
from deploybench.results.layers import LayerFigures

MOST_FUSED = 3
LEGEND = (
    "ms: of one call, the median. time, MACs: shares of all layers and of the whole model. ratio: "
    "time over MACs; above 1 a module takes longer than its MACs say. MB: what it reads and "
    "writes, weights included, if nothing stays in a cache. with: other modules that are computed "
    "in the same layers, in the same time. ran: the runtime's own words."
)


def module_table(times: TimesByModule, *, counted_too: bool) -> Table:
    """Every module; ``counted_too``: with its MACs and bytes."""
    columns = [column for column in COLUMNS if counted_too or column.key not in OF_THE_WORK]
    return table_of(columns, times.modules, legend=LEGEND)


def pair_table(times: Sequence[TimesByModule], pairs: Sequence[ModulePair]) -> Table:
    return table_of(_pair_columns(*times), pairs, legend=PAIR_LEGEND)


def kind_table(kinds: Sequence[KindTime]) -> Table:
    return table_of(KIND_COLUMNS, kinds, title="by kind of module")


def layer_table(times: TimesByModule, most: int) -> Table:
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
            "time_share", "time", lambda layer: percent(share(layer)), share, number=True
        ),
        Column[LayerFigures]("ran", "ran", ran, priority=2),
    )
    return table_of(columns, longest[:most])


def _number(
    key: str,
    title: str,
    show: Callable[[ModuleTime], str],
    value: Callable[[ModuleTime], object],
    priority: int = 1,
) -> Column[ModuleTime]:
    return Column(key, title, show, value, number=True, priority=priority)


def percent(share: float | None) -> str:
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
    _number("time_share", "time", lambda row: percent(row.time_share), lambda row: row.time_share),
    _number("macs_share", "MACs", lambda row: percent(row.macs_share), lambda row: row.macs_share),
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
        lambda row: percent(row.time_share),
        lambda row: row.time_share,
        number=True,
    ),
    Column[KindTime](
        "macs_share",
        "MACs",
        lambda row: percent(row.macs_share),
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
