"""The figures of a cell that a constraint can be held against, each with what is known of it.

Times, rates and percentiles count only where the verdict is VALID. Memory and size do not depend on
what else the machine did: they count wherever the cell ran. A machine with several states is in all
of them at times, so that a figure spans those that the cell met.

The interval of a rate is that of the time of a call, turned round; that of memory runs from the
least to the most that one of the launches took.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from deploybench.analysis.orders import Known
from deploybench.analysis.qualities import alike
from deploybench.analysis.visit_verdicts import too_far
from deploybench.hardware.devices import CPU, kind_of
from deploybench.plurals import counted
from deploybench.results.quality import ITSELF, Figures, Quality
from deploybench.results.record import Percentile, Record, StateSummary, Summary
from deploybench.results.verdict import Verdict
from deploybench.statistics.figures import Figure

P99 = 0.99


class Quantity(str, Enum):
    """What is limited, or looked for."""

    P50 = "p50"
    P99 = "p99"
    THROUGHPUT = "throughput"
    MEMORY = "memory"
    SIZE = "size"
    ACCURACY = "accuracy"
    DROP = "accuracy drop"

    @property
    def more_is_better(self) -> bool:
        return self in (Quantity.THROUGHPUT, Quantity.ACCURACY)

    @property
    def of_time(self) -> bool:
        """Whether a longer measurement tells more of it."""
        return self in (Quantity.P50, Quantity.P99, Quantity.THROUGHPUT)


@dataclass(frozen=True)
class Amount:
    """One figure: in ms, images/s, bytes, or a share. ``value`` None: there is none.

    ``doubt`` says why it decides nothing: it may be shown, and no more. A figure without doubt has
    a value; ``low`` and ``high`` are the ends of its interval, the value itself of what is exact.
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    doubt: str = ""

    @property
    def known(self) -> Known | None:
        """The figure where it decides; None elsewhere."""
        if self.doubt or self.value is None:
            return None
        return Known.of(self.value, self.low, self.high)


def exactly(value: float) -> Amount:
    return Amount(value, value, value)


def amounts_of_time(record: Record) -> dict[Quantity, Amount]:
    """The times, the rate and the memory of a record; of one that has no summary only why."""
    summary = record.summary
    if record.measures != "time":
        missing = Amount(doubt="it was never timed")
    else:
        judgement = record.judgement
        missing = Amount(doubt=f"{judgement.verdict.value}: {judgement.reason}")
    of_time = (Quantity.P50, Quantity.P99, Quantity.THROUGHPUT)
    if summary is None:
        return {**dict.fromkeys(of_time, missing), Quantity.MEMORY: missing}
    memory = _memory(record, summary)
    if not summary.states:
        return {**dict.fromkeys(of_time, missing), Quantity.MEMORY: memory}
    main = summary.states[0]
    doubt = ""
    if main.judgement.verdict is not Verdict.VALID:
        doubt = f"{main.judgement.verdict.value}: {main.judgement.reason}"
    return {
        Quantity.P50: _p50(summary.states, doubt),
        Quantity.P99: _p99(summary.states, doubt),
        Quantity.THROUGHPUT: _throughput(summary.states, doubt),
        Quantity.MEMORY: memory,
    }


def amounts_of_quality(
    quality: Quality | None, accuracy_of: str, missing: str
) -> dict[Quantity, Amount]:
    """The accuracy and what is lost of it beside fp32 eager; ``missing`` says why there is no
    quality."""
    if quality is None:
        nothing = Amount(doubt=missing)
        return {Quantity.ACCURACY: nothing, Quantity.DROP: nothing}
    if quality.figures is None:
        nothing = Amount(doubt=f"the images of {quality.data.name} have no labels")
        return {Quantity.ACCURACY: nothing, Quantity.DROP: nothing}
    accuracy = Amount(doubt=f"its evaluation has no {accuracy_of}")
    figure = figure_of(quality.figures, accuracy_of)
    if figure is not None:
        accuracy = Amount(figure.value, figure.low, figure.high)
        if figure.low is None or figure.high is None:
            accuracy = Amount(figure.value, doubt=f"its {accuracy_of} has no interval")
    return {Quantity.ACCURACY: accuracy, Quantity.DROP: _drop(quality)}


