"""Counts every model of the zoo and writes what ``deploybench models`` lists; a test holds the file
to the models.

Parameters with 10 classes (the seeds' task), MACs of one image at the native size and at 224
pixels, all counted on the meta device: nothing is computed.

    python -m benchmarks.zoo_counts [--out deploybench/models/zoo_counts.json]
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from deploybench.models.counting import listed_counts
from deploybench.models.zoo import COUNTS, ZOO, in_band


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=COUNTS)
    options = parser.parse_args()
    counts = {}
    for name in ZOO:
        counts[name] = listed_counts(name)
        band = "in the band" if in_band(counts[name]["parameters"]) else ""
        print(
            f"{name:18} {counts[name]['parameters']:12,} parameters {counts[name]['macs']:16,} "
            f"MACs  {band}",
            flush=True,
        )
    options.out.write_text(json.dumps(counts, indent=1) + "\n")


if __name__ == "__main__":
    main()
