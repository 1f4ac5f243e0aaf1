"""One CUDA GPU: eager, Inductor, TorchScript and ONNX Runtime on ResNet-50 and the fair family, in
four precisions.

    python -m benchmarks.gpu_table WORKSPACE [--device cuda] [--batch 1,32]
        [--out docs/gpu-table.md] [--quick]

Exports what is missing, measures every cell from host to host and on bound inputs in rounds of
fresh processes, as ``deploybench run`` does, and writes the Markdown table: a line for each cell,
those that did not work with their cause. Speed-ups are over eager in fp32 (tf32 off) on the same
GPU, paired by round. Exits with 2 without a GPU. By default that is about an hour a model;
``--quick`` is one of about 5 minutes: ResNet-50 alone, bound inputs, two batch sizes, few and short
rounds, and the file says that it was quick.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.workspace import Workspace
from deploybench.cli.guard import print_error
from deploybench.contracts.registry import exporter, runner
from deploybench.errors import EXIT_REFUSED, DeployBenchError
from deploybench.export.pipeline import ExportOptions, default_jobs, export_all
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.hardware.devices import read_device
from deploybench.hardware.host import Host, describe_host, gpu_of, usable_cores
from deploybench.hardware.profile import HOST
from deploybench.measure.stopping import ExperimentRule
from deploybench.models.source import expand_groups
from deploybench.plan.cells import Planned, Selection, newest_of_each, plan_cells
from deploybench.plan.selection import select_devices
from deploybench.results.cell import ENGINE_ONLY, HOST_TO_HOST
from deploybench.results.record import Record
from deploybench.results.store import new_run_name
from deploybench.rows.row import Row
from deploybench.rows.rows import rows_of
from deploybench.runs.run import run_cells
from deploybench.runs.settings import RunContext, RunSettings
from deploybench.statistics.samples import half_width

RUNNERS = "pytorch,inductor,torchscript,onnxruntime"
PRECISIONS = ("fp32", "tf32", "fp16", "bf16")
CAST_BY_EXPORT = ("torchscript", "onnx")
"""Formats with weights in one precision for good; the others are cast when they are loaded."""
QUICK_REMARK = (
    "**Quick**: few short rounds, no intervals worth the name. Read it for what runs, not for how "
    "fast."
)
COLUMNS = (
    "model",
    "runner",
    "precision",
    "batch",
    "host-to-host ms",
    "engine-only ms",
    "img/s",
    "× eager fp32",
    "GPU MiB",
    "parity",
    "verdict",
)


@dataclass(frozen=True)
class Extent:
    """How much is measured."""

    models: str
    rounds: int
    duration_s: float
    timings: tuple[str, ...]


WHOLE = Extent("resnet50,fair", 8, 1.0, (HOST_TO_HOST, ENGINE_ONLY))
QUICK = Extent("resnet50", 2, 0.1, (ENGINE_ONLY,))
"""30 cells of one model: two batch sizes; eager, Inductor and TorchScript in four precisions, ONNX
Runtime in three. Two rounds are 60 launches of about 5 s, of which torch's import is most."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--models")
    parser.add_argument("--runners", default=RUNNERS)
    parser.add_argument("--batch", default="1,32")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--duration", type=float, help="seconds of one launch")
    parser.add_argument("--quick", action="store_true", help="about 5 minutes instead of an hour")
    parser.add_argument("--out", type=Path, default=Path("docs/gpu-table.md"))
    options = parser.parse_args()
    extent = QUICK if options.quick else WHOLE
    extent = replace(
        extent,
        models=options.models or extent.models,
        rounds=options.rounds or extent.rounds,
        duration_s=options.duration or extent.duration_s,
    )
    host = describe_host()
    try:
        (device,) = select_devices([read_device(options.device)], None, host)
        models = expand_groups(extent.models.split(","))
        entries = [runner(name) for name in options.runners.split(",")]
    except DeployBenchError as error:
        print_error(error)
        sys.exit(EXIT_REFUSED)
    workspace = Workspace(options.workspace)
    workspace.prepare()
    formats = sorted({name for entry in entries for name in entry.require().formats})
    results = list(
        export_all(exports(models, formats), workspace, ExportOptions(jobs=default_jobs()))
    )
    artifacts = newest_of_each(
        [result.artifact for result in results if result.artifact is not None]
    )
    selection = Selection(
        entries,
        [int(size) for size in options.batch.split(",")],
        (),
        usable_cores(),
        timings=extent.timings,
        devices=[device],
    )
    settings = RunSettings(
        ExperimentRule(None, float("inf"), extent.rounds, extent.rounds), extent.duration_s
    )
    context = RunContext(new_run_name(), HOST, workspace, host, None, usable_cores(), (device,))
    latest: dict[tuple[str | int | None, ...], Record] = {}
    for record in run_cells(cells(artifacts, selection), settings, context):
        latest[record.cell.key] = record
        print(f"{record.cell.title():60} {record.judgement.verdict.value}", flush=True)
    failed = [result for result in results if result.artifact is None]
    rows = rows_of(list(latest.values()))
    options.out.write_text(document(rows, failed, host, device, quick=options.quick))
    print(options.out)


