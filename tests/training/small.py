"""A set of small images that a small model learns in seconds, and the request that trains on it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from deploybench.training.recipe import RECIPES
from deploybench.training.request import TrainingRequest

MODEL = "timm:test_resnet"
SIZE = 32
COLOURS = {"blue": (40, 40, 200), "green": (40, 200, 40), "red": (200, 40, 40)}
COUNTS = {"train": 12, "val": 5}
"""Images of each class."""


def coloured(root: Path, counts: dict[str, int] | None = None, *, noise: int = 60) -> Path:
    """Images of a colour each, in folders train and val with a folder for each class."""
    generator = np.random.default_rng(0)
    for split, count in (counts or COUNTS).items():
        for name, colour in COLOURS.items():
            folder = root / split / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = generator.integers(-noise, noise, (SIZE, SIZE, 3)) + np.array(colour)
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{index}.png")
    return root


def request(data: Path, out: Path, **changes: Any) -> TrainingRequest:
    """Two epochs of four steps on the CPU; fields of the recipe and of the request by name."""
    fields = set(TrainingRequest.__dataclass_fields__)
    of_request = {name: value for name, value in changes.items() if name in fields}
    of_recipe = {name: value for name, value in changes.items() if name not in fields}
    usual = {"epochs": 2, "batch": 9, "learning_rate": 2e-3}
    recipe = RECIPES[str(of_request.pop("recipe", "default"))].with_changes({**usual, **of_recipe})
    usual_request: dict[str, Any] = {
        "model": MODEL,
        "image_size": (SIZE, SIZE),
        "device": "cpu",
        "threads": 1,
    }
    return TrainingRequest(data=data, out=out, recipe=recipe, **{**usual_request, **of_request})
