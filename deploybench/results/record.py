"""The record: the JSON document of one cell, declared once; every printer reads it.

A record holds what was asked, what really ran, every raw sample of every launch and visit, the
summary and the verdict that follow from them, and the host. While a run is under way the record of
a cell is replaced whole now and then (``complete`` is false); afterwards it never changes.
"""

from __future__ import annotations

import hashlib
from typing import Literal

from pydantic import Field

from deploybench.artifacts.parity import ParityReport
from deploybench.documents import Document, now
from deploybench.hardware.host import Host
from deploybench.provenance import Provenance
from deploybench.results.cell import DEFAULT_BASELINE, Cell
from deploybench.results.launch import Launch
from deploybench.results.quality import Quality
from deploybench.results.verdict import Judgement
from deploybench.results.visit import CanaryBest, Visit


class Percentile(Document):
    """A percentile of the steady samples.

    The value and its interval are None where there are fewer than ``needed`` samples.
    """

    fraction: float
    ms: float | None
    low_ms: float | None
    high_ms: float | None
    samples: int
    needed: int


RestsOn = Literal["calm visits", "extrapolated", "not seen", "no canary"]
"""What the undisturbed time of a cell rests on."""


class Visited(Document):
    """What the visits of a cell showed of the machine, beside its undisturbed time.

    ``basis`` is what the undisturbed time rests on: ``calm visits`` (both readings of the canary
    beside them were at least ``calm_share`` of the machine's own speed), ``extrapolated`` (too few
    were calm), ``not seen`` (none was) or ``no canary`` (it is the time as experienced).

    ``whole_*`` is the estimate from all visits along ``slope``, by how much the logarithm of the
    time grows with that of the delivered speed; ``agree`` whether it and that of the calm ones can
    both be true. Experienced is what a user of the machine met.

    ``process_shift`` is by how much (share) the medians of two processes differ where chance alone
    would not make them (0: nowhere; None: nothing tells); ``process_error`` (share) the half-width
    that follows for what a process usually takes, and is part of the interval. ``drift`` is by how
    much the time rose from the first visit to the last, beyond chance. ``faults_least`` and
    ``faults_most`` are the new pages that a call asks the system for, in the process with the
    fewest and in that with the most (medians over visits).
    """

    visits: int
    processes: int
    basis: RestsOn
    calm_visits: int
    calm_share: float
    known: bool = Field(description="whether the undisturbed interval can be trusted")
    halves_agree: bool = Field(description="whether the estimate holds in each half of the run")
    independent: float = Field(description="the number of visits, were they independent")
    delivered_p10: float | None = None
    delivered_p50: float | None = None
    delivered_p90: float | None = None
    slope: float = 0.0
    whole_ms: float | None = None
    whole_low_ms: float | None = None
    whole_high_ms: float | None = None
    agree: bool | None = None
    experienced_p50_ms: float
    experienced_low_ms: float | None
    experienced_high_ms: float | None
    process_shift: float | None = None
    process_error: float = 0.0
    drift: float = 0.0
    faults_least: float | None = None
    faults_most: float | None = None


class StateSummary(Document):
    """The estimate of a cell in one state of the machine.

    Of fresh launches ``p50_ms`` is the median of launch medians, and ``hop_ns`` names the state
    where the hop probe tells one. ``left_out`` launches of the state were disturbed and do not
    count, because enough others were not.

    Of visits (``visited``) ``p50_ms`` is the undisturbed time of a call, ``throughput_per_s`` the
    undisturbed rate, and ``hop_ns`` the state by the canary's hop; ``percentiles`` are as
    experienced, in whatever state.
    """

    hop_ns: float | None
    launches: int
    left_out: int
    p50_ms: float
    p50_low_ms: float | None
    p50_high_ms: float | None
    p50_coverage: float | None
    percentiles: tuple[Percentile, ...]
    samples: int
    throughput_per_s: float = Field(
        description="images / wall time of the window, median of launches"
    )
    cores_used: float = Field(description="CPU time / wall time within the window")
    energy_j: float | None = Field(description="energy of one image")
    device_p50_ms: float | None = Field(
        None, description="time of a call by the device's clock, median of launches"
    )
    visited: Visited | None = None
    judgement: Judgement


class Summary(Document):
    """Computed from the launches; never stored without them.

    One estimate for each state of the machine, first the one that stands for the cell: of launches
    the one seen most, of visits the one with the shortest hop that is known. Estimates of several
    states are never pooled into one number.
    """

    states: tuple[StateSummary, ...]
    launches: int
    flipped: int = Field(description="launches during which the state of the machine changed")
    load_s: float
    compile_s: float
    first_inference_ms: float
    cold_start_s: float | None
    cached_start_s: float | None = Field(
        None,
        description="the cold start of launches that found what they would have compiled in a "
        "cache on disk; the times before it are of the launches that compiled",
    )
    compiled_afresh: int | None = Field(
        None,
        description="launches that compiled; with 0 the times before it are of launches that "
        "found everything in a cache. Null where no runtime told",
    )
    peak_bytes: int = Field(
        description="the largest resident bytes above the baseline, median of launches"
    )
    baseline_bytes: int
    device_bytes: int | None
    energy_source: str