def figure_of(figures: Figures, accuracy_of: str) -> Figure | None:
    """The figure that the accuracy is of; None where the evaluation has none."""
    if accuracy_of == "top-1":
        return figures.top1
    if accuracy_of == "balanced":
        return figures.balanced_accuracy
    if accuracy_of == "auc":
        return figures.area
    return figures.exact_match


def usual_accuracy(quality: Quality | None) -> str:
    """What the accuracy is of where nobody says: the AUC where an image has several labels."""
    if quality is not None and quality.data.labels == "multi-label":
        return "auc"
    return "top-1"


def size_of(record: Record) -> Amount:
    """The bytes of the artifact."""
    if record.artifact_bytes is None:
        return Amount(doubt="the size of its artifact is not in the record")
    return exactly(record.artifact_bytes)


def _p50(states: Sequence[StateSummary], doubt: str) -> Amount:
    if states[0].visited is not None and too_far(states[0].visited):
        return Amount(doubt=doubt)
    value = states[0].p50_ms
    if states[0].p50_low_ms is None or states[0].p50_high_ms is None:
        return Amount(value, doubt=doubt or "it has no interval")
    # A state that was seldom met has no interval: its time is in the span all the same.
    lows = [state.p50_ms if state.p50_low_ms is None else state.p50_low_ms for state in states]
    highs = [state.p50_ms if state.p50_high_ms is None else state.p50_high_ms for state in states]
    return Amount(value, min(lows), max(highs), doubt)


def _throughput(states: Sequence[StateSummary], doubt: str) -> Amount:
    """The rate of the state met most; the interval of each state's time, turned round."""
    time = _p50(states, doubt)
    if time.value is None:
        return Amount(doubt=doubt)
    value = states[0].throughput_per_s
    if time.low is None or time.high is None:
        return Amount(value, doubt=time.doubt)
    return Amount(value, value * time.value / time.high, value * time.value / time.low, doubt)


def _p99(states: Sequence[StateSummary], doubt: str) -> Amount:
    found = [_percentile(state) for state in states]
    main = found[0]
    if main is None:
        return Amount(doubt=doubt or "the record has no p99")
    if main.ms is None or main.low_ms is None or main.high_ms is None:
        samples = f"a p99 takes {counted(main.needed, 'sample')}, it has {main.samples}"
        return Amount(main.ms, doubt=doubt or samples)
    known = [one for one in found if one is not None and one.ms is not None]
    if len(known) < len(found):
        state = "it has no p99 in one of the machine's states"
        return Amount(main.ms, main.low_ms, main.high_ms, doubt or state)
    low = min(one.low_ms for one in known if one.low_ms is not None)
    high = max(one.high_ms for one in known if one.high_ms is not None)
    return Amount(main.ms, low, high, doubt)


def _percentile(state: StateSummary) -> Percentile | None:
    for percentile in state.percentiles:
        if percentile.fraction == P99:
            return percentile
    return None


def _memory(record: Record, summary: Summary) -> Amount:
    """Above the interpreter; of a cell on a GPU that GPU's memory."""
    if kind_of(record.cell.device) != CPU:
        if summary.device_bytes is None:
            return Amount(doubt="the driver did not tell the memory of the GPU")
        return exactly(summary.device_bytes)
    taken = [
        max(launch.memory.setup_peak_bytes, launch.memory.peak_bytes) - launch.memory.baseline_bytes
        for launch in record.launches
        if launch.measured and launch.memory is not None
    ]
    value = summary.peak_bytes
    return Amount(value, min([*taken, value]), max([*taken, value]))


def _drop(quality: Quality) -> Amount:
    """What is lost beside fp32 eager on the same images; below 0 where more is right."""
    if quality.eager is None and quality.no_eager == ITSELF:
        return exactly(0.0)
    if quality.eager is None or quality.eager.difference is None:
        reason = quality.no_eager or "there is no image in common"
        return Amount(doubt=f"it was not held against fp32 eager: {reason}")
    difference = quality.eager.difference
    if alike(quality.eager):
        # It computes what eager does: however few the images, nothing is lost.
        return exactly(0.0)
    return Amount(-difference.value, -difference.high, -difference.low)
