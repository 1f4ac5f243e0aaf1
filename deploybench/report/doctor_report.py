"""What ``doctor`` prints: the host, the plug-ins, what installs the missing ones, the GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from deploybench.hardware.host import Host, usable_cores
from deploybench.hardware.pinning import AUTO, pinning_of
from deploybench.report.gpu_table import GpuRow, gpu_rows, gpu_table
from deploybench.report.plugin_table import PluginRow, plugin_rows, plugin_table
from deploybench.report.profile_table import host_section
from deploybench.report.table import Prose, Report


def doctor_report(host: Host, workspace: str) -> Report:
    """``workspace`` is its folder, or why it cannot be written."""
    rows = plugin_rows()
    on_gpu = gpu_rows(host)
    return Report(
        sections=(
            host_section(host, extra=(("threads", _threads()), ("workspace", workspace))),
            plugin_table(rows, title="Plug-ins"),
            *_remedies(rows),
            gpu_table(on_gpu, host),
        ),
        data=_data(host, rows, on_gpu, workspace),
    )


def _threads() -> str:
    """How many a cell gets that is not told otherwise, and where they run."""
    threads = usable_cores()
    return f"{threads} by default, {pinning_of(AUTO, threads).words}"


def _remedies(rows: Sequence[PluginRow]) -> list[Prose]:
    broken = [row for row in rows if not row.usable]
    if not broken:
        return [Prose(("Everything that is registered works here.",))]
    remedies = sorted({str(row.remedy or row.problem) for row in broken})
    count = f"{len(broken)} of {len(rows)} plug-ins do not work here. To change that:"
    return [Prose((count,)), Prose(tuple(f"  {remedy}" for remedy in remedies), verbatim=True)]


def _data(
    host: Host, rows: Sequence[PluginRow], on_gpu: Sequence[GpuRow], workspace: str
) -> dict[str, object]:
    return {
        "host": host.model_dump(mode="json"),
        "plugins": [asdict(row) for row in rows],
        "gpu": [asdict(row) for row in on_gpu],
        "workspace": workspace,
    }
