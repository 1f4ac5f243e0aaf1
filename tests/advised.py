"""Records of cells to choose between, for tests of what is advised."""

from __future__ import annotations

from collections.abc import Sequence

from deploybench.results.record import Percentile, Record
from deploybench.results.verdict import Judgement, Verdict
from tests.visits import VALID, visited_record

CALM = tuple(1.0 - 0.001 * (number % 7) for number in range(60))
"""Shares of a machine's speed: it was given all of it."""
NOISY = Judgement(
    verdict=Verdict.NOISY, reason="none of 60 visits was calm", advice="measure at a quieter time"
)
TRAINED = {"weights": "checkpoint net.safetensors", "weights_identity": "5" * 16}


def candidate(
    ms: float,
    runner: str = "openvino",
    *,
    p99: tuple[float, float, float] | None = None,
    run: str = "20260101-000000-aaaa",
    created: str = "2026-01-01T00:00:00",
    judgement: Judgement = VALID,
    hostname: str = "here",
    memory_mb: int | None = None,
    size_mb: int = 4,
    width: float = 0.004,
    shares: Sequence[float] = CALM,
    **cell: object,
) -> Record:
    """A cell that takes ``ms``; ``p99`` is its value and the ends of its interval."""
    of_cell = {
        "artifact_key": f"{runner}-{cell.get('model', 'net')}-{cell.get('precision', 'fp32')}",
        "artifact": f"/w/artifacts/net/{runner}",
        **TRAINED,
        **cell,
    }
    made = visited_record(
        ms,
        ms,
        width=width,
        judgement=judgement,
        shares=shares,
        p99_ms=None,
        runner=runner,
        **of_cell,
    )
    assert made.summary is not None
    (state,) = made.summary.states
    if p99 is not None:
        value, low, high = p99
        percentile = Percentile(
            fraction=0.99, ms=value, low_ms=low, high_ms=high, samples=900, needed=368
        )
        state = state.replaced(percentiles=(state.percentiles[0], percentile))
    summary = made.summary.replaced(states=(state,))
    launches = made.launches
    if memory_mb is not None:
        summary = summary.replaced(peak_bytes=memory_mb << 20)
        launches = tuple(
            launch.replaced(memory=launch.memory.replaced(setup_peak_bytes=(50 + memory_mb) << 20))
            for launch in launches
            if launch.memory is not None
        )
    return made.replaced(
        summary=summary,
        launches=launches,
        run=run,
        created=created,
        artifact_bytes=size_mb << 20,
        host=made.host.replaced(hostname=hostname),
    )
