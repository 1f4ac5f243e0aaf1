"""Do FLOPs predict latency? The rank correlation of MACs with p50 latency over the models of a run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from deploybench.contracts import HOST_TO_HOST
from deploybench.report.row import Row
from deploybench.states import levels_of, nearest
from deploybench.stats import kendall_tau


def rank_correlations(rows: Sequence[Row]) -> dict[str, tuple[float, int]]:
    """Kendall's tau of MACs with p50 latency over the models, for each runner, and the number of models.

    Only rows of the smallest batch, one stream, fp32 and host-to-host take part, and of them those in the one
    state of the machine that most models were measured in: unlike rows are never ranked together.
    """
    shown = [row for row in rows if row.p50_ms is not None and row.macs_per_image is not None]
    smallest = min((row.batch for row in shown), default=1)
    levels = levels_of([row.state_hop_ns for row in shown if row.state_hop_ns is not None])
    pairs: dict[tuple[str, float | None], dict[tuple[str, str, str], tuple[float, float]]] = defaultdict(dict)
    for row in shown:
        if (row.batch, row.streams, row.precision, row.timing) == (smallest, 1, "fp32", HOST_TO_HOST):
            state = None if row.state_hop_ns is None else nearest(levels, row.state_hop_ns)
            point = (float(row.macs_per_image or 0), row.p50_ms or 0.0)
            pairs[row.runner, state][row.model, row.weights_identity, row.image_size] = point
    found: dict[str, tuple[float, int]] = {}
    for (runner, _), points in pairs.items():
        tau = kendall_tau([macs for macs, _ in points.values()], [ms for _, ms in points.values()])
        if tau is not None and len(points) > found.get(runner, (0.0, 0))[1]:
            found[runner] = (tau, len(points))
    return found
