"""Each joule is counted once, across wrap-arounds, and a machine without a counter says what would
give one."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pynvml
import pytest

from deploybench.telemetry.energy import (
    EnergyMeter,
    PowerIntegral,
    PowerSampler,
    Unavailable,
    nvml_meter,
    open_meter,
    rapl_meter,
)
from tests.hardware.nvml_double import not_supported, nvml_double

RANGE_UJ = 262_143_328_850

XEON_2S = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "dram",
    "intel-rapl:1": "package-1",
    "intel-rapl:1:0": "dram",
}
HYBRID_CLIENT = {
    "intel-rapl:0": "package-0",
    "intel-rapl:0:0": "core",
    "intel-rapl:0:1": "uncore",
    "intel-rapl:1": "psys",
    "intel-rapl-mmio:0": "package-0",
}
EPYC = {"intel-rapl:0": "package-0", "intel-rapl:0:0": "core"}
MMIO_ONLY = {"intel-rapl-mmio:0": "package-0"}


@pytest.fixture(autouse=True)
def _every_gpu_visible(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def powercap(folder: Path, domains: dict[str, str]) -> Path:
    """The powercap class of a machine, every counter at 1 J."""
    (folder / "intel-rapl").mkdir()
    for domain, name in domains.items():
        (folder / domain).mkdir()
        (folder / domain / "name").write_text(f"{name}\n")
        (folder / domain / "max_energy_range_uj").write_text(f"{RANGE_UJ}\n")
        count_to(folder, domain, 1_000_000)
    return folder


def count_to(folder: Path, domain: str, microjoules: int) -> None:
    (folder / domain / "energy_uj").write_text(f"{microjoules}\n")


def meter_of(folder: Path) -> EnergyMeter:
    meter = rapl_meter(folder)
    assert isinstance(meter, EnergyMeter)
    return meter


@pytest.mark.parametrize(
    ("domains", "counted"),
    [
        pytest.param(XEON_2S, set(XEON_2S), id="two_packages_and_their_dram"),
        pytest.param(
            HYBRID_CLIENT, {"intel-rapl:0"}, id="no_core_uncore_psys_or_mmio_beside_the_package"
        ),
        pytest.param(EPYC, {"intel-rapl:0"}, id="amd"),
        pytest.param(MMIO_ONLY, {"intel-rapl-mmio:0"}, id="mmio_where_it_is_the_only_way"),
    ],
)
def test_rapl_counts_each_joule_once(
    tmp_path: Path, domains: dict[str, str], counted: set[str]
) -> None:
    folder = powercap(tmp_path, domains)
    meter = meter_of(folder)
    before = meter.read_j()
    for place, domain in enumerate(domains):
        count_to(folder, domain, 1_000_000 + 10**place * 1_000_000)
    expected = sum(10**place for place, domain in enumerate(domains) if domain in counted)
    assert meter.between(before, meter.read_j()).joules == pytest.approx(expected)


def test_rapl_scope_names_packages_memory_and_other_processes(tmp_path: Path) -> None:
    meter = meter_of(powercap(tmp_path, XEON_2S))
    energy = meter.between(0, 1)
    assert energy.source == "RAPL (intel-rapl)"
    assert (
        energy.scope == "the whole of package-0, package-1 with its DRAM, other processes included"
    )


def test_rapl_scope_says_so_when_memory_is_not_counted(tmp_path: Path) -> None:
    assert "without DRAM" in meter_of(powercap(tmp_path, EPYC)).scope


def test_rapl_goes_on_counting_when_the_counter_wraps_around(tmp_path: Path) -> None:
    folder = powercap(tmp_path, EPYC)
    meter = meter_of(folder)
    for reading, expected in (
        (RANGE_UJ - 500_000, RANGE_UJ - 1_500_000),
        (250_000, RANGE_UJ - 750_000),
    ):
        count_to(folder, "intel-rapl:0", reading)
        assert meter.read_j() == pytest.approx(expected / 1e6)


def test_rapl_names_the_file_and_the_remedy_when_only_root_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = powercap(tmp_path, EPYC)
    locked = folder / "intel-rapl:0" / "energy_uj"
    read = Path.read_text

    def refuse(path: Path) -> str:
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_text", refuse)
    found = open_meter("cpu", powercap=folder)
    assert isinstance(found, Unavailable)
    assert str(locked) in found.reason
    assert "sudo chmod a+r" in found.reason


def test_rapl_names_the_file_when_it_does_not_read(tmp_path: Path) -> None:
    folder = powercap(tmp_path, EPYC)
    (folder / "intel-rapl:0" / "energy_uj").unlink()
    found = open_meter("cpu", powercap=folder)
    assert isinstance(found, Unavailable)
    assert "energy_uj does not read: No such file" in found.reason


def test_cpu_energy_is_unavailable_when_a_virtual_machine_has_no_counters(tmp_path: Path) -> None:
    found = open_meter("cpu", powercap=tmp_path / "powercap")
    assert isinstance(found, Unavailable)
    assert "no RAPL package" in found.reason


def test_cpu_energy_is_unavailable_when_a_container_hides_what_the_links_lead_to(
    tmp_path: Path,
) -> None:
    (tmp_path / "intel-rapl:0").symlink_to(tmp_path / "hidden")
    assert isinstance(open_meter("cpu", powercap=tmp_path), Unavailable)


@pytest.mark.parametrize("device", ["mps", "cuda:first"])
def test_energy_is_unavailable_when_the_device_has_no_known_counter(device: str) -> None:
    assert open_meter(device) == Unavailable(f"no energy counter is known for device '{device}'")


def test_gpu_energy_is_the_cards_own_counter_in_joules_when_it_has_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    millijoules = iter([5_000, 5_000, 12_500])
    nvml = nvml_double(nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(millijoules))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    with open_meter("cuda:1") as meter:
        energy = meter.between(meter.read_j(), meter.read_j())
    assert energy.joules == pytest.approx(7.5)
    assert energy.source == "NVML energy counter"
    assert energy.scope == "the whole of GPU 1, other processes included"
    nvml.nvmlDeviceGetHandleByIndex.assert_called_once_with(1)
    nvml.nvmlShutdown.assert_called_once_with()


@pytest.mark.measures
def test_gpu_energy_is_integrated_power_when_the_card_has_no_counter() -> None:
    nvml = nvml_double(
        nvmlDeviceGetTotalEnergyConsumption=not_supported(), nvmlDeviceGetPowerUsage=150_000
    )
    meter = nvml_meter(nvml, 0)
    assert isinstance(meter, EnergyMeter)
    with meter:
        start, before = time.perf_counter(), meter.read_j()
        time.sleep(0.05)
        after, wall_s = meter.read_j(), time.perf_counter() - start
    assert after - before == pytest.approx(150 * wall_s, rel=0.2)
    assert "20 Hz" in meter.source
    assert all(thread.name != "power-sampler" for thread in threading.enumerate())
    nvml.nvmlShutdown.assert_called_once_with()


def test_gpu_energy_is_unavailable_and_the_library_closed_when_the_card_tells_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nvml = nvml_double(
        nvmlDeviceGetTotalEnergyConsumption=not_supported(), nvmlDeviceGetPowerUsage=not_supported()
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert open_meter("cuda") == Unavailable(
        "GPU 0 tells neither its energy nor its power: Not Supported"
    )
    nvml.nvmlShutdown.assert_called_once_with()


def test_gpu_energy_is_unavailable_when_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = nvml_double(nvmlInit=pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    monkeypatch.setitem(sys.modules, "pynvml", absent)
    found = open_meter("cuda:0")
    assert isinstance(found, Unavailable)
    assert "no usable NVIDIA driver" in found.reason


def test_power_integral_is_the_area_below_the_samples() -> None:
    integral = PowerIntegral()
    for at_s, power_w in ((10.0, 100.0), (10.5, 200.0), (12.5, 200.0)):
        integral.add(at_s, power_w)
    assert integral.joules == pytest.approx(0.5 * 150 + 2 * 200)


def test_power_sampler_samples_between_readings_and_goes_on_when_one_fails() -> None:
    calls = 0
    enough = threading.Event()

    def power_w() -> float:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise ValueError("busy")
        if calls == 4:
            enough.set()
        return 100.0

    sampler = PowerSampler(power_w, ignored=ValueError)
    try:
        assert enough.wait(timeout=10)
    finally:
        sampler.stop()
