"""What no measurement gives: a record that says it was edited, or written by something else.

Calls take time, a histogram has samples in it, and a batch has an image. A record in which that is
not so would be divided by, or drawn, somewhere: it is refused where it is read, and the field is
named.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from deploybench.documents import Document
from deploybench.plurals import counted
from deploybench.results.launch import Histogram, Launch, Probes
from deploybench.results.record import Record, StateSummary
from deploybench.results.visit import CanaryReading

LONGEST_TEXT = 5000
"""Characters of a name: no path may be longer than 4096, and tables are made of these."""
LONGEST_NS = 1 << 63
Number = int | float | None


def why_implausible(record: Record) -> str | None:
    """The first thing in a record that no measurement gives, in words; None where there is none."""
    return next(_problems(record), None)


def _problems(record: Record) -> Iterator[str]:
    yield from _texts("cell", record.cell)
    for name in ("run", "created", "profile", "baseline"):
        yield from _text(name, getattr(record, name))
    yield from _positive("cell.batch", record.cell.batch)
    yield from _positive("cell.streams", record.cell.streams)
    for name in ("parameters", "macs", "tokens", "artifact_bytes"):
        yield from _not_negative(name, getattr(record, name))
    yield from _positive("peak_gflops", record.peak_gflops)
    if record.bound is not None:
        yield from _positive("bound.batch", record.bound.batch)
        yield from _positive("bound: its latency", record.bound.latency_ms)
    for number, launch in enumerate(record.launches):
        yield from _of_launch(f"launches.{number}", launch)
    for number, visit in enumerate(record.visits):
        place = f"visits.{number}"
        yield from _samples(f"{place}.samples_ns", visit.samples_ns)
        yield from _histogram(f"{place}.histogram", visit.histogram)
        yield from _not_negative(f"{place}.window_ns", visit.window_ns)
        for reading in (visit.before, visit.after, visit.around):
            yield from _canary(place, reading)
    if record.canary is not None:
        for best in record.canary.states:
            for name in ("compute_us", "memory_us", "faults_us", "hop_ns"):
                yield from _positive(f"canary.{name}", getattr(best, name))
            yield from _canary("canary.of_this_run", best.of_this_run)
    if record.summary is not None:
        for number, state in enumerate(record.summary.states):
            yield from _of_state(f"summary.states.{number}", state)


def _of_launch(place: str, launch: Launch) -> Iterator[str]:
    yield from _samples(f"{place}.samples_ns", launch.samples_ns)
    yield from _samples(f"{place}.device_ns", launch.device_ns, some_time=False)
    yield from _histogram(f"{place}.steady_histogram", launch.steady_histogram)
    yield from _histogram(f"{place}.device_histogram", launch.device_histogram)
    if launch.sample_count is not None and launch.sample_count < len(launch.samples_ns):
        yield f"{place}.sample_count is {launch.sample_count}, fewer than there are"
    if not 0 <= launch.warm_up <= launch.count:
        yield f"{place}.warm_up is {launch.warm_up} of {launch.count} samples"
    if launch.surroundings is not None:
        yield from _probes(f"{place}.surroundings.before", launch.surroundings.before)
        yield from _probes(f"{place}.surroundings.after", launch.surroundings.after)


def _of_state(place: str, state: StateSummary) -> Iterator[str]:
    for name in ("p50_ms", "p50_low_ms", "p50_high_ms", "throughput_per_s", "hop_ns"):
        yield from _positive(f"{place}.{name}", getattr(state, name))
    low, high = state.p50_low_ms, state.p50_high_ms
    if low is not None and high is not None and low > high:
        yield f"{place}: its interval runs from {low:g} to {high:g} ms"


def _probes(place: str, probes: Probes) -> Iterator[str]:
    for name in ("compute_us", "memory_ms", "hop_ns"):
        yield from _positive(f"{place}.{name}", getattr(probes, name))


def _canary(place: str, reading: CanaryReading | None) -> Iterator[str]:
    if reading is None:
        return
    for name in ("compute_us", "memory_us", "faults_us", "hop_ns"):
        yield from _positive(f"{place}: {name} of the canary", getattr(reading, name))


def _samples(place: str, samples: Sequence[int], *, some_time: bool = True) -> Iterator[str]:
    if not samples:
        return
    if min(samples) < 0:
        yield f"{place} has a sample of {min(samples)} ns"
    # A coarse clock may show a short call as none at all now and then.
    if some_time and 2 * samples.count(0) >= len(samples):
        yield f"{place} has {samples.count(0)} samples of 0 ns"


def _histogram(place: str, histogram: Histogram | None) -> Iterator[str]:
    if histogram is None:
        return
    bins, counts = histogram.bins, histogram.counts
    if not bins or len(bins) != len(counts):
        yield f"{place} has {counted(len(bins), 'bin')} and {counted(len(counts), 'count')}"
        return
    if min(counts) < 1:
        yield f"{place} has a bin with {min(counts)} samples"
    if any(later <= earlier for earlier, later in itertools.pairwise(bins)):
        yield f"{place} has bins that do not ascend"
    if not 0 < histogram.relative_width <= 1:
        yield f"{place} has bins of the width {histogram.relative_width:g}"
        return
    last_ends_at = (bins[-1] + 1) * math.log1p(histogram.relative_width)
    if bins[0] < 0 or last_ends_at > math.log(LONGEST_NS) + 1:
        yield f"{place} has the bins {bins[0]} to {bins[-1]}"
    if not 0 < histogram.smallest <= histogram.largest:
        yield f"{place} runs from {histogram.smallest} to {histogram.largest} ns"


def _positive(place: str, value: Number) -> Iterator[str]:
    if value is not None and not 0 < value < float("inf"):
        yield f"{place} is {value:g}"


def _not_negative(place: str, value: Number) -> Iterator[str]:
    if value is not None and value < 0:
        yield f"{place} is {value:g}"


def _texts(place: str, document: Document) -> Iterator[str]:
    for name in type(document).model_fields:
        value = getattr(document, name)
        if isinstance(value, str):
            yield from _text(f"{place}.{name}", value)


def _text(place: str, value: str) -> Iterator[str]:
    if len(value) > LONGEST_TEXT:
        yield f"{place} has {counted(len(value), 'character')}"
