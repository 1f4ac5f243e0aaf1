"""Devices by name: ``cpu``, ``cuda`` (the first GPU of this process) or ``cuda:N``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from deploybench.errors import DeployBenchError

CPU: Final = "cpu"
CUDA: Final = "cuda"
BUS_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""The environment in which CUDA numbers the GPUs as NVML does, by which the host is described and
watched."""
TEXT = re.compile(rf"{CPU}|{CUDA}(:\d+)?")
TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"
"""0 keeps cuBLAS, cuDNN and TensorRT from tf32 whatever a program asks for; read once, when they
load."""


@dataclass(frozen=True)
class Device:
    """The CPU, or the GPU that this process knows by ``index``."""

    kind: Literal["cpu", "cuda"]
    index: int = 0

    @classmethod
    def parse(cls, text: str) -> Device:
        """The device of that name. Raises DeployBenchError for a text that names none."""
        if text == CPU:
            return cls(CPU)
        if TEXT.fullmatch(text) is None:
            raise DeployBenchError(f"the device '{text}'", expected=f"{CPU}, {CUDA} or {CUDA}:N")
        return cls(CUDA, int(text.partition(":")[2] or 0))

    @property
    def is_gpu(self) -> bool:
        return self.kind == CUDA

    def __str__(self) -> str:
        """The shortest name."""
        if self.index == 0:
            return self.kind
        return f"{self.kind}:{self.index}"


def gpu_index(text: str) -> int:
    """The number of the GPU of that name: 0 for ``cuda``. Raises DeployBenchError for no GPU."""
    device = Device.parse(text)
    if not device.is_gpu:
        raise DeployBenchError(f"the device '{text}'", expected=f"{CUDA}, or {CUDA}:0, {CUDA}:1, …")
    return device.index


def kind_of(text: str) -> str:
    """``cpu`` or ``cuda``, of a name that was checked before.

    What an older record calls by another name is returned as it is.
    """
    return text.partition(":")[0]


def same_device(first: str, second: str) -> bool:
    """Whether two names mean one device: ``cuda`` is ``cuda:0``. A name of none means none."""
    try:
        return Device.parse(first) == Device.parse(second)
    except DeployBenchError:
        return False


def read_device(text: str) -> str:
    """The shortest name of the device that ``--device`` names.

    Raises DeployBenchError for a text that names none.
    """
    try:
        return str(Device.parse(text))
    except DeployBenchError:
        raise DeployBenchError(
            f"--device {text}", expected="cpu, cuda or cuda:N; several with commas: cpu,cuda"
        ) from None
