"""Devices by name: ``cpu``, ``cuda`` (the first GPU of this process) or ``cuda:N``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from deploybench.errors import DeployBenchError

if TYPE_CHECKING:
    from deploybench.host import Gpu, Host

CPU, CUDA = "cpu", "cuda"
BUS_ORDER = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
"""The environment in which CUDA numbers the GPUs as NVML does, by which the host is described and watched."""
TEXT = re.compile(rf"{CPU}|{CUDA}(:\d+)?")
FIRST_CAPABILITIES = {"int8": (6, 1), "fp16": (5, 3), "bf16": (8, 0), "tf32": (8, 0)}
"""The compute capability that first has arithmetic in each precision (CUDA programming guide, arithmetic instructions,
dp4a and tensor cores); below it a runtime stores the format and computes in fp32."""
TF32_VARIABLE = "NVIDIA_TF32_OVERRIDE"
"""0 keeps cuBLAS, cuDNN and TensorRT from tf32 whatever a program asks for; read once, when they load."""
TOKEN_FP16 = (6, 1)
"""Consumer Pascal computes fp16 at 1/64 of its fp32 rate (CUDA programming guide: 2 against 128 a cycle and SM)."""


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
        raise DeployBenchError(f"--device {text}", expected="cpu, cuda or cuda:N; several with commas: cpu,cuda")
    return numbered(index_of(text)) if kind_of(text) == CUDA else text


def gpu_of(device: str, host: Host) -> Gpu | None:
    """The GPU behind the name, or None."""
    index = index_of(device)
    return host.gpus[index] if kind_of(device) == CUDA and index < len(host.gpus) else None


def check_present(devices: Sequence[str], host: Host) -> None:
    """Raise DeployBenchError for the first GPU among ``devices`` that the host does not have."""
    for device in devices:
        if kind_of(device) != CUDA or gpu_of(device, host) is not None:
            continue
        if not host.gpus:
            raise DeployBenchError(
                f"--device {device}, and this host has no CUDA device: {host.gpu_note}",
                expected="an NVIDIA GPU, its driver, and nvidia-ml-py to ask it",
                action="deploybench doctor says what is missing; --device cpu measures the CPU",
            )
        found = ", ".join(f"{numbered(index)} ({gpu.name})" for index, gpu in enumerate(host.gpus))
        raise DeployBenchError(f"--device {device}, and this host has {found}", expected="one of these")


def gpu_precisions(device: str, host: Host) -> frozenset[str]:
    """What the GPU computes in; everything for one that nothing is known of."""
    gpu = gpu_of(device, host)
    return frozenset({"fp32", *FIRST_CAPABILITIES}) - (lacking(gpu).keys() if gpu else set())


def lacking(gpu: Gpu) -> dict[str, str]:
    """The precisions that the GPU does not compute in at a useful rate, with the reasons."""
    found = {
        name: f"compute capability {gpu.compute_capability}, it begins at {first[0]}.{first[1]}"
        for name, first in FIRST_CAPABILITIES.items()
        if gpu.capability < first
    }
    return found | ({"fp16": "1/64 of the fp32 rate"} if gpu.capability == TOKEN_FP16 else {})
