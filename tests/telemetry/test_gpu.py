"""A GPU's figures carry their units, and a figure that the card or driver does not give carries its
reason."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from deploybench.telemetry import gpu
from deploybench.telemetry.gpu import (
    FIGURES,
    THROTTLE_REASONS,
    GpuSample,
    core_clock,
    in_pid_namespace,
    read_gpu,
    sample_gpu,
    throttle_words,
)
from tests.hardware.nvml_double import (
    HANDLE,
    function_not_found,
    gpu_process,
    not_supported,
    nvml_double,
)

PID = 4242
GIB = 2**30
CLOCKS_MHZ = {pynvml.NVML_CLOCK_SM: 1395, pynvml.NVML_CLOCK_MEM: 9501}


def card(**answers: Any) -> SimpleNamespace:
    """A card on which this process and another one compute; ``answers`` replace what it says."""
    usual = {
        "nvmlDeviceGetComputeRunningProcesses_v3": [
            gpu_process(PID, 3 * GIB),
            gpu_process(17, GIB),
        ],
        "nvmlDeviceGetClockInfo": lambda handle, kind: CLOCKS_MHZ[kind],
        "nvmlDeviceGetTemperature": 61,
        "nvmlDeviceGetPowerUsage": 214_500,
        "nvmlDeviceGetCurrentClocksEventReasons": 0x4,
        "nvmlDeviceGetGraphicsRunningProcesses_v3": [gpu_process(23, None)],
        "nvmlDeviceGetMemoryInfo": SimpleNamespace(used=5 * GIB),
        "nvmlDeviceGetCurrPcieLinkGeneration": 4,
        "nvmlDeviceGetCurrPcieLinkWidth": 8,
        "nvmlDeviceGetEccMode": [0, 1],
    }
    return nvml_double(**{**usual, **answers})


def sample(nvml: SimpleNamespace, *, contained: bool = False) -> GpuSample:
    return sample_gpu(nvml, HANDLE, PID, contained=contained)


def test_sample_holds_every_figure_in_its_unit_when_the_card_tells_all() -> None:
    assert sample(card()) == GpuSample(
        own_bytes=3 * GIB,
        other_processes=1,
        other_bytes=GIB,
        sm_clock_mhz=1395,
        memory_clock_mhz=9501,
        temperature_c=61,
        power_w=214.5,
        throttle_reasons=("software power cap",),
        graphics_processes=1,
        used_bytes=5 * GIB,
        pcie_generation=4,
        pcie_width=8,
        ecc=False,
        missing={},
    )


@pytest.mark.parametrize(
    ("query", "figures"),
    [
        (
            "nvmlDeviceGetComputeRunningProcesses_v3",
            {"own_bytes", "other_processes", "other_bytes"},
        ),
        ("nvmlDeviceGetClockInfo", {"sm_clock_mhz", "memory_clock_mhz"}),
        ("nvmlDeviceGetTemperature", {"temperature_c"}),
        ("nvmlDeviceGetPowerUsage", {"power_w"}),
        ("nvmlDeviceGetCurrentClocksEventReasons", {"throttle_reasons"}),
        ("nvmlDeviceGetGraphicsRunningProcesses_v3", {"graphics_processes"}),
        ("nvmlDeviceGetMemoryInfo", {"used_bytes"}),
        ("nvmlDeviceGetCurrPcieLinkWidth", {"pcie_width"}),
        ("nvmlDeviceGetEccMode", {"ecc"}),
    ],
)
def test_only_what_a_query_gives_is_missing_with_its_reason_when_the_card_lacks_it(
    query: str, figures: set[str]
) -> None:
    found = sample(card(**{query: not_supported()}))
    assert set(found.missing) == figures
    assert {figure for figure in FIGURES if getattr(found, figure) is None} == figures
    assert all("Not Supported" in reason for reason in found.missing.values())


@pytest.mark.parametrize("listed", [[], [gpu_process(17, GIB)]])
def test_memory_is_unknown_when_the_driver_does_not_list_the_process_that_works_there(
    listed: list[object],
) -> None:
    found = sample(card(nvmlDeviceGetComputeRunningProcesses_v3=listed))
    assert (found.own_bytes, found.other_processes, found.other_bytes) == (None, None, None)
    assert "lists no process" in found.missing["other_processes"]


def test_memory_is_unknown_when_a_container_hides_which_process_is_ours() -> None:
    found = sample(
        card(nvmlDeviceGetComputeRunningProcesses_v3=[gpu_process(99_017, GIB)]), contained=True
    )
    assert (found.own_bytes, found.other_processes, found.other_bytes) == (None, None, None)
    assert "--pid=host" in found.missing["own_bytes"]


def test_memory_is_known_when_a_driver_translates_the_ids_for_a_container() -> None:
    assert sample(card(), contained=True).own_bytes == 3 * GIB


@pytest.mark.parametrize("untold", [None, 0])
def test_own_memory_is_unknown_when_the_driver_lists_the_process_without_it(
    untold: int | None,
) -> None:
    found = sample(
        card(
            nvmlDeviceGetComputeRunningProcesses_v3=[gpu_process(PID, untold), gpu_process(17, GIB)]
        )
    )
    assert (found.own_bytes, found.other_processes, found.other_bytes) == (None, 1, GIB)
    assert set(found.missing) == {"own_bytes"}


def test_memory_comes_by_the_old_name_when_the_driver_is_one_for_kepler() -> None:
    old = card(
        nvmlDeviceGetComputeRunningProcesses_v3=function_not_found(),
        nvmlDeviceGetComputeRunningProcesses_v2=[gpu_process(PID, 3 * GIB)],
    )
    assert sample(old).own_bytes == 3 * GIB


def test_throttle_reasons_come_by_the_old_name_when_the_driver_lacks_the_new_one() -> None:
    old = card(
        nvmlDeviceGetCurrentClocksEventReasons=function_not_found(),
        nvmlDeviceGetCurrentClocksThrottleReasons=0x40,
    )
    assert sample(old).throttle_reasons == ("hardware thermal slowdown",)


def test_throttle_reasons_come_by_the_old_name_when_the_library_lacks_the_new_one() -> None:
    old = card(nvmlDeviceGetCurrentClocksThrottleReasons=0x1)
    del old.nvmlDeviceGetCurrentClocksEventReasons
    assert sample(old).throttle_reasons == ("idle",)


def test_throttle_reasons_are_none_at_all_when_the_clock_is_free() -> None:
    assert throttle_words(0) == ()


def test_throttle_reasons_name_a_bit_that_is_not_known() -> None:
    assert throttle_words(0x4 | 0x8000) == ("software power cap", "unknown reason 0x8000")


def test_every_throttle_bit_of_the_library_has_a_word() -> None:
    assert throttle_words(pynvml.nvmlClocksThrottleReasonAll) == tuple(
        word for bit, word in THROTTLE_REASONS.items() if bit & pynvml.nvmlClocksThrottleReasonAll
    )
    assert (
        THROTTLE_REASONS[pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown]
        == "hardware power brake"
    )
    assert (
        THROTTLE_REASONS[pynvml.nvmlClocksThrottleReasonSwThermalSlowdown]
        == "software thermal slowdown"
    )
    assert THROTTLE_REASONS[pynvml.nvmlClocksThrottleReasonSyncBoost] == "sync boost"


def test_reading_asks_for_this_process_and_closes_the_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nvml = card(nvmlDeviceGetComputeRunningProcesses_v3=[gpu_process(os.getpid(), GIB)])
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert read_gpu(0).own_bytes == GIB
    nvml.nvmlShutdown.assert_called_once_with()


def test_every_figure_is_missing_with_the_reason_when_there_is_no_driver(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    absent = nvml_double(nvmlInit=pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    monkeypatch.setitem(sys.modules, "pynvml", absent)
    found = read_gpu(0)
    assert set(found.missing) == set(FIGURES)
    assert "no usable NVIDIA driver" in found.missing["power_w"]


def test_every_figure_is_missing_and_the_library_closed_when_there_is_no_such_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    nvml = card(nvmlDeviceGetHandleByIndex=pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT))
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert set(read_gpu(5).missing) == set(FIGURES)
    nvml.nvmlShutdown.assert_called_once_with()


@pytest.mark.parametrize(
    ("link", "contained"), [("pid:[4026531836]", False), ("pid:[4026532289]", True)]
)
def test_container_is_told_by_its_process_namespace(
    tmp_path: Path, link: str, contained: bool
) -> None:
    namespace = tmp_path / "pid"
    namespace.symlink_to(link)
    assert in_pid_namespace(namespace) is contained


def test_process_is_not_contained_when_the_system_has_no_namespaces(tmp_path: Path) -> None:
    assert not in_pid_namespace(tmp_path / "pid")


def test_the_clock_of_the_cores_is_asked_for_again_and_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clocks = iter([1980, 1755])
    double = nvml_double(nvmlDeviceGetClockInfo=lambda handle, domain: next(clocks))
    monkeypatch.setattr(gpu, "open_nvml", lambda: double)

    with core_clock("cuda:1") as clock_mhz:
        assert [clock_mhz(), clock_mhz()] == [1980, 1755]
        assert double.nvmlShutdown.call_count == 0
    assert double.nvmlShutdown.call_count == 1


def test_what_tells_no_clock_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    with core_clock("cpu") as clock_mhz:
        assert clock_mhz() is None
    double = nvml_double(nvmlDeviceGetClockInfo=not_supported())
    monkeypatch.setattr(gpu, "open_nvml", lambda: double)
    with core_clock("cuda") as clock_mhz:
        assert clock_mhz() is None


def test_without_a_driver_there_is_no_clock() -> None:
    with core_clock("cuda") as clock_mhz:
        assert clock_mhz() is None
