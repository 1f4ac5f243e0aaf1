"""What a scenario is asked to do: which queries come when, and how long.

========================  ==============================================  =========================
scenario                  queries                                         LoadGen's result
========================  ==============================================  =========================
single-stream             one image; the next when the last is answered   latency at the percentile
multi-stream              ``samples_per_query`` images; likewise          latency at the percentile
server                    one image; Poisson arrivals at ``target_qps``   rate, if the bound is held
offline                   every image at once                             images / s
========================  ==============================================  =========================

The latency of a query runs from its scheduled time (server: its arrival, so waiting in the queue
counts) to the answer of its last image. Loading images into memory is not timed; putting them
together into batches is.
"""

from __future__ import annotations

from enum import Enum

from pydantic import Field

from deploybench.artifacts.acceptance import Evidence
from deploybench.documents import Document

EARLY_STOPPING_CONFIDENCE = 0.99
"""LoadGen's (``results.cc``, PerformanceSummary::EarlyStopping)."""
SCHEDULE_SEED = 16159082839903944936
"""Of the arrival times; that of MLPerf Inference v6.0."""
LONGEST_TEST_S = 600.0
LONGEST_FACTOR = 4
"""A test is given ten minutes, or four times what it asks for where that is more."""


class Scenario(str, Enum):
    SINGLE_STREAM = "single-stream"
    MULTI_STREAM = "multi-stream"
    SERVER = "server"
    OFFLINE = "offline"

    @property
    def default_percentile(self) -> float:
        """MLPerf's: 90 for single-stream, 99 for the others."""
        if self is Scenario.SINGLE_STREAM:
            return 90.0
        return 99.0

    @property
    def batched(self) -> bool:
        """Whether a query holds more than one image."""
        return self in (Scenario.MULTI_STREAM, Scenario.OFFLINE)

    @property
    def concurrent(self) -> bool:
        """Whether several instances can help: more than one image may be asked for at a time."""
        return self in (Scenario.SERVER, Scenario.OFFLINE)


class ScenarioSettings(Document):
    """One scenario.

    LoadGen's three generators are seeded explicitly, with the seeds of MLPerf Inference v6.0.
    """

    scenario: Scenario
    percentile: float = Field(gt=0, lt=100)
    min_duration_s: float
    min_queries: int
    target_qps: float | None = Field(
        default=None,
        description="mean arrivals per second; server only, and None where the highest is sought",
    )
    latency_bound_ms: float | None = Field(
        default=None, description="of a query at the percentile; server only"
    )
    samples_per_query: int = Field(default=1, description="images of a query; multi-stream only")
    instances: int = Field(
        default=1, description="sessions that answer side by side; server and offline only"
    )
    batch: int = Field(
        default=1, description="images of one call of the runner; multi-stream and offline only"
    )
    qsl_seed: int = 2085463073848966840
    sample_index_seed: int = 2747215439041700203
    schedule_seed: int = SCHEDULE_SEED

    @property
    def searches(self) -> bool:
        """Whether the highest rate is to be found."""
        return self.scenario is Scenario.SERVER and self.target_qps is None

    @property
    def fraction(self) -> float:
        """The percentile as LoadGen takes it: 0.99 for 99."""
        return round(self.percentile / 100, 12)

    @property
    def max_duration_s(self) -> float:
        """When the test is ended although it lacks queries; LoadGen then says INVALID."""
        arrivals_s = 0.0
        if self.target_qps:
            arrivals_s = self.min_queries / self.target_qps
        return max(LONGEST_TEST_S, LONGEST_FACTOR * max(self.min_duration_s, arrivals_s))


class ScenarioJob(Document):
    """What the parent tells a worker.

    ``threads`` is the budget of all instances together; ``pin`` are the CPUs that the process is
    started on; none: any. ``evidence`` is the accuracy that may take the place of parity.
    """

    artifact: str
    runner: str
    device: str
    precision: str
    threads: int
    settings: ScenarioSettings
    warmup_s: float = 0.5
    pin: tuple[int, ...] = ()
    evidence: Evidence | None = None

    @property
    def threads_each(self) -> int:
        """The CPU threads of one instance."""
        return self.threads // self.settings.instances


def default_min_queries(scenario: Scenario, percentile: float) -> int:
    """As many queries as LoadGen's early stopping needs.

    Offline is one query: there the duration decides how many images it holds.
    """
    if scenario is Scenario.OFFLINE:
        return 1
    return queries_for_early_stopping(percentile)


def queries_for_early_stopping(percentile: float) -> int:
    """The fewest queries of which one may be late and the percentile still be held with 99 %
    confidence.

    LoadGen's rule: the smallest n with P(at most one of n is late) < 1 %, when each is late with
    the probability that the percentile allows. 64 for p90, 662 for p99, 6636 for p99.9.
    """
    in_time = percentile / 100
    late = 1 - in_time

    def at_most_one_late(count: int) -> float:
        """Its probability among so many queries, by the binomial distribution."""
        none = in_time**count
        one = count * late * in_time ** (count - 1)
        return none + one

    count = 2
    while at_most_one_late(count) >= 1 - EARLY_STOPPING_CONFIDENCE:
        count += 1
    return count
