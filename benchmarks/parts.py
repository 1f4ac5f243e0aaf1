"""Images to train and to judge by: parts of the photographs that packages ship, one class each.

Which photograph is this a part of? The pixels are those of real photographs and textures
(scikit-image, scikit-learn, matplotlib), a network learns the question in a few epochs, and its
answers are then sure enough to say whether a smaller precision changes them. Parts of the splits
overlap: the images serve to hold one precision against another, not to tell how well a network
generalises.

    python -m benchmarks.parts FOLDER [--train 60] [--val 10] [--test 25]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.agreement import photographs, square_of

NAMES = (
    "astronaut",
    "brick",
    "camera",
    "cell",
    "chelsea",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "hubble_deep_field",
    "ihc",
    "moon",
    "motorcycle_left",
    "retina",
    "rocket",
    "china",
    "flower",
    "grace_hopper",
)
"""No text, no drawings, and one of each pair."""
SIDE = 224
SHARES = (0.4, 0.8)
"""The side of a part, of the shorter side of its photograph: drawn between these."""


def part_of(photograph: Image.Image, generator: np.random.Generator) -> Image.Image:
    """A square part of the photograph that shows something, as ``SIDE`` x ``SIDE`` pixels."""
    while True:
        length = round(min(photograph.size) * generator.uniform(*SHARES))
        part = square_of(photograph, length, generator)
        if part is not None:
            return part.resize((SIDE, SIDE), Image.Resampling.BICUBIC)


def write_parts(folder: Path, counts: dict[str, int]) -> int:
    """``folder/SPLIT/PHOTOGRAPH/NUMBER.png``, so many of each; the same each time.

    Returns how many images were written.
    """
    generator = np.random.default_rng(0)
    written = 0
    for path in photographs():
        if path.stem not in NAMES:
            continue
        with Image.open(path) as opened:
            photograph = opened.convert("RGB")
        for split, count in counts.items():
            place = folder / split / path.stem
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                part_of(photograph, generator).save(place / f"{number:03}.png")
            written += count
    return written


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--train", type=int, default=60, help="parts of each photograph")
    parser.add_argument("--val", type=int, default=10)
    parser.add_argument("--test", type=int, default=25)
    asked = parser.parse_args()
    counts = {"train": asked.train, "val": asked.val, "test": asked.test}
    print(f"{write_parts(asked.folder, counts)} images in {asked.folder}")


if __name__ == "__main__":
    main()
