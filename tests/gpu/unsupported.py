"""Why a backend has nothing to show on the card at hand: a test of it is skipped with these words.

What NVIDIA made for no such card (TensorRT-RTX for an H100, tf32 on Turing) is no fault of ours;
what a backend does not do although it says so is one, and fails.
"""

from __future__ import annotations

import re

from deploybench.contracts.registry import exporters, runners
from deploybench.errors import DeployBenchError
from deploybench.hardware.host import Host, describe_host, gpu_of
from deploybench.hardware.precisions import gpu_precisions
from deploybench.runners.torch_device import check_cuda

COMPILERS_NO = re.compile(
    r"[^\n]*(?:is not supported|HW-specific datatypes|does not build for)[^\n]*", re.IGNORECASE
)
"""What TensorRT says of an operator or a format that it has no kernels for on the target."""


def engines_unsupported(backend: str, precision: str, host: Host | None = None) -> str | None:
    """Why no engine of that kind in that precision is built and run here; None where one is."""
    for kind, entry in (("exporter", exporters().get(backend)), ("runner", runners().get(backend))):
        if entry is None or not entry.usable:
            return f"no {backend} {kind}: {entry.problem if entry else 'not installed'}"
    exporter = exporters()[backend].require()
    if precision not in exporter.precisions:
        return f"the {backend} exporter writes no {precision}"
    host = host or describe_host()
    gpu = gpu_of("cuda", host)
    if precision not in gpu_precisions("cuda", host):
        return f"{gpu.name if gpu else 'the GPU'} has no {precision} arithmetic"
    try:
        exporter.check_target(None)
    except DeployBenchError as error:
        return f"{gpu.name if gpu else 'no GPU'}: {error}"
    return None


def torch_unsupported() -> str | None:
    """Why the PyTorch at hand does not run on the card: no code for it, say; None where it does."""
    import torch

    try:
        check_cuda(torch, "cuda")
    except DeployBenchError as error:
        return str(error)
    return None


def compiler_says_no(text: str) -> str | None:
    """The line in which the builder refuses what the card has not; None where there is none."""
    found = COMPILERS_NO.search(text)
    return found.group().strip() if found else None
