"""Every model of the zoo x every exporter: exported, verified in a fresh process, its size and
nodes; or the cause.

Each model at its native size with random weights from a fixed seed and a free batch dimension,
fp32. The Markdown goes to ``--out``; failures have their cause below the table. Rows of models that
were not asked for stay as they are there, so that a part of the zoo can be done again.

    python -m benchmarks.zoo_matrix WORKSPACE [--models zoo] [--backends ...]
        [--image-size 64] [--out docs/zoo-matrix.md]
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from benchmarks.trials import print_host
from deploybench.artifacts.parity import ParityReport
from deploybench.artifacts.workspace import Workspace
from deploybench.export.pipeline import ExportOptions, export_all
from deploybench.export.request import ExportRequest, ExportResult, ModelRequest
from deploybench.hardware.host import usable_cores
from deploybench.models.source import expand_groups
from deploybench.models.zoo import ZOO

FAILED, NOT_TRIED = "no: see below", "–"
BACKENDS = "torchscript,onnx,openvino,torch-export,pytorch"
INTRODUCTION = """# The zoo x the exporters

`python -m benchmarks.zoo_matrix WORKSPACE` exports every model of the zoo by every exporter of
the table: fp32, a free batch dimension, random weights from a fixed seed at the model's native
image size. A cell is the largest error on eight reference images against fp32 eager, relative to
the spread of the logits, after a fresh process has run the artifact on its own runtime (limit
2e-3); the artifact's size in MiB; and the nodes of its graph. `--models` does a part, and leaves
the other rows as they are.
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--models", default="zoo")
    parser.add_argument("--backends", default=BACKENDS)
    parser.add_argument("--image-size", type=int, help="a square's side [default: each its own]")
    parser.add_argument("--out", type=Path, default=Path("docs/zoo-matrix.md"))
    options = parser.parse_args()
    workspace = Workspace(options.workspace)
    workspace.prepare()
    print_host()
    models, backends = expand_groups(options.models.split(",")), options.backends.split(",")
    side = options.image_size
    size = (side, side) if side else None
    requests = [
        ExportRequest(model=ModelRequest(name=name, image_size=size), backend=backend)
        for name in models
        for backend in backends
    ]
    found: dict[tuple[str, str], ExportResult] = {}
    for result in export_all(requests, workspace, ExportOptions(jobs=usable_cores())):
        found[result.request.model.name, result.request.backend] = result
        text = cause(result) if not result.ok else cell(result)
        print(
            f"{result.request.model.name:18} {result.request.backend:13} {result.seconds:6.0f} s  "
            f"{text}",
            flush=True,
        )
    kept = rows_of(options.out, backends)
    options.out.write_text(document(models, backends, found, kept, side))
    good = sum(result.ok for result in found.values())
    print(f"\n{good} of {len(requests)} verified; {options.out}")
    sys.exit(good < len(requests))


def rows_of(page: Path, backends: list[str]) -> dict[str, str]:
    """The rows of a page of these backends that is there already, by model.

    Without those that failed: their cause is not in the row.
    """
    rows: dict[str, str] = {}
    if not page.exists():
        return rows
    lines = page.read_text().splitlines()
    if header(backends) not in lines:
        return rows
    for line in lines:
        name = line.removeprefix("| ").partition(" |")[0]
        if name in ZOO and FAILED not in line:
            rows[name] = line
    return rows


def header(backends: list[str]) -> str:
    return f"| model | px | {' | '.join(backends)} |"


def document(
    models: list[str],
    backends: list[str],
    found: dict[tuple[str, str], ExportResult],
    kept: dict[str, str],
    side: int | None = None,
) -> str:
    lines = [
        INTRODUCTION,
        header(backends),
        "|---" * (len(backends) + 2) + "|",
    ]
    for model in [*ZOO, *(name for name in models if name not in ZOO)]:
        if model not in models:
            if model in kept:
                lines.append(kept[model])
            continue
        cells = [cell(found[model, backend]) for backend in backends]
        fixed = " (fixed)" if model in ZOO and ZOO[model].fixed_size else ""
        size = side or (ZOO[model].image_size if model in ZOO else "")
        lines.append(f"| {model} | {size}{fixed} | {' | '.join(cells)} |")
    rows_kept = [kept[name] for name in ZOO if name in kept and name not in models]
    others = sum(len(backends) - row.count(f"| {NOT_TRIED} ") for row in rows_kept)
    good = others + sum(result.ok for result in found.values())
    lines += [
        "",
        f"{good} of {len(found) + others} verified. `(fixed)`: the weights belong to one size "
        "(tables of relative positions, projections along the tokens); every artifact fixes "
        "height and width, and leaves the batch free.",
    ]
    failed = [result for result in found.values() if not result.ok]
    lines += [
        "",
        *(
            f"- **{item.request.model.name} / {item.request.backend}**: {cause(item)}"
            for item in failed
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def cell(result: ExportResult) -> str:
    """``3e-6 · 98 MiB · 412`` of a verified artifact."""
    if not result.ok or result.artifact is None:
        return FAILED
    manifest = result.artifact.manifest
    error = manifest.parity.max_error if isinstance(manifest.parity, ParityReport) else None
    nodes = manifest.facts.get("nodes")
    parts = [
        "not checked" if error is None else f"{error:.0e}",
        f"{manifest.size_bytes / 2**20:.0f} MiB",
    ]
    return " · ".join(parts + ([f"{nodes} nodes"] if nodes is not None else []))


def cause(result: ExportResult) -> str:
    if result.error is not None:
        return str(result.error).splitlines()[0]
    return result.artifact.manifest.parity_note if result.artifact else "no artifact"


if __name__ == "__main__":
    main()
