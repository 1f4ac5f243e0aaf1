"""NVIDIA's management library (NVML): opening it, and finding the GPU that CUDA calls by an index.

NVML numbers the GPUs of the board in PCI order; CUDA numbers those that ``CUDA_VISIBLE_DEVICES``
leaves, in PCI order where ``CUDA_DEVICE_ORDER=PCI_BUS_ID``: the scheduler gives every worker that
setting. ``pynvml`` (nvidia-ml-py) is imported only here, when a GPU is asked about, and passed on.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from typing import Any

from deploybench.errors import DeployBenchError
from deploybench.provenance import DOUBLE_SYMBOL, Provenance

LIBRARY = "libnvidia-ml.so.1"


def open_nvml() -> Any:
    """The initialised ``pynvml``; close it by ``nvmlShutdown``.

    Raises DeployBenchError where there is none.
    """
    try:
        import pynvml
    except ImportError:
        raise DeployBenchError(
            "nvidia-ml-py is missing", action='pip install "deploybench[gpu]"'
        ) from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise DeployBenchError(f"no usable NVIDIA driver: {error}") from None
    return pynvml


def nvml_provenance() -> Provenance:
    """``simulated`` where the library that ``pynvml`` opens is a double."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return "measured"
    if hasattr(library, DOUBLE_SYMBOL):
        return "simulated"
    return "measured"


def visible_devices(count: int, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The GPUs that this process sees, in its order: NVML's numbers or UUIDs.

    ``count`` is how many the driver has. As in CUDA, the first name of ``CUDA_VISIBLE_DEVICES``
    that is no GPU ends the list ("-1" hides all).
    """
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return [str(number) for number in range(count)]
    names: list[str] = []
    for part in visible.split(","):
        name = part.strip()
        is_uuid = name.startswith(("GPU-", "MIG-"))
        is_number = name.isdigit() and int(name) < count
        if not is_uuid and not is_number:
            break
        names.append(name)
    return names


def device_handle(nvml: Any, index: int, environment: Mapping[str, str] = os.environ) -> Any:
    """NVML's handle of what this process knows as ``cuda:index``.

    Raises DeployBenchError where there is none.
    """
    names = visible_devices(nvml.nvmlDeviceGetCount(), environment)
    if index >= len(names):
        problem = f"there is no cuda:{index}"
        visible = environment.get("CUDA_VISIBLE_DEVICES")
        if visible is not None:
            problem += f": CUDA_VISIBLE_DEVICES is '{visible}'"
        raise DeployBenchError(problem)
    return named_handle(nvml, names[index])


def named_handle(nvml: Any, name: str) -> Any:
    """The handle of the GPU with that number or UUID.

    Raises DeployBenchError where there is none.
    """
    try:
        if name.isdigit():
            return nvml.nvmlDeviceGetHandleByIndex(int(name))
        return nvml.nvmlDeviceGetHandleByUUID(name)
    except nvml.NVMLError as error:
        raise DeployBenchError(f"the NVIDIA driver has no GPU {name}: {error}") from None
