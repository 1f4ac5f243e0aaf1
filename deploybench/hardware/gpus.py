"""The GPUs of this machine as the driver tells them, and targets.

A target is a compute capability as one word: ``sm86`` is 8.6.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from deploybench.documents import Document
from deploybench.errors import DeployBenchError
from deploybench.hardware.nvml import named_handle, nvml_provenance, visible_devices
from deploybench.provenance import Provenance

NVML_IS_MISSING = (
    'an NVIDIA driver is loaded, but nvidia-ml-py is missing: pip install "deploybench[gpu]"'
)


class Gpu(Document):
    """One CUDA device; a board with two chips is two devices.

    ``index`` is NVML's number: that of the slot. ``provenance`` is simulated where a double stands
    in for the driver's library.
    """

    name: str
    compute_capability: str
    memory_bytes: int
    driver: str
    index: int = 0
    provenance: Provenance = "measured"

    @property
    def capability(self) -> tuple[int, ...]:
        """The compute capability as numbers that compare."""
        return tuple(int(part) for part in self.compute_capability.split("."))


def find_gpus() -> tuple[tuple[Gpu, ...], str | None]:
    """The CUDA devices that this process sees, as the driver reports them.

    Beside them the reason why there are none, which becomes the ``gpu_note`` of a host.
    """
    try:
        import pynvml
    except ImportError:
        if Path("/proc/driver/nvidia/version").exists():
            return (), NVML_IS_MISSING
        return (), "no NVIDIA driver"
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return (), f"no usable NVIDIA driver: {error}"
    try:
        return _visible_gpus(pynvml)
    except (pynvml.NVMLError, DeployBenchError) as error:
        return (), f"the NVIDIA driver does not answer: {error}"
    finally:
        pynvml.nvmlShutdown()


def _visible_gpus(pynvml: Any) -> tuple[tuple[Gpu, ...], str | None]:
    driver = _text(pynvml.nvmlSystemGetDriverVersion())
    count = pynvml.nvmlDeviceGetCount()
    if count == 0:
        return (), f"the NVIDIA driver {driver} shows no GPU"
    gpus = tuple(_gpu(pynvml, name, driver) for name in visible_devices(count))
    if not gpus:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        return (), f"CUDA_VISIBLE_DEVICES='{visible}' hides all of {count}"
    return gpus, None


def _gpu(pynvml: Any, name: str, driver: str) -> Gpu:
    handle = named_handle(pynvml, name)
    major, minor = pynvml.nvmlDeviceGetCudaComputeCapability(handle)
    return Gpu(
        name=_text(pynvml.nvmlDeviceGetName(handle)),
        compute_capability=f"{major}.{minor}",
        memory_bytes=int(pynvml.nvmlDeviceGetMemoryInfo(handle).total),
        driver=driver,
        index=int(pynvml.nvmlDeviceGetIndex(handle)),
        provenance=nvml_provenance(),
    )


def _text(value: str | bytes) -> str:
    """Older versions of nvidia-ml-py answer in bytes."""
    if isinstance(value, bytes):
        return value.decode()
    return value


TARGET = re.compile(r"sm(\d{2,3})")


def target_of(compute_capability: str) -> str:
    """``8.6`` as ``sm86``."""
    return f"sm{compute_capability.replace('.', '')}"


def sm_of(target: str) -> int:
    """``sm86`` as 86. Raises DeployBenchError for a text of another form."""
    matched = TARGET.fullmatch(target)
    if matched is None:
        raise DeployBenchError(
            f"target {target}",
            expected="sm and a compute capability without its point: sm86 is 8.6",
        )
    return int(matched[1])


def targets_here() -> list[str]:
    """The targets that the GPUs of this host are, in the driver's order."""
    gpus, _ = find_gpus()
    return [target_of(gpu.compute_capability) for gpu in gpus]
