"""Time by layer: one process that loads an artifact twice, with its runtime's profiler and without.

Run by the parent as ``python -m deploybench.measure.layers REPLY``. Both sessions are proved; then
windows of calls of one and the other take turns, so that what the profiler itself costs, and what a
call takes beyond its layers, is seen in the same moods of the machine.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

from deploybench.artifacts.artifact import Artifact, open_artifact
from deploybench.children.processes import die_with_parent, finish
from deploybench.contracts import Arrays, LayerTimes, ProfiledSession, RunOptions, Session
from deploybench.contracts.registry import runner
from deploybench.documents import Document
from deploybench.measure.proof import failure_of, prove, reference_batches, timed_inputs
from deploybench.results.layers import LayerFigures, LayerProfile

MS_PER_S = 1e3
WARM_UP_CALLS = 5
"""Before the first window, of either session."""
WINDOW_S = 0.2
FEWEST_WINDOWS = 5
MOST_WINDOWS = 12
FEWEST_CALLS = 3
MOST_CALLS = 25
"""Of a window. A profile holds every node of every call: 12 x 25 calls of 500 nodes are 60 MB."""


class LayersJob(Document):
    """What the child looks at, and for about how many seconds it makes calls."""

    artifact: str
    runner: str
    device: str
    precision: str
    batch: int
    threads: int
    seconds: float

    @property
    def run_options(self) -> RunOptions:
        return RunOptions(
            device=self.device, threads=self.threads, precision=self.precision, batch=self.batch
        )


@dataclass
class Windows:
    """The windows of both sessions: what every call took as a whole, in ms, window by window."""

    plain_ms: list[list[float]] = field(default_factory=list)
    profiled_ms: list[list[float]] = field(default_factory=list)


def main() -> None:
    """Read a job from standard input, write what was found to the path in the first argument."""
    die_with_parent()
    job = LayersJob.model_validate_json(sys.stdin.read())
    finish(profile(job).model_dump_json())


def profile(job: LayersJob) -> LayerProfile:
    """Do the job. Whatever goes wrong is in the reply."""
    try:
        artifact = open_artifact(Path(job.artifact))
        artifact.check_files()
        return _profiled(job, artifact)
    except Exception as error:  # a runtime may raise anything; the reader gets its words
        failure = failure_of(error)
        return LayerProfile(refused=failure.refused, error=failure.error)


def _profiled(job: LayersJob, artifact: Artifact) -> LayerProfile:
    plugin = runner(job.runner).require()
    options = job.run_options
    with ExitStack() as stack:
        profiled = plugin.load_profiled(artifact, options)
        stack.enter_context(profiled)
        plain = stack.enter_context(plugin.load(artifact, options))
        for session in (profiled, plain):
            session.compile()
            session.prepare_thread()
            proof = prove(session, artifact, options, reference_batches(artifact, job.batch))
            shown = LayerProfile(facts=proof.facts, refused=proof.refused, parity=proof.parity)
            if not proof.holds:
                return shown
        windows = alternate(plain, profiled, timed_inputs(artifact, job.batch), job.seconds)
        times = profiled.layer_times()
    return summarised(shown, windows, times)


def alternate(plain: Session, profiled: ProfiledSession, inputs: Arrays, seconds: float) -> Windows:
    """Windows of calls of both, in turn, for about so many seconds; five of each at least."""
    for _ in range(WARM_UP_CALLS):
        plain.infer(inputs)
        profiled.infer(inputs)
    call_s = min(_timed(plain, inputs) for _ in range(FEWEST_CALLS))
    calls = max(FEWEST_CALLS, min(MOST_CALLS, round(WINDOW_S / call_s)))
    end = perf_counter() + seconds
    windows = Windows()
    while True:
        # The one that comes first is the one that came last before: neither is always first.
        first_profiled = len(windows.plain_ms) % 2 == 1
        for with_profiler in (first_profiled, not first_profiled):
            if with_profiler:
                windows.profiled_ms.append(_profiled_window(profiled, inputs, calls))
            else:
                windows.plain_ms.append([MS_PER_S * _timed(plain, inputs) for _ in range(calls)])
        count = len(windows.plain_ms)
        if count >= MOST_WINDOWS or (count >= FEWEST_WINDOWS and perf_counter() >= end):
            return windows


def _timed(session: Session, inputs: Arrays) -> float:
    start = perf_counter()
    session.infer(inputs)
    return perf_counter() - start


def _profiled_window(session: ProfiledSession, inputs: Arrays, calls: int) -> list[float]:
    took_ms = []
    with session.window():
        for _ in range(calls):
            took_ms.append(MS_PER_S * _timed(session, inputs))
            session.collect()
    return took_ms


def summarised(shown: LayerProfile, windows: Windows, times: LayerTimes) -> LayerProfile:
    """What was seen in the faster half of the calls, beside what the proof showed.

    Whoever else works on the machine hits now one layer, now another: medians of the layers over
    all calls would then sum to less than any call took. Calls without the profiler are halved
    alike.
    """
    sums_ms = [sum(call) for call in times.calls_ms]
    gaps_ms = []
    before = 0
    for plain, profiled in zip(windows.plain_ms, windows.profiled_ms, strict=True):
        of_window = sums_ms[before : before + len(profiled)]
        before += len(profiled)
        gaps_ms.append(round(median(plain) - median(of_window), 6))
    limit_ms = median(sums_ms)
    faster = [call for call in times.calls_ms if sum(call) <= limit_ms]
    return shown.replaced(
        layers=tuple(_figures(index, times, faster) for index in range(len(times.layers))),
        calls=len(sums_ms),
        windows=len(windows.plain_ms),
        plain_ms=_of_faster_half(windows.plain_ms),
        profiled_ms=_of_faster_half(windows.profiled_ms),
        layers_ms=median([sum(call) for call in faster]),
        gaps_ms=tuple(gaps_ms),
        note=times.note,
    )


def _figures(index: int, times: LayerTimes, calls: Sequence[Sequence[float]]) -> LayerFigures:
    layer = times.layers[index]
    low_ms, middle_ms, high_ms = quantiles([call[index] for call in calls], n=4)
    return LayerFigures(
        name=layer.name,
        kind=layer.kind,
        modules=layer.modules,
        kernel=layer.kernel,
        precision=layer.precision,
        ms=middle_ms,
        low_ms=low_ms,
        high_ms=high_ms,
    )


def _of_faster_half(windows: Sequence[Sequence[float]]) -> float:
    """The median of the calls that took no longer than the median call."""
    took_ms = [took for window in windows for took in window]
    limit_ms = median(took_ms)
    return median([took for took in took_ms if took <= limit_ms])


if __name__ == "__main__":
    main()
