"""A stand-in for ``pynvml``: its real constants, errors, names and signatures, with given answers
and no driver."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from unittest.mock import create_autospec

import pynvml

HANDLE = object()
SELDOM = (
    "nvmlDeviceGetFieldValues",
    "nvmlDeviceGetGraphicsRunningProcesses_v3",
    "nvmlDeviceGetMemoryInfo",
    "nvmlDeviceGetCurrPcieLinkGeneration",
    "nvmlDeviceGetCurrPcieLinkWidth",
    "nvmlDeviceGetEccMode",
)
"""Not Supported unless an answer is given."""


def nvml_double(**answers: Any) -> SimpleNamespace:
    """Each answer is named after a function of ``pynvml``: a value to return, an error to raise, or
    a function to call with the same arguments. Other functions without an answer are not there."""
    given = {
        "nvmlInit": None,
        "nvmlShutdown": None,
        "nvmlDeviceGetCount": 8,
        "nvmlDeviceGetHandleByIndex": HANDLE,
        **{name: not_supported() for name in SELDOM},
        **answers,
    }
    double = SimpleNamespace(
        **{
            name: value
            for name, value in vars(pynvml).items()
            if isinstance(value, (int, type)) and name[0] != "_"
        }
    )
    for name, answer in given.items():
        function = create_autospec(getattr(pynvml, name))
        if callable(answer) or isinstance(answer, BaseException):
            function.side_effect = answer
        else:
            function.return_value = answer
        setattr(double, name, function)
    return double


def not_supported() -> pynvml.NVMLError:
    return pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)


def function_not_found() -> pynvml.NVMLError:
    return pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)


def gpu_process(pid: int, used_bytes: int | None) -> pynvml.nvmlFriendlyObject:
    return pynvml.nvmlFriendlyObject({"pid": pid, "usedGpuMemory": used_bytes})
