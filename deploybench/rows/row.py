"""The row of a cell: flat, every unit in the name. Table, JSON and CSV print the same rows.

A cell has one row for each state of the machine that it was measured in: times of two states are
never one number.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from deploybench.inert import csv_cell
from deploybench.results.cell import CellOptions
from deploybench.results.verdict import Verdict
from deploybench.statistics.proportions import QualityAnswer
from deploybench.statistics.ratios import Answer

NO_OPTIONS = CellOptions()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One cell in one state of the machine.

    None where there is nothing to show; ``reason`` says why.

    ``weights_random_share`` of the parameters are random, after a partial load of a checkpoint.
    ``state_hop_ns`` is the state: the time of a cache line from core to core; ``state_share`` the
    share of the cell's launches or visits that met it; ``main_state`` whether it stands for the
    cell.
    ``bound_ms`` is the least time of one call, computed from MACs, bytes and the hardware's peaks;
    ``times_bound`` is the median over it, and ``bounded_by`` says what takes most of the call;
    ``unfused_ms`` is the same bound with every layer's values moved (``analysis/bounds.py``).
    ``peak_raised`` says that a cell of the run reached more than the peak that was measured before
    it, so that ``peak_gflops`` and the bounds are by what it reached; a share over 1 and a time
    below its bound are None. ``gpu_*`` are of the GPU right
    after the calls were timed. ``speedup`` is over ``baseline`` (fp32), paired by round; its
    verdict is its own. ``softmax_speedup`` is a fair ViT's over its softmax member on the same
    runner at the same sizes, where the run has both at two sizes or more. ``device_p50_ms`` is what
    an engine-only call takes by the device's own clock, ``options`` are those of the cell, each in
    a field of its own where rows are written as data; ``mixed_states_ms`` is the median over
    launches that all met a change of the machine's state, so that no state has an estimate;
    ``assumed`` is what nobody gave when the artifact was exported; ``provenance`` is ``simulated``
    where a double stood in for the device's library.

    The samples of ``launches_binned`` launches are counts in bins. ``threads_ran`` is how many
    threads worked, ``pinned_cpus`` the CPUs that the processes were kept on (``0-3,8``),
    ``environment`` the user's variables that change numbers.

    Of a cell that was visited (``visits``) ``p50_ms`` and what follows from it is *undisturbed*:
    what this hardware does when nobody interferes. ``undisturbed_basis`` is what that rests on and
    ``undisturbed_known`` whether its interval can be trusted; ``all_visits_ms`` is the other
    estimate, from all visits; see :class:`~deploybench.results.record.Visited`. The percentiles
    and ``experienced_p50_ms`` are what a user of the machine met. ``delivered_*`` is the share of
    the machine's own speed that it gave beside the visits. ``experienced_speedup`` is of visits
    that are close in time, ``undisturbed_speedup`` of the undisturbed times; ``speedup`` is the
    first, which is known more closely, unless the two contradict each other. ``ranking_differs``
    says that both have an answer, and not the same one.

    ``accuracy`` is a share of ``accuracy_images`` images, of what says ``accuracy_of`` (``top-1``,
    or ``all labels`` where an image has several); ``accuracy_difference`` is to fp32 eager, paired
    by image, ``agreement`` the share of images with fp32 eager's answer. See ``deploybench
    evaluate``.
    """

    model: str
    weights: str
    weights_identity: str
    weights_random_share: float = 0.0
    image_size: str
    patch_size: int | None = None
    backend: str
    form: str
    runner: str
    device: str
    asked_precision: str
    precision: str
    batch: int
    streams: int
    timing: str
    image: str | None
    options: CellOptions = NO_OPTIONS
    asked_threads: int
    threads: int | None
    threads_ran: float | None = None
    pinned_cpus: str | None = None
    provider: str | None
    provenance: str = "measured"
    state_hop_ns: float | None = None
    state_share: float | None = None
    states_seen: int
    main_state: bool = True
    mixed_states_ms: float | None = None
    p50_ms: float | None = None
    p50_low_ms: float | None = None
    p50_high_ms: float | None = None
    p50_coverage: float | None = None
    undisturbed_basis: str | None = None
    undisturbed_known: bool | None = None
    calm_visits: int | None = None
    calm_share: float | None = None
    halves_agree: bool | None = None
    all_visits_ms: float | None = None
    all_visits_low_ms: float | None = None
    all_visits_high_ms: float | None = None
    estimates_agree: bool | None = None
    experienced_p50_ms: float | None = None
    experienced_p50_low_ms: float | None = None
    experienced_p50_high_ms: float | None = None
    p90_ms: float | None = None
    p90_low_ms: float | None = None
    p90_high_ms: float | None = None
    p90_samples_needed: int | None = None
    p95_ms: float | None = None
    p95_low_ms: float | None = None
    p95_high_ms: float | None = None
    p95_samples_needed: int | None = None
    p99_ms: float | None = None
    p99_low_ms: float | None = None
    p99_high_ms: float | None = None
    p99_samples_needed: int | None = None
    p999_ms: float | None = None
    p999_low_ms: float | None = None
    p999_high_ms: float | None = None
    p999_samples_needed: int | None = None
    device_p50_ms: float | None = None
    throughput_images_per_s: float | None = None
    saturates: str
    start_s: float | None
    import_s: float | None
    load_s: float | None
    compile_s: float | None
    first_inference_ms: float | None
    cold_start_s: float | None
    cached_start_s: float | None
    imported_memory_mib: float | None
    loaded_memory_mib: float | None
    compiled_memory_mib: float | None
    first_inference_memory_mib: float | None
    peak_memory_mib: float | None
    steady_peak_memory_mib: float | None
    baseline_memory_mib: float | None
    steady_pss_mib: float | None
    memory_per_image_mib: float | None = None
    device_memory_mib: float | None
    device_allocated_mib: float | None = None
    energy_j_per_image: float | None = None
    energy_source: str | None
    artifact_mib: float | None
    parameters: int | None
    macs_per_image: int | None
    flops_per_image: int | None
    macs_uncounted: str = ""
    """Operators that no formula knows: MACs, FLOPs and FLOP/s are at least those given."""
    achieved_gflops: float | None = None
    peak_gflops: float | None = None
    peak_raised: bool = False
    share_of_peak: float | None = None
    bound_ms: float | None = None
    bound_limited_by: str | None = None
    bounded_by: str | None = None
    times_bound: float | None = None
    unfused_ms: float | None = None
    moved_bytes: int | None = None
    baseline: str | None = None
    speedup: float | None = None
    speedup_low: float | None = None
    speedup_high: float | None = None
    speedup_coverage: float | None = None
    speedup_answer: Answer | None = None
    speedup_verdict: Verdict | None = None
    speedup_reason: str = ""
    experienced_speedup: float | None = None
    experienced_speedup_low: float | None = None
    experienced_speedup_high: float | None = None
    experienced_speedup_coverage: float | None = None
    experienced_speedup_answer: Answer | None = None
    undisturbed_speedup: float | None = None
    undisturbed_speedup_low: float | None = None
    undisturbed_speedup_high: float | None = None
    undisturbed_speedup_coverage: float | None = None
    undisturbed_speedup_answer: Answer | None = None
    ranking_differs: bool = False
    tokens: int | None = None
    softmax_speedup: float | None = None
    softmax_speedup_low: float | None = None
    softmax_speedup_high: float | None = None
    softmax_answer: Answer | None = None
    cores_used: float | None = None
    delivered_p10: float | None = None
    delivered_p50: float | None = None
    delivered_p90: float | None = None
    delivered_slope: float | None = None
    foreign_cpu_share: float | None
    steal_share: float | None
    switches_per_call: float | None
    frequency_mhz: float | None
    warm_up_calls: int | None
    gpu_sm_clock_mhz: float | None = None
    gpu_memory_clock_mhz: float | None = None
    gpu_temperature_c: float | None = None
    gpu_power_w: float | None = None
    gpu_throttle_reasons: str | None = None
    gpu_other_processes: int | None = None
    gpu_graphics_processes: int | None = None
    gpu_used_mib: float | None = None
    gpu_pcie: str | None = None
    gpu_ecc: bool | None = None
    gpu_missing: str = ""
    parity_max_error: float | None
    parity_weak: str = ""
    parity_accepted: str = ""
    """The accuracy that stands for parity, in words, where parity failed and it was accepted."""
    accuracy: float | None = None
    accuracy_low: float | None = None
    accuracy_high: float | None = None
    accuracy_of: str = ""
    accuracy_images: int | None = None
    accuracy_data: str = ""
    accuracy_difference: float | None = None
    accuracy_difference_low: float | None = None
    accuracy_difference_high: float | None = None
    accuracy_answer: QualityAnswer | None = None
    agreement: float | None = None
    largest_shift: float | None = None
    launches: int
    launches_left_out: int = 0
    launches_flipped: int
    processes: int | None = None
    process_shift: float | None = None
    visits: int | None = None
    independent_visits: float | None = None
    samples: int = 0
    launches_binned: int = 0
    verdict: Verdict
    reason: str
    advice: str
    complete: bool
    stopped: str | None
    more_rounds: int | None
    profile: str
    run: str
    host: str = ""
    environment: str = ""
    artifact_key: str | None = None
    assumed: str = ""
    command: str

    @property
    def job(self) -> tuple[object, ...]:
        """Rows of one job do the same work: the same model, weights, image and patch size."""
        return (self.model, self.weights_identity, self.image_size, self.patch_size)


def row_data(row: Row) -> dict[str, Any]:
    """The fields of a row by name, flat: the options of the cell stand in their place."""
    data: dict[str, Any] = {}
    for field in fields(Row):
        value = getattr(row, field.name)
        if isinstance(value, CellOptions):
            data.update(value.option_values)
        else:
            data[field.name] = value
    return data


def field_names() -> list[str]:
    """The names of :func:`row_data`, in their order."""
    names: list[str] = []
    for field in fields(Row):
        names += CellOptions.declared() if field.name == "options" else [field.name]
    return names


def to_json(rows: Sequence[Row]) -> str:
    """The rows as a list of objects; every control code in a name is escaped."""
    # The one control code that JSON leaves as it is.
    return json.dumps([row_data(row) for row in rows], indent=1).replace("\x7f", "\\u007f")


def to_csv(rows: Sequence[Row]) -> str:
    """A header and a line for each row; words are only seen, and nothing is a formula."""
    stream = io.StringIO()
    writer = csv.DictWriter(stream, field_names(), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        writer.writerow({name: csv_cell(value) for name, value in row_data(row).items()})
    return stream.getvalue()
