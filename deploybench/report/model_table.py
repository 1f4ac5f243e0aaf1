"""What a model is made of: its parameters, and its MACs by kind at each size."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from deploybench.models.counting import ModelCount
from deploybench.models.zoo import ZOO

KINDS = {
    "attention mixing": "attention_mixing",
    "attention projections": "attention_projections",
    "MLP": "mlp",
    "convolution": "convolution",
    "other": "other",
}
LEGEND = (
    "MAC: one multiply-add; FLOPs are 2 x MACs. mixing: q k^T, weights v and what stands in their "
    "place; projections: "
    "the linear layers around them; other: classifier, patch merging. Norms, activations and "
    "softmax are not counted."
)


def count_row(count: ModelCount) -> dict[str, object]:
    """One size, flat."""
    return {
        "image_size": list(count.image_size),
        "patch_size": count.patch_size,
        "tokens": count.tokens,
        "num_classes": count.num_classes,
        "parameters": count.parameters,
        "macs": count.macs.total,
        "flops": 2 * count.macs.total,
        **{f"macs_{attribute}": getattr(count.macs, attribute) for attribute in KINDS.values()},
    }


def print_model(name: str, counts: Sequence[ModelCount], console: Console) -> None:
    """A column a size; a row a kind of MACs with its share."""
    entry = ZOO.get(name)
    fixed = (
        "; its weights belong to one image size" if entry is not None and entry.fixed_size else ""
    )
    console.print(
        Text(f"{name} · {entry.family if entry else 'not in the zoo'}{fixed}", style="bold")
    )
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("")
    for count in counts:
        patches = f", patches of {count.patch_size}" if count.patch_size else ""
        table.add_column(
            f"{count.image_size[0]} x {count.image_size[1]}{patches}", justify="right", no_wrap=True
        )
    table.add_row("parameters", *(f"{count.parameters:,}" for count in counts))
    table.add_row("classes", *(str(count.num_classes) for count in counts))
    if any(count.tokens for count in counts):
        table.add_row("tokens", *(str(count.tokens or "–") for count in counts))
    table.add_row("MACs", *(f"{count.macs.total:,}" for count in counts))
    for title, attribute in KINDS.items():
        if any(getattr(count.macs, attribute) for count in counts):
            table.add_row(f"  {title}", *(_share(count, attribute) for count in counts))
    console.print(table)
    console.print(Text(LEGEND, style="dim"))


def _share(count: ModelCount, attribute: str) -> str:
    macs = getattr(count.macs, attribute)
    return f"{macs:,}  {macs / max(count.macs.total, 1):4.0%}"
