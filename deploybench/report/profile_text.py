"""A profile, or this host, explained to a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deploybench.hardware.gpus import Gpu
from deploybench.hardware.host import Host
from deploybench.hardware.precisions import PRECISIONS
from deploybench.hardware.profile import Profile, figures

if TYPE_CHECKING:
    from deploybench.hardware.roof import MeasuredPeaks

UNITS = {
    "tflops": ("peak", "TFLOP/s"),
    "memory_gb_per_s": ("memory bandwidth", "GB/s"),
    "memory_gb": ("memory", "GB"),
    "cache_mb": ("on-chip cache", "MB"),
    "tdp_w": ("thermal design power", "W"),
}
"""The words and the unit of each peak."""
UNCONFIRMED = "unconfirmed: "


def print_profile(profile: Profile, console: Console) -> None:
    """What ``profiles show`` prints: what it is, how it is recognised, its figures with sources,
    what runs on it."""
    console.print(Text(f"{profile.name}: {profile.title}", style="bold"))
    for note in profile.notes:
        console.print(Padding(Text(note), (1, 0, 0, 2)))
    _print_section("Is it this machine?", _recognition(profile), console)
    known = figures(profile)
    peaks = [
        [*_peak(name, value), _source(profile, name)]
        for name, value in known.items()
        if _base(name) in UNITS
    ]
    _print_section("Its peaks, one device", peaks, console, ("figure", "value", "where it is from"))
    _print_section("Precisions", [_precision(profile, name) for name in PRECISIONS], console)
    stack = [
        [name.removeprefix("stack."), str(value), _source(profile, name)]
        for name, value in known.items()
        if name.startswith(("stack.", "onnx."))
    ]
    _print_section("What to install for it", stack, console, ("what", "version", "why this one"))
    _print_section("Runners", _runners(profile), console)


def _runners(profile: Profile) -> list[list[str]]:
    """Those that do not run on it, with the reasons; or the older form's list."""
    lacking = [
        [name, f"does not run: {reason}"] for name, reason in profile.lacking_runners.items()
    ]
    if profile.runners is not None:
        return [[", ".join(profile.runners), ""], *lacking]
    return [*lacking, ["all others" if lacking else "all", f"that run on {profile.device}"]]


def _recognition(profile: Profile) -> list[list[str]]:
    words = {
        name.replace("_", " "): value
        for name, value in profile.match.model_dump(exclude_none=True).items()
    }
    lines = [[name, value] for name, value in words.items()]
    if profile.driver is not None:
        lines.append(
            ["driver", f"{profile.driver.least} or newer", _source(profile, "driver.least")]
        )
        if profile.driver.last_branch is not None:
            branch = f"R{profile.driver.last_branch}, newer branches do not have this GPU"
            lines.append(["last driver branch", branch, _source(profile, "driver.last_branch")])
    return lines


def _peak(name: str, value: float | str) -> list[str]:
    words, unit = UNITS[_base(name)]
    return [f"{name.partition('.')[2]} {words}".strip(), f"{value:g} {unit}"]


def _base(name: str) -> str:
    return name.partition(".")[0]


def _source(profile: Profile, name: str) -> str:
    mark = UNCONFIRMED if name in profile.unconfirmed else ""
    return mark + profile.sources.get(name, "")


def _precision(profile: Profile, name: str) -> list[str]:
    runs = name in profile.precisions
    return [name, "yes" if runs else "no", "" if runs else profile.lacking.get(name, "")]


def _print_section(
    title: str, rows: list[list[str]], console: Console, columns: tuple[str, ...] = ()
) -> None:
    """Aligned lines under a heading; the last column wraps within itself."""
    if not rows:
        return
    table = Table(
        box=None,
        pad_edge=False,
        show_header=bool(columns),
        header_style="dim",
        padding=(0, 2, 0, 0),
    )
    width = max(len(row) for row in rows)
    for number in range(width):
        last = number == width - 1
        table.add_column(
            columns[number] if columns else "", no_wrap=not last and width > 2, overflow="fold"
        )
    for row in rows:
        table.add_row(
            *(Text(cell, style="yellow" if cell.startswith(UNCONFIRMED) else "") for cell in row)
        )
    console.print(Text(f"\n{title}", style="bold"))
    console.print(Padding(table, (0, 0, 0, 2)))


def host_lines(host: Host, peaks: MeasuredPeaks | None) -> list[str]:
    """The host as found, with its measured peaks."""
    machine = "virtual machine" if host.virtual_machine else "bare metal"
    cores = (
        f"{host.usable_cores} usable, {host.physical_cores} physical, {host.logical_cores} logical"
    )
    caches = f", caches {host.cache_bytes / 2**20:.1f} MiB" if host.cache_bytes else ""
    gpus = [_gpu_line(number, gpu) for number, gpu in enumerate(host.gpus)] or [
        host.gpu_note or "none"
    ]
    lines = [
        f"host: {host.cpu_model} ({host.cpu_vendor}), {machine}",
        f"  cores          {cores}",
        f"  instructions   {', '.join(host.isa)}",
        f"  memory         {host.memory_bytes / 2**30:.1f} GiB{caches}",
        f"  system         {host.os}, kernel {host.kernel}, Python {host.python}",
        *(
            f"  {title:14} {line}"
            for title, line in zip(["GPUs", *[""] * len(gpus)], gpus, strict=False)
        ),
    ]
    if peaks is None:
        return [*lines, "  peaks          could not be measured"]
    gflops = ", ".join(f"{name} {value:g} GFLOP/s" for name, value in peaks.gflops.items())
    reading = f", read {peaks.read_gb_per_s:g} GB/s" if peaks.read_gb_per_s else ""
    lines.append(
        f"  measured peaks {gflops}, copy {peaks.copy_gb_per_s:g} GB/s{reading} ({peaks.threads} "
        f"threads)"
    )
    disturbed = (
        [f"  disturbed      {peaks.disturbed}: the peaks are too low"] if peaks.disturbed else []
    )
    return [*lines, f"  method         {peaks.method}", *disturbed]


def _gpu_line(number: int, gpu: Gpu) -> str:
    doubled = (
        " (simulated: a double stands in for the driver)" if gpu.provenance == "simulated" else ""
    )
    memory = f"{gpu.memory_bytes / 2**30:.1f} GiB"
    return (
        f"cuda:{number} {gpu.name}, {memory}, capability {gpu.compute_capability}, driver "
        f"{gpu.driver}{doubled}"
    )
