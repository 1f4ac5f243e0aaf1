"""Do FLOPs predict latency? Both orders of the models, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from deploybench.analysis.ranking import Ranked, Ranking
from deploybench.data.image_size import short_text
from deploybench.hardware.devices import CPU
from deploybench.plurals import counted

TITLE = "Kendall tau of MACs with p50 latency"


def ranking_lines(rankings: Sequence[Ranking]) -> list[str]:
    """The taus of the rankings that can be trusted, in one line.

    With three models or more there are both orders, too.
    """
    if not rankings:
        return [f"{TITLE}: n/a (needs two models with different MACs)"]
    trusted = [ranking for ranking in rankings if ranking.trusted]
    if not trusted:
        return [f"{TITLE}: n/a (needs times that are VALID; with these the order is chance)"]
    widest = max(trusted, key=lambda ranking: len(ranking.by_macs))
    count = len(widest.by_macs)
    models = {member.finding.record.cell.model for member in widest.by_macs}
    ranked = f"{count} models"
    if len(models) < count:
        # Some model is there at several sizes.
        ranked += " and sizes"
    taus = [f"{_name(ranking)} {ranking.tau:+.2f}" for ranking in trusted]
    doubted = [_name(ranking) for ranking in rankings if not ranking.trusted]
    if doubted:
        taus.append(f"{', '.join(doubted)} n/a (not all times are VALID)")
    lines = [f"{TITLE} over {ranked}: {', '.join(taus)}"]
    if count > 2:
        lines.append(f"MACs predict: {' < '.join(_names(widest.by_macs))}")
        lines += [
            f"{_name(ranking)} gives: {_order(ranking.by_time)}; "
            f"fewer MACs were faster in {ranking.agreeing} of {counted(ranking.pairs, 'pair')}"
            for ranking in trusted
        ]
    return lines


def _name(ranking: Ranking) -> str:
    if ranking.device == CPU:
        return ranking.runner
    return f"{ranking.runner} on {ranking.device}"


def _order(by_time: Sequence[Ranked]) -> str:
    """The names, fastest first; ``≈`` between two whose intervals overlap."""
    names = _names(by_time)
    text = names[0]
    for (faster, slower), name in zip(pairwise(by_time), names[1:], strict=True):
        sign = "<"
        if faster.overlaps(slower):
            sign = "≈"
        text += f" {sign} {name}"
    return text


def _names(members: Sequence[Ranked]) -> list[str]:
    """The models' names; with the size, as in vit@384/16, where a model is there in several."""
    cells = [member.finding.record.cell for member in members]
    times_seen = Counter(cell.model for cell in cells)
    names = []
    for cell in cells:
        name = cell.model
        if times_seen[cell.model] > 1:
            name += f"@{short_text(cell.image_size, cell.patch_size)}"
        names.append(name)
    return names
