"""A profile, or this host, explained to a person."""

from __future__ import annotations

from deploybench.host import Host
from deploybench.peaks import MeasuredPeaks
from deploybench.profile import Profile


def profile_lines(profile: Profile) -> list[str]:
    """The lines that ``profiles show`` prints."""
    peaks = ", ".join(f"{name} {value:g}" for name, value in profile.peaks.tflops.items())
    lines = [
        f"{profile.name}: {profile.title} ({profile.device})",
        f"  recognised by  {', '.join(f'{k} ~ {v}' for k, v in profile.match.model_dump(exclude_none=True).items())}",
        f"  peak TFLOP/s   {peaks}",
        f"  memory         {profile.peaks.memory_gb:g} GB at {profile.peaks.memory_gb_per_s:g} GB/s",
        f"  precisions     {', '.join(profile.precisions)}",
        f"  runners        {', '.join(profile.runners)}",
    ]
    if profile.onnx:
        lines.append(f"  ONNX           opset {profile.onnx.opset}, IR version {profile.onnx.ir_version}")
    if profile.stack:
        lines.append(f"  stack          {', '.join(f'{name} {value}' for name, value in profile.stack.items())}")
    return lines + [f"  note           {note}" for note in profile.notes]


def host_lines(host: Host, peaks: MeasuredPeaks | None) -> list[str]:
    """The host as found, with its measured peaks."""
    machine = "virtual machine" if host.virtual_machine else "bare metal"
    lines = [
        f"host: {host.cpu_model} ({host.cpu_vendor}), {machine}",
        f"  cores          {host.usable_cores} usable, {host.physical_cores} physical, {host.logical_cores} logical",
        f"  instructions   {', '.join(host.isa)}",
        f"  memory         {host.memory_bytes / 2**30:.1f} GiB",
        f"  system         {host.os}, kernel {host.kernel}, Python {host.python}",
        f"  GPUs           {', '.join(gpu.name for gpu in host.gpus) or host.gpu_note}",
    ]
    if peaks is None:
        return [*lines, "  peaks          could not be measured"]
    gflops = ", ".join(f"{name} {value:g} GFLOP/s" for name, value in peaks.gflops.items())
    lines.append(f"  measured peaks {gflops}, copy {peaks.copy_gb_per_s:g} GB/s ({peaks.threads} threads)")
    return [*lines, f"  method         {peaks.method}"]
