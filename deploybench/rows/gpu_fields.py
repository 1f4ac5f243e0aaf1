"""The fields of a row that tell of the GPU: medians over the launches, and everything that was ever
seen in one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deploybench.results.launch import GpuReading, Launch
from deploybench.statistics.samples import median

MIB = 1 << 20
MEDIANS = ("sm_clock_mhz", "memory_clock_mhz", "temperature_c", "power_w")


def gpu_fields(launches: Sequence[Launch]) -> dict[str, Any]:
    """Empty for a cell that ran on no GPU."""
    readings = [
        one.surroundings.gpu for one in launches if one.surroundings and one.surroundings.gpu
    ]
    if not readings:
        return {}
    reasons = [reason for reading in readings for reason in reading.throttle_reasons or ()]
    missing = {figure: why for reading in readings for figure, why in reading.missing.items()}
    used = _median(readings, "used_bytes")
    return {
        **{f"gpu_{name}": _median(readings, name) for name in MEDIANS},
        "gpu_throttle_reasons": ", ".join(dict.fromkeys(reasons))
        if "throttle_reasons" not in missing
        else None,
        "gpu_other_processes": _most(readings, "other_processes"),
        "gpu_graphics_processes": _most(readings, "graphics_processes"),
        "gpu_used_mib": used / MIB if used is not None else None,
        "gpu_pcie": _link(readings[-1]),
        "gpu_ecc": readings[-1].ecc,
        "gpu_missing": "; ".join(
            dict.fromkeys(f"{figure}: {why}" for figure, why in missing.items())
        ),
    }


def _values(readings: Sequence[GpuReading], name: str) -> list[float]:
    return [value for reading in readings if (value := getattr(reading, name)) is not None]


def _median(readings: Sequence[GpuReading], name: str) -> float | None:
    values = _values(readings, name)
    return median(values) if values else None


def _most(readings: Sequence[GpuReading], name: str) -> int | None:
    """The largest: one launch with somebody else on the GPU is worth seeing."""
    return max((int(value) for value in _values(readings, name)), default=None)


def _link(reading: GpuReading) -> str | None:
    """The PCIe link in the words of a data sheet: 3.0 x16."""
    if reading.pcie_generation is None or reading.pcie_width is None:
        return None
    return f"{reading.pcie_generation}.0 x{reading.pcie_width}"
