"""Counts every model of the zoo and writes what ``deploybench models`` lists; a test holds the file to the models.

Parameters with 10 classes (the seeds' task), MACs of one image at the native size and at 224 pixels, all counted on
the meta device: nothing is computed.

    python -m benchmarks.zoo_counts [--out deploybench/models/zoo_counts.json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deploybench.models.counting import count_model
from deploybench.models.source import BuildOptions
from deploybench.models.zoo import BAND_CLASSES, COMPARED_SIZE, COUNTS, ZOO, in_band


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=COUNTS)
    options = parser.parse_args()
    counts = {}
    for name in ZOO:
        counts[name] = counts_of(name)
        band = "in the band" if in_band(counts[name]["parameters"]) else ""
        print(
            f"{name:18} {counts[name]['parameters']:12,} parameters {counts[name]['macs']:16,} MACs  {band}", flush=True
        )
    options.out.write_text(json.dumps(counts, indent=1) + "\n")


def counts_of(name: str) -> dict[str, int]:
    """``parameters``, ``macs`` and ``macs_224`` of one model."""
    native = count_model(name, BuildOptions(num_classes=BAND_CLASSES))
    compared = count_model(name, BuildOptions(num_classes=BAND_CLASSES, image_size=(COMPARED_SIZE, COMPARED_SIZE)))
    return {
        "parameters": native.parameters,
        "macs": native.macs.total,
        f"macs_{COMPARED_SIZE}": compared.macs.total,
    }


if __name__ == "__main__":
    main()
