"""Devices by name: ``cpu``, ``cuda`` (the first GPU of this process) or ``cuda:N``."""

from __future__ import annotations

import re

from deploybench.errors import DeployBenchError

CPU, CUDA = "cpu", "cuda"
BUS_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""The environment in which CUDA numbers the GPUs as NVML does, by which the host is described and
watched."""
TEXT = re.compile(rf"{CPU}|{CUDA}(:\d+)?")
TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"
"""0 keeps cuBLAS, cuDNN and TensorRT from tf32 whatever a program asks for; read once, when they
load."""


def kind_of(device: str) -> str:
    """``cpu`` or ``cuda``."""
    return device.partition(":")[0]


def index_of(device: str) -> int:
    """The number of the GPU: 0 for ``cuda``."""
    return int(device.partition(":")[2] or 0)


def numbered(index: int) -> str:
    """The shortest name of the GPU with that number."""
    return f"{CUDA}:{index}" if index else CUDA


def same_device(first: str, second: str) -> bool:
    """Whether two names mean one device: ``cuda`` is ``cuda:0``."""
    return (kind_of(first), index_of(first)) == (kind_of(second), index_of(second))


def read_device(text: str) -> str:
    """The shortest name of the device. Raises DeployBenchError for a text that names none."""
    if TEXT.fullmatch(text) is None:
        raise DeployBenchError(
            f"--device {text}", expected="cpu, cuda or cuda:N; several with commas: cpu,cuda"
        )
    return numbered(index_of(text)) if kind_of(text) == CUDA else text
