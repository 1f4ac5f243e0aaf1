"""What a launch keeps of its samples: all of them, or counts in bins beyond a number of samples.

A model of 6 µs makes half a million samples in three seconds, and 200,000 made a record of 168 MB.
Beyond ``MOST_RAW`` samples the first and the last ``KEPT_RAW`` stay as they are, and those after
the warm-up are counted in bins a tenth of a percent wide. What is looked for in the order of the
samples (the warm-up, a change of level) was looked for in all of them before.
"""

from __future__ import annotations

from dataclasses import dataclass

from deploybench.measure.loop import Window
from deploybench.results.launch import Histogram
from deploybench.statistics.counted import binned

MOST_RAW = 100_000
KEPT_RAW = 2_000


@dataclass(frozen=True)
class Kept:
    """Each field is documented at the field of :class:`Launch` that bears its name."""

    samples_ns: tuple[int, ...]
    sample_cpu_ns: tuple[int, ...]
    sample_switches: tuple[int, ...]
    device_ns: tuple[int, ...]
    sample_count: int | None = None
    steady_histogram: Histogram | None = None
    device_histogram: Histogram | None = None
    switches: int | None = None


def keep(window: Window, warm_up: int, *, raw: bool) -> Kept:
    """What is kept of a window whose first ``warm_up`` samples are warm-up; ``raw`` keeps all."""
    count = len(window.samples_ns)
    if raw or count <= MOST_RAW:
        return Kept(
            window.samples_ns, window.sample_cpu_ns, window.sample_switches, window.device_ns
        )
    device_histogram = None
    if window.device_ns:
        device_histogram = histogram_of(window.device_ns[warm_up:])
    switches = None
    if window.sample_switches:
        switches = sum(window.sample_switches)
    return Kept(
        samples_ns=_ends(window.samples_ns),
        sample_cpu_ns=_ends(window.sample_cpu_ns),
        sample_switches=_ends(window.sample_switches),
        device_ns=_ends(window.device_ns),
        sample_count=count,
        steady_histogram=histogram_of(window.samples_ns[warm_up:]),
        device_histogram=device_histogram,
        switches=switches,
    )


def _ends(figures: tuple[int, ...]) -> tuple[int, ...]:
    """The first and the last ones; nothing of nothing."""
    return figures[:KEPT_RAW] + figures[-KEPT_RAW:] if figures else ()


def histogram_of(samples: tuple[int, ...]) -> Histogram:
    """The samples as counts in bins."""
    bins = binned(samples)
    return Histogram(
        bins=bins.numbers, counts=bins.counts, smallest=bins.smallest, largest=bins.largest
    )