class Record(Document):
    """One cell, whole."""

    schema_version: Literal[2, 3, 4] = 4
    """2: before there were visits; 3: before there was a quality. Their records still read."""
    run: str
    created: str
    complete: bool
    profile: str
    cell: Cell
    parameters: int | None
    macs: int | None
    tokens: int | None = Field(
        None, description="that the model's attention sees, where there is one such number"
    )
    weights_random_share: float = Field(
        0.0, description="of the parameters, after a checkpoint that was loaded in part"
    )
    macs_uncounted: tuple[str, ...] = Field(
        (), description="operators that may do more MACs and that no formula knows"
    )
    artifact_bytes: int | None
    peak_gflops: float | None = Field(
        description="peak at the cell's precision, GFLOP/s: of a CPU as measured, of a GPU as its "
        "profile says"
    )
    bound: Bound | None = Field(
        None, description="the least time of one call, computed: see roofline.py"
    )
    baseline: str = Field(
        DEFAULT_BASELINE, description="the runner that the run compared others with"
    )
    launches: tuple[Launch, ...]
    visits: tuple[Visit, ...] = Field(
        (), description="of the processes that the launches started, in order of time"
    )
    canary: CanaryBest | None = Field(None, description="the machine's own speed, beside visits")
    summary: Summary | None
    judgement: Judgement
    stopped: str | None = Field(
        None, description="why the cell was launched no more; None: the run was interrupted"
    )
    more_rounds: int | None = Field(
        None, description="rounds that the precision asked for would have taken further"
    )
    assumed: tuple[str, ...] = Field(
        (), description="what nobody gave when the artifact was exported, in sentences"
    )
    measures: Literal["time", "quality"] = Field(
        "time", description="what the cell was run for: how fast it is, or how good"
    )
    quality: Quality | None = None
    host: Host
    versions: dict[str, str]
    command: str
    seal: str = Field(
        "",
        description="sha256 over the record without this field; empty before there were seals",
    )

    def sealed(self) -> Record:
        """The same record with the seal that belongs to its content."""
        content = self.model_dump_json(exclude={"seal"})
        return self.replaced(seal=hashlib.sha256(content.encode()).hexdigest())

    @property
    def intact(self) -> bool:
        """Whether nothing was changed since the record was written; true of one without a seal.

        A seal shows an edit, not who wrote the record: anybody can compute one. An older version
        sealed the fields that it knew: those that are not in the file have no part in its seal.
        """
        if not self.seal:
            return True
        content = self.model_dump_json(exclude={"seal"}, exclude_unset=True)
        return self.seal == hashlib.sha256(content.encode()).hexdigest()

    @property
    def provenance(self) -> Provenance:
        """``simulated`` when a test double stood in for a library of the device anywhere.

        No number of such a record is a device's.
        """
        provenances = {gpu.provenance for gpu in self.host.gpus}
        provenances |= {launch.provenance for launch in self.launches}
        if "simulated" in provenances:
            return "simulated"
        return "measured"

    @property
    def pinned(self) -> tuple[int, ...] | None:
        """The CPUs that the processes were kept on; None where the system chose."""
        for launch in self.launches:
            if launch.pinned is not None:
                return launch.pinned
        return None

    @property
    def parity(self) -> ParityReport | None:
        """What the first launch that was checked showed."""
        for launch in self.launches:
            if launch.parity is not None:
                return launch.parity
        return None


class Bound(Document):
    """The least latency of one call, and what it follows from. Bytes are of the whole batch."""

    roof: str
    precision: str
    batch: int
    flops: int
    moved_bytes: int
    compute_ms: float
    memory_ms: float
    unfused_bytes: int | None = None
    unfused_ms: float | None = None

    @property
    def latency_ms(self) -> float:
        return max(self.compute_ms, self.memory_ms)

    @property
    def limited_by(self) -> str:
        if self.compute_ms >= self.memory_ms:
            return "compute"
        return "memory"

    @property
    def images_per_s(self) -> float:
        """The most that one stream can reach."""
        return self.batch / self.latency_ms * 1e3


def without_a_number(
    run: str,
    profile: str,
    cell: Cell,
    judgement: Judgement,
    host: Host,
    command: str,
    *,
    measures: Literal["time", "quality"] = "time",
    parameters: int | None = None,
    macs: int | None = None,
    artifact_bytes: int | None = None,
) -> Record:
    """The record of a cell that nothing ran, with its judgement instead; ``host`` is the machine
    that says so."""
    return Record(
        run=run,
        created=now(),
        complete=True,
        profile=profile,
        cell=cell,
        parameters=parameters,
        macs=macs,
        artifact_bytes=artifact_bytes,
        peak_gflops=None,
        launches=(),
        summary=None,
        judgement=judgement,
        measures=measures,
        host=host,
        versions={},
        command=command,
    )
