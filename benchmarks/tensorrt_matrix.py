"""TensorRT-RTX plans of models x precisions, built ahead of time without a GPU: built, and how
large; or why not.

Each model at its native size with random weights from a fixed seed and a free batch dimension. The
Markdown goes to ``--out``; failures have their cause below the table.

    python -m benchmarks.tensorrt_matrix WORKSPACE [--models ...] [--precisions ...]
        [--target sm86] [--out ...]
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from benchmarks.trials import print_host
from deploybench.artifacts.artifact import Manifest
from deploybench.artifacts.workspace import Workspace
from deploybench.export.pipeline import ExportOptions, export_all
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.models.source import expand_groups
from deploybench.versions import installed_versions

MODELS = "resnet50,fair,linformer-256,performer-266"
PRECISIONS = "fp32,fp16,bf16,int8"
ERROR = re.compile(r"max error (\S+) of the spread")
INTRODUCTION = """# TensorRT-RTX plans, built without a GPU

`python -m benchmarks.tensorrt_matrix WORKSPACE` builds every model in every precision for
{target} with TensorRT-RTX {version}: a free batch dimension (1 to 32, tuned for 8), random
weights from a fixed seed. **No plan of this table was run.** A cell is the size of the plan in
MiB; the nodes of the ONNX that it was built from; and the largest error of that ONNX on ONNX
Runtime's CPU against fp32 eager, on four reference images, relative to the spread of the logits
(limits: fp32 2e-3, fp16 3e-2, bf16 2e-1, int8 5e-1; a plan is built within them only). The CPU
has no bf16: such a graph was run in fp32 with its bf16 weights. int8 is by QuantizeLinear and
DequantizeLinear on the inputs of convolutions and of products with weights, calibrated on 16
synthetic images.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--models", default=MODELS)
    parser.add_argument("--precisions", default=PRECISIONS)
    parser.add_argument("--target", default="sm86")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("docs/tensorrt-matrix.md"))
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    workspace.prepare()
    print_host()
    models, precisions = expand_groups(options.models.split(",")), options.precisions.split(",")
    requests = [
        ExportRequest(
            model=ModelRequest(name=name),
            backend="tensorrt-rtx",
            precision=kind,
            target=options.target,
            calibration="synthetic" if kind == "int8" else None,
        )
        for name in models
        for kind in precisions
    ]
    found: dict[tuple[str, str], ExportResult] = {}
    for result in export_all(requests, workspace, ExportOptions(jobs=options.jobs)):
        request = result.request
        found[request.model.name, request.precision] = result
        text = cell(result.artifact.manifest) if result.artifact else str(result.error)
        print(
            f"{request.model.name:18} {request.precision:5} {result.seconds:6.0f} s  {text}",
            flush=True,
        )
        options.out.write_text(document(models, precisions, found, options.target))
    built = sum(result.ok for result in found.values())
    print(f"\n{built} of {len(requests)} built; {options.out}")
    sys.exit(built < len(requests))


def document(
    models: list[str],
    precisions: list[str],
    found: dict[tuple[str, str], ExportResult],
    target: str,
) -> str:
    version = installed_versions(("tensorrt-rtx",)).get("tensorrt-rtx", "")
    lines = [INTRODUCTION.format(target=target, version=version)]
    lines += [f"| model | {' | '.join(precisions)} |", "|---" * (len(precisions) + 1) + "|"]
    causes: list[str] = []
    for model in models:
        cells = []
        for precision in precisions:
            result = found.get((model, precision))
            if result is None:
                cells.append("not tried")
            elif result.artifact is None:
                causes.append(
                    f"{model}, {precision}: {result.error.found if result.error else 'no reason'}"
                )
                cells.append(f"no [{len(causes)}]")
            else:
                cells.append(cell(result.artifact.manifest))
        lines.append(f"| {model} | {' | '.join(cells)} |")
    lines += [
        "",
        f"{sum(result.ok for result in found.values())} of {len(models) * len(precisions)} built.",
    ]
    lines += [f"\n[{number}] {cause}" for number, cause in enumerate(causes, 1)]
    return "\n".join(lines) + "\n"


def cell(manifest: Manifest) -> str:
    """``99 MiB · 529 nodes · 4e-06``."""
    error = ERROR.search(manifest.parity_note)
    figure = error[1] if error else manifest.parity_note
    return (
        f"{manifest.size_bytes / 2**20:.0f} MiB · {manifest.facts['nodes']} nodes · "
        f"{figure.rstrip(',')}"
    )


if __name__ == "__main__":
    main()
