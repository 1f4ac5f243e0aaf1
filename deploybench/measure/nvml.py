"""NVIDIA's management library (NVML): opening it, and finding the GPU that CUDA calls by an index.

NVML numbers the GPUs of the board in PCI order; CUDA numbers those that ``CUDA_VISIBLE_DEVICES`` leaves, the fastest
first unless ``CUDA_DEVICE_ORDER=PCI_BUS_ID``. Between equal GPUs the two orders agree; between unequal ones only that
setting makes them agree. ``pynvml`` (nvidia-ml-py) is imported only here, when a GPU is asked about, and passed on.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from deploybench.errors import DeployBenchError


def open_nvml() -> Any:
    """The initialised ``pynvml``; close it by ``nvmlShutdown``. Raises DeployBenchError where there is none."""
    try:
        import pynvml
    except ImportError:
        raise DeployBenchError("nvidia-ml-py is missing", action='pip install "deploybench[gpu]"') from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise DeployBenchError(f"no usable NVIDIA driver: {error}") from None
    return pynvml


def device_handle(nvml: Any, index: int, environment: Mapping[str, str] = os.environ) -> Any:
    """NVML's handle of what this process knows as ``cuda:index``. Raises DeployBenchError where there is none."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    name = str(index)
    if visible is not None:
        names = [part.strip() for part in visible.split(",")]
        if index >= len(names):
            raise DeployBenchError(f"there is no cuda:{index}: CUDA_VISIBLE_DEVICES is '{visible}'")
        name = names[index]
    try:
        return nvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdigit() else nvml.nvmlDeviceGetHandleByUUID(name)
    except nvml.NVMLError as error:
        raise DeployBenchError(f"the NVIDIA driver has no GPU {name}: {error}") from None
