"""Records of visited cells made of given figures, for tests of what is shown of them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from deploybench.analysis.summary import summarise
from deploybench.results.record import Percentile, Record, StateSummary, Visited
from deploybench.results.verdict import Judgement, Verdict
from deploybench.results.visit import CanaryBest, Visit
from tests.records import MS, launch, record
from tests.visited_cells import reading

BEST = CanaryBest(threads=2, compute_us=4000.0, memory_us=1000.0, runs=5)
VALID = Judgement(verdict=Verdict.VALID, reason="96 calm visits, ±0.4 %")
NOISY = Judgement(verdict=Verdict.NOISY, reason="±3.1 %", advice="give the run more time: --budget")


@dataclass(frozen=True)
class Interval:
    """A time in ms, and how far its interval reaches on either side (a share)."""

    ms: float
    width: float = 0.004

    @property
    def low_ms(self) -> float:
        return self.ms * (1 - self.width)

    @property
    def high_ms(self) -> float:
        return self.ms * (1 + self.width)


def visits_at(shares: Sequence[float], ms: float, *, seconds_apart: float = 1.0) -> list[Visit]:
    """A visit of three calls for each share of the machine's speed."""
    visits = []
    for number, share in enumerate(shares):
        took_ns = int(ms / share * MS)
        visits.append(
            Visit(
                round=number,
                order=0,
                process=number % 2,
                at_s=number * seconds_apart,
                samples_ns=(took_ns,) * 3,
                window_ns=3 * took_ns,
                before=reading(share),
                after=reading(share),
            )
        )
    return visits


def visited(undisturbed: Interval, met: Interval, **changes: object) -> Visited:
    made = Visited(
        visits=100,
        processes=2,
        basis="calm visits",
        calm_visits=40,
        calm_share=0.95,
        known=True,
        halves_agree=True,
        independent=60.0,
        delivered_p10=0.61,
        delivered_p50=0.78,
        delivered_p90=0.95,
        slope=-0.8,
        whole_ms=undisturbed.ms,
        whole_low_ms=undisturbed.low_ms,
        whole_high_ms=undisturbed.high_ms,
        agree=True,
        experienced_p50_ms=met.ms,
        experienced_low_ms=met.low_ms,
        experienced_high_ms=met.high_ms,
    )
    return made.replaced(**changes)


def visited_record(
    undisturbed_ms: float,
    met_ms: float,
    *,
    width: float = 0.004,
    judgement: Judgement = VALID,
    shares: Sequence[float] = (0.61, 0.78, 0.951),
    changes: dict[str, object] | None = None,
    p99_ms: float | None = 20.0,
    **of_the_cell: object,
) -> Record:
    """A record of two processes; ``changes`` are of its :class:`Visited`."""
    undisturbed, met = Interval(undisturbed_ms, width), Interval(met_ms)
    launches = [launch([undisturbed_ms] * 20, number=number) for number in range(2)]
    base = record(launches, **of_the_cell)
    assert base.summary is not None
    state = StateSummary(
        hop_ns=None,
        launches=2,
        left_out=0,
        p50_ms=undisturbed.ms,
        p50_low_ms=undisturbed.low_ms,
        p50_high_ms=undisturbed.high_ms,
        p50_coverage=0.95,
        percentiles=(
            Percentile(
                fraction=0.5,
                ms=met.ms,
                low_ms=met.low_ms,
                high_ms=met.high_ms,
                samples=300,
                needed=6,
            ),
            Percentile(
                fraction=0.99, ms=p99_ms, low_ms=p99_ms, high_ms=p99_ms, samples=300, needed=368
            ),
        ),
        samples=300,
        throughput_per_s=1000 / undisturbed_ms,
        cores_used=2.0,
        energy_j=None,
        visited=visited(undisturbed, met, **(changes or {})),
        judgement=judgement,
    )
    return base.replaced(
        summary=base.summary.replaced(states=(state,)),
        judgement=judgement,
        visits=tuple(visits_at(shares, undisturbed_ms)),
        canary=BEST,
    )


def record_of_visits(
    undisturbed_ms: float, *, slope: float, shares: Sequence[float], **of_the_cell: object
) -> Record:
    """A record whose summary follows from its visits, one for each share of the machine's speed.

    A visit takes the undisturbed time x share to the power of ``slope``, and a little more or less.
    """
    launches = [launch([undisturbed_ms] * 20, number=number) for number in range(2)]
    generator = random.Random(repr(of_the_cell))
    visits = []
    for visit, share in zip(visits_at(shares, 1.0), shares, strict=True):
        took_ms = undisturbed_ms * share**slope * (1 + generator.gauss(0, 0.004))
        samples = (int(took_ms * MS),) * 3
        visits.append(visit.replaced(samples_ns=samples, window_ns=sum(samples)))
    base = record(launches, **of_the_cell)
    summary = summarise(launches, 1, visits, BEST)
    assert summary is not None
    (state,) = summary.states
    return base.replaced(
        summary=summary, judgement=state.judgement, visits=tuple(visits), canary=BEST
    )


def busy_and_calm(count: int = 300, *, busy: float = 0.59, calm_share: float = 0.3) -> list[float]:
    """Shares of the machine's speed: mostly ``busy``, and calm in between, in no order."""
    generator = random.Random(7)
    shares = []
    for _ in range(count):
        if generator.random() < calm_share:
            shares.append(1.0 - generator.random() * 0.01)
        else:
            shares.append(busy * (1 + generator.gauss(0, 0.02)))
    return shares
