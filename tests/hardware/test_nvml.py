"""The GPU that is asked is the one that CUDA calls by that index."""

from __future__ import annotations

import sys

import pynvml
import pytest

from deploybench.errors import DeployBenchError
from deploybench.hardware.nvml import device_handle, open_nvml
from tests.hardware.nvml_double import HANDLE, nvml_double

UUID = "GPU-8d0d1b9b-7a41-4c5b-9d6d-1f1f7c1c1c1c"


def test_index_is_nvmls_own_when_every_gpu_is_visible() -> None:
    nvml = nvml_double()
    assert device_handle(nvml, 1, {}) is HANDLE
    nvml.nvmlDeviceGetHandleByIndex.assert_called_once_with(1)


def test_index_counts_the_visible_gpus_when_some_are_hidden() -> None:
    nvml = nvml_double()
    device_handle(nvml, 1, {"CUDA_VISIBLE_DEVICES": "3, 2"})
    nvml.nvmlDeviceGetHandleByIndex.assert_called_once_with(2)


def test_gpu_is_found_by_uuid_when_the_visible_ones_are_named_so() -> None:
    nvml = nvml_double(nvmlDeviceGetHandleByUUID=HANDLE)
    assert device_handle(nvml, 0, {"CUDA_VISIBLE_DEVICES": UUID}) is HANDLE
    nvml.nvmlDeviceGetHandleByUUID.assert_called_once_with(UUID)


def test_gpu_is_refused_when_it_is_not_visible() -> None:
    with pytest.raises(DeployBenchError, match="CUDA_VISIBLE_DEVICES is '3'"):
        device_handle(nvml_double(), 1, {"CUDA_VISIBLE_DEVICES": "3"})


def test_gpu_is_refused_when_the_driver_does_not_know_it() -> None:
    nvml = nvml_double(
        nvmlDeviceGetHandleByIndex=pynvml.NVMLError(pynvml.NVML_ERROR_INVALID_ARGUMENT)
    )
    with pytest.raises(DeployBenchError, match="no GPU 4: Invalid Argument"):
        device_handle(nvml, 4, {})


def test_opening_says_what_to_install_when_the_binding_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with pytest.raises(DeployBenchError, match=r"deploybench\[gpu\]"):
        open_nvml()


def test_opening_says_so_when_there_is_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = nvml_double(nvmlInit=pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND))
    monkeypatch.setitem(sys.modules, "pynvml", absent)
    with pytest.raises(
        DeployBenchError, match="no usable NVIDIA driver: NVML Shared Library Not Found"
    ):
        open_nvml()