def exports(models: Sequence[str], formats: Sequence[str]) -> list[ExportRequest]:
    """Every format in fp32, and in half precisions where the weights have to be written in them."""
    requests = []
    for name, form in product(models, formats):
        written = exporter(form).require().precisions
        halves = [kind for kind in ("fp16", "bf16") if form in CAST_BY_EXPORT and kind in written]
        requests += [
            ExportRequest(model=ModelRequest(name=name), backend=form, precision=kind)
            for kind in ("fp32", *halves)
        ]
    return requests


def cells(artifacts: Sequence[Artifact], selection: Selection) -> list[Planned]:
    """The cells of each artifact in the precisions that its runner has for it on the device."""
    planned: list[Planned] = []
    for artifact, entry in product(artifacts, selection.runners):
        offered = entry.require().precisions_on(selection.devices[0], artifact.manifest.precision)
        asked = [kind for kind in PRECISIONS if kind in offered]
        one = Selection(
            [entry],
            selection.batches,
            asked,
            selection.threads,
            timings=selection.timings,
            devices=selection.devices,
        )
        planned += plan_cells([artifact], one, None) if asked else []
    return planned


def document(
    rows: Sequence[Row],
    failed: Iterable[ExportResult],
    host: Host,
    device: str,
    *,
    quick: bool = False,
) -> str:
    """The Markdown: the machine, a line for each cell, and the causes of what did not work."""
    gpu = gpu_of(device, host)
    name = (
        f"{gpu.name}, compute capability {gpu.compute_capability}, driver {gpu.driver}"
        if gpu
        else device
    )
    versions = ", ".join(f"{package} {version}" for package, version in host.versions.items())
    lines = [
        "# PyTorch and ONNX Runtime on one GPU",
        "",
        f"{name}; {host.cpu_model}, {host.usable_cores} cores; {host.os}; {versions}. Written by "
        "`python -m benchmarks.gpu_table WORKSPACE`. Times are medians over launches with the "
        "half-width of their "
        "95 % interval; host-to-host copies in and out, engine-only runs on bound inputs and waits "
        "for the GPU.",
        *(["", QUICK_REMARK] if quick else []),
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
    ]
    engine = {_cell_of(row): row for row in rows if row.timing == ENGINE_ONLY}
    causes = []
    whole = {_cell_of(row) for row in rows if row.timing == HOST_TO_HOST}
    for row in rows:
        if row.timing != HOST_TO_HOST and _cell_of(row) in whole:
            continue  # it stands in the line of its cell
        lines.append(f"| {' | '.join(_texts(row, engine.get(_cell_of(row))))} |")
        if row.p50_ms is None:
            causes.append(
                f"- **{row.model} / {row.runner} / {row.asked_precision} / batch {row.batch}**: "
                f"{row.reason}"
            )
    causes += [
        f"- **{item.request.model.name} / {item.request.backend}**: {item.error}" for item in failed
    ]
    return "\n".join([*lines, "", *causes]).rstrip() + "\n"


def _cell_of(row: Row) -> tuple[object, ...]:
    return (row.job, row.form, row.runner, row.asked_precision, row.batch)


def _texts(row: Row, engine: Row | None) -> list[str]:
    times = [
        _time(row) if row.timing == HOST_TO_HOST else "–",
        _time(engine) if engine else "–",
    ]
    speedup = (
        f"{row.speedup:.2f} ({row.speedup_low:.2f} to {row.speedup_high:.2f})"
        if row.speedup
        else "–"
    )
    rate = f"{row.throughput_images_per_s:.0f}" if row.throughput_images_per_s is not None else "–"
    memory = f"{row.device_memory_mib:.0f}" if row.device_memory_mib is not None else "–"
    parity = f"{row.parity_max_error:.0e}" if row.parity_max_error is not None else "–"
    named = [row.model, row.runner, row.precision, str(row.batch)]
    return [*named, *times, rate, speedup, memory, parity, row.verdict]


def _time(row: Row) -> str:
    if row.p50_ms is None or row.p50_low_ms is None or row.p50_high_ms is None:
        return "–" if row.p50_ms is None else f"{row.p50_ms:.3g}"
    return (
        f"{row.p50_ms:.3g} ± {100 * half_width(row.p50_ms, row.p50_low_ms, row.p50_high_ms):.1f} %"
    )


if __name__ == "__main__":
    main()
