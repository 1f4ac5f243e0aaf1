"""What the GPU code takes for granted, asked of the real thing. Each test notes its figures in the
report of the check, and holds what a wrong answer would spoil."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import pairwise
from statistics import median

import pytest

from deploybench.contracts import RunOptions
from deploybench.hardware.host import describe_host
from deploybench.hardware.nvml import device_handle, open_nvml
from deploybench.measure.job import Job
from deploybench.measure.residence import Residence, VisitTimes
from deploybench.results.cell import ENGINE_ONLY
from deploybench.runners.torch_device import open_device, set_tf32, tf32_is_on
from deploybench.telemetry.energy import Unavailable, open_meter
from deploybench.telemetry.gpu import power_mw, read_gpu
from tests.gpu.conftest import CONVOLUTIONAL, Exported
from tests.gpu.unsupported import torch_unsupported

pytestmark = pytest.mark.gpu

Note = Callable[[str, object], None]
SIDE = 8192
"""Of a square matrix: its product keeps a GPU busy for milliseconds."""
FALLS_MS = (0, 50, 200, 1000)


@pytest.fixture(autouse=True)
def _torch_runs_here() -> None:
    unsupported = torch_unsupported()
    if unsupported is not None:
        pytest.skip(unsupported)


def median_us(call: Callable[[], object], count: int) -> tuple[float, float]:
    """Wall time and GPU time of a call, in microseconds."""
    place = open_device(RunOptions(device="cuda", threads=1, precision="fp32", batch=1))
    run, device_ms = place.timed(call)
    assert device_ms is not None
    walls, devices = [], []
    for _ in range(count + 10):
        started = time.perf_counter_ns()
        run()
        walls.append((time.perf_counter_ns() - started) / 1e3)
        devices.append(device_ms() * 1e3)
    return median(walls[10:]), median(devices[10:])


def test_tf32_switches_read_back_and_change_the_numbers(record_property: Note) -> None:
    import torch

    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip(f"{torch.cuda.get_device_name()} has no tf32 arithmetic")
    torch.manual_seed(0)
    left, right = (torch.randn(1024, 1024, dtype=torch.float64) for _ in range(2))
    images = torch.randn(8, 64, 56, 56, dtype=torch.float64)
    weights = torch.randn(64, 64, 3, 3, dtype=torch.float64)
    exact = (left @ right, torch.nn.functional.conv2d(images, weights, padding=1))
    errors: dict[tuple[str, str], float] = {}
    for on in (False, True):
        set_tf32(torch, on=on)
        assert tf32_is_on(torch) is on
        a, b, x, w = (tensor.float().cuda() for tensor in (left, right, images, weights))
        computed = (a @ b, torch.nn.functional.conv2d(x, w, padding=1))
        kind = "tf32" if on else "fp32"
        for name, found, true in zip(("product", "convolution"), computed, exact, strict=True):
            error = float((found.double().cpu() - true).norm() / true.norm())
            errors[name, kind] = error
            record_property(f"error of a {name} in {kind}", error)
    set_tf32(torch, on=False)
    for name in ("product", "convolution"):
        assert errors[name, "tf32"] > 20 * errors[name, "fp32"]


def test_event_time_is_within_wall_time_for_any_number_of_kernels(record_property: Note) -> None:
    import torch

    one = torch.zeros(1, device="cuda")

    def add(times: int) -> Callable[[], object]:
        return lambda: [one.add_(1) for _ in range(times)]

    for kernels in (0, 1, 20):
        wall, device = median_us(add(kernels), 300)
        record_property(f"wall µs, {kernels} kernels", wall)
        record_property(f"GPU µs, {kernels} kernels", device)
        assert 0 <= device <= wall


def test_clock_is_read_before_it_falls(record_property: Note) -> None:
    import torch

    big = torch.randn(SIDE, SIDE, device="cuda")
    until = time.perf_counter() + 2
    while time.perf_counter() < until:
        big @ big
        torch.cuda.synchronize()
    clocks = []
    for wait_ms in FALLS_MS:
        time.sleep(wait_ms / 1e3)
        started = time.perf_counter()
        sample = read_gpu(0)
        took_ms = 1e3 * (time.perf_counter() - started)
        record_property(f"ms to open NVML and read, {wait_ms} ms later", took_ms)
        record_property(f"SM clock in MHz, {wait_ms} ms later", sample.sm_clock_mhz)
        record_property(f"watts, {wait_ms} ms later", sample.power_w)
        clocks.append(sample.sm_clock_mhz)
    assert clocks[0] is not None


def test_energy_of_a_busy_gpu_is_its_power_times_the_time(record_property: Note) -> None:
    import torch

    meter = open_meter("cuda")
    if isinstance(meter, Unavailable):
        pytest.skip(meter.reason)
    nvml = open_nvml()
    handle = device_handle(nvml, 0)
    big = torch.randn(SIDE, SIDE, device="cuda")
    watts, steps = [], []
    with meter:
        for _ in range(50):
            big @ big
        torch.cuda.synchronize()
        first_j, began = meter.read_j(), time.perf_counter()
        last_j = first_j
        while time.perf_counter() < began + 3:
            big @ big
            torch.cuda.synchronize()
            now_j = meter.read_j()
            if now_j != last_j:
                steps.append(time.perf_counter())
                last_j = now_j
            watts.append(power_mw(nvml, handle) / 1e3)
        joules, took_s = meter.read_j() - first_j, time.perf_counter() - began
    nvml.nvmlShutdown()
    gaps = [later - earlier for earlier, later in pairwise(steps)]
    record_property("source", meter.source)
    record_property("joules a second", joules / took_s)
    record_property("mean watts", sum(watts) / len(watts))
    record_property("ms between steps of the counter", 1e3 * median(gaps) if gaps else None)
    assert joules / took_s == pytest.approx(sum(watts) / len(watts), rel=0.15)


def test_processes_on_the_gpu_are_listed_with_this_one_among_them(record_property: Note) -> None:
    import torch

    torch.zeros(1 << 20, device="cuda")
    sample = read_gpu(0)
    record_property("own MiB", None if sample.own_bytes is None else sample.own_bytes >> 20)
    record_property("other processes", sample.other_processes)
    record_property("missing", "; ".join(sorted(set(sample.missing.values()))))
    if sample.own_bytes is None:
        pytest.skip(sample.missing["own_bytes"])
    assert sample.own_bytes > 0


def test_worker_that_rests_costs_its_neighbour_on_the_gpu_nothing(
    exported: Exported, record_property: Note
) -> None:
    job = Job(
        artifact=str(exported(CONVOLUTIONAL, "pytorch", "fp32").path),
        runner="pytorch",
        device="cuda",
        precision="fp32",
        batch=64,
        threads=1,
        timing=ENGINE_ONLY,
        duration_s=0.3,
        min_samples=10,
        probes=False,
    )
    alone: list[float] = []
    beside: list[float] = []
    with Residence(VisitTimes(0.3, 10.0, raw=True), None) as residence:
        assert residence.start(0, job, 0).error is None
        for number in range(3):
            alone += _device_ms(residence, number)
            assert residence.start(1, job, number).error is None
            beside += _device_ms(residence, number)
            residence.end(1)
    record_property("GPU ms alone", median(alone))
    record_property("GPU ms beside a resting worker", median(beside))
    assert median(beside) == pytest.approx(median(alone), rel=0.02)


def _device_ms(residence: Residence, number: int) -> list[float]:
    """GPU times of some visits of cell 0, without the first: the clocks had fallen before it."""
    visits = [residence.visit(0, number, order) for order in range(4)]
    return [one.device_ns / 1e6 for one in visits[1:] if one is not None and one.device_ns]


def test_report_names_the_libraries_that_compute(record_property: Note) -> None:
    import torch

    record_property("cuDNN", torch.backends.cudnn.version())
    record_property("CUDA of PyTorch", torch.version.cuda)
    record_property("architectures", " ".join(torch.cuda.get_arch_list()))
    assert describe_host().gpus
