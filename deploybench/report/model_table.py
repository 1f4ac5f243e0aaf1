"""The models that have a short name, and what one model is made of.

That is its parameters, and its MACs by kind at each size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from deploybench.models.counting import ModelCount
from deploybench.models.zoo import BAND_CLASSES, COMPARED_SIZE, GROUPS, ZOO, in_band, zoo_counts
from deploybench.report.figures import AT_LEAST, yes_or_no
from deploybench.report.table import NOTHING, Column, Prose, Report, Style, Table, table_of

GIGA = 1e9
KINDS = {
    "attention mixing": "attention_mixing",
    "attention projections": "attention_projections",
    "MLP": "mlp",
    "convolution": "convolution",
    "other": "other",
}
LEGEND = (
    "MAC: one multiply-add; FLOPs are 2 x MACs. mixing: q k^T, weights v and what stands in their "
    "place; projections: the linear layers around them; other: classifier, patch merging. Norms, "
    "activations and softmax are not counted. ≥: at least; what no formula knows "
    "is named."
)


@dataclass(frozen=True)
class ModelRow:
    """A model of the zoo: its own image size, and its MACs at it and at the compared one."""

    name: str
    family: str
    image_size: int
    parameters: int
    macs: int
    compared_macs: int
    fixed_size: bool

    @property
    def in_band(self) -> bool:
        return in_band(self.parameters)


MODEL_COLUMNS = (
    Column[ModelRow]("model", "model", lambda row: row.name),
    Column[ModelRow]("family", "family", lambda row: row.family, folds=True, priority=2),
    Column[ModelRow]("image_size", "px", lambda row: _pixels(row)),
    Column[ModelRow](
        "parameters",
        "M params",
        lambda row: f"{row.parameters / 1e6:.2f}",
        number=True,
    ),
    Column[ModelRow]("macs", "GMAC", lambda row: f"{row.macs / GIGA:.2f}", number=True),
    Column[ModelRow](
        "macs_compared",
        f"GMAC@{COMPARED_SIZE}",
        lambda row: f"{row.compared_macs / GIGA:.2f}",
        number=True,
        priority=3,
    ),
    Column[ModelRow]("in_band", "25 M ± 5 %", lambda row: yes_or_no(row.in_band), priority=3),
)


def model_rows() -> list[ModelRow]:
    """The models of the zoo."""
    counts = zoo_counts()
    return [
        ModelRow(
            name=name,
            family=entry.family,
            image_size=entry.image_size,
            parameters=counts[name]["parameters"],
            macs=counts[name]["macs"],
            compared_macs=counts[name][f"macs_{COMPARED_SIZE}"],
            fixed_size=entry.fixed_size,
        )
        for name, entry in ZOO.items()
    ]


def models_report(rows: Sequence[ModelRow]) -> Report:
    """The models, then the groups and what else ``--model`` takes."""
    groups = [f"{name}: {', '.join(members)}" for name, members in GROUPS.items() if name != "zoo"]
    remarks = (
        f"parameters with {BAND_CLASSES} classes; !: the weights belong to one image size",
        *groups,
        "zoo: all of them; also: timm:NAME (deploybench models --timm 'vit_*'), "
        "package.module:factory",
    )
    data = {
        "models": [_model_data(row) for row in rows],
        "groups": {name: list(members) for name, members in GROUPS.items()},
    }
    table = table_of(MODEL_COLUMNS, rows, data=_model_data)
    return Report((table, Prose(remarks, Style.FAINT)), data)


def timm_report(names: Sequence[str]) -> Report:
    """Names of timm's, one a line."""
    table = table_of((Column[str]("model", "", str),), names)
    return Report((table,), {"models": list(names)})


def model_report(name: str, counts: Sequence[ModelCount]) -> Report:
    """A column a size; a row a kind of MACs with its share."""
    return Report(
        (_count_table(name, counts),),
        {"model": name, "counts": [count_data(count) for count in counts]},
    )


def count_data(count: ModelCount) -> dict[str, object]:
    """One size, flat."""
    macs = count.macs
    return {
        "image_size": list(count.image_size),
        "patch_size": count.patch_size,
        "tokens": count.tokens,
        "num_classes": count.num_classes,
        "parameters": count.parameters,
        "macs": macs.total,
        "flops": 2 * macs.total,
        "uncounted_operators": list(macs.uncounted),
        "macs_attention_mixing": macs.attention_mixing,
        "macs_attention_projections": macs.attention_projections,
        "macs_mlp": macs.mlp,
        "macs_convolution": macs.convolution,
        "macs_other": macs.other,
    }


def _model_data(row: ModelRow) -> dict[str, object]:
    return {
        "model": row.name,
        "family": row.family,
        "image_size": row.image_size,
        "parameters": row.parameters,
        "macs": row.macs,
        f"macs_{COMPARED_SIZE}": row.compared_macs,
        "in_band": row.in_band,
        "fixed_size": row.fixed_size,
    }


@dataclass(frozen=True)
class _Fact:
    """One line of what a model is made of: its title, and how it reads at one size."""

    title: str
    read: Callable[[ModelCount], str]


def _count_table(name: str, counts: Sequence[ModelCount]) -> Table:
    facts = [
        _Fact("parameters", lambda count: f"{count.parameters:,}"),
        _Fact("classes", lambda count: str(count.num_classes)),
    ]
    if any(count.tokens for count in counts):
        facts.append(_Fact("tokens", lambda count: str(count.tokens or NOTHING)))
    facts.append(_Fact("MACs", _total))
    if any(count.macs.uncounted for count in counts):
        facts.append(
            _Fact("  not counted", lambda count: ", ".join(count.macs.uncounted) or NOTHING)
        )
    for title, attribute in KINDS.items():
        if any(getattr(count.macs, attribute) for count in counts):
            facts.append(_Fact(f"  {title}", _share_of(attribute)))
    columns = [Column[_Fact]("fact", "", lambda fact: fact.title)]
    columns += [_size_column(count) for count in counts]
    table = table_of(columns, facts, title=_title(name), legend=LEGEND)
    return Table(
        table.columns,
        table.groups,
        table.title,
        table.legend,
        tuple(count_data(count) for count in counts),
    )


def _pixels(row: ModelRow) -> str:
    """Marked where the weights belong to that image size alone."""
    if row.fixed_size:
        return f"{row.image_size}!"
    return str(row.image_size)


def _size_column(count: ModelCount) -> Column[_Fact]:
    title = f"{count.image_size[0]} x {count.image_size[1]}"
    if count.patch_size:
        title += f", patches of {count.patch_size}"
    return Column(title, title, lambda fact: fact.read(count), number=True)


def _total(count: ModelCount) -> str:
    figure = f"{count.macs.total:,}"
    if count.macs.uncounted:
        return f"{AT_LEAST} {figure}"
    return figure


def _share_of(attribute: str) -> Callable[[ModelCount], str]:
    """Writes the MACs of one kind with their share of all."""

    def write(count: ModelCount) -> str:
        macs: int = getattr(count.macs, attribute)
        return f"{macs:,}  {macs / max(count.macs.total, 1):4.0%}"

    return write


def _title(name: str) -> str:
    entry = ZOO.get(name)
    if entry is None:
        return f"{name} · not in the zoo"
    title = f"{name} · {entry.family}"
    if entry.fixed_size:
        title += "; its weights belong to one image size"
    return title
