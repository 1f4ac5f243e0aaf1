"""A model that tells colours, exported once, and images of colours to hold it against."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deploybench.artifacts.workspace import Workspace
from deploybench.export.pipeline import ExportOptions, export_all
from deploybench.export.request import ExportRequest, ModelRequest

COLOURS = {
    "red": (220, 30, 30),
    "green": (30, 200, 40),
    "blue": (30, 40, 220),
    "yellow": (220, 210, 30),
    "cyan": (30, 210, 220),
    "magenta": (210, 30, 220),
}
"""In the order of the model's outputs, which is not the alphabet's."""
FACTORY = '''
import torch
from torch import nn

class Colours(nn.Module):
    """The distance of the mean colour from six colours, a little disturbed by a convolution."""
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.body = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(3, 6)
        signs = torch.tensor([[1., -1, -1], [-1, 1, -1], [-1, -1, 1],
                              [1, 1, -1], [-1, 1, 1], [1, -1, 1]])
        with torch.no_grad():
            self.head.weight.copy_(2 * signs)
            self.head.bias.zero_()
    def forward(self, x):
        noise = torch.relu(self.body(x)).mean((2, 3))[:, :3]
        return self.head(x.mean((2, 3)) + 0.01 * noise)

def colours():
    return Colours()
'''
Draw = Callable[[str, np.random.Generator], np.ndarray]


def image_of(colour: str, generator: np.random.Generator) -> np.ndarray:
    """32 x 32 pixels of about that colour."""
    pixels = np.array(COLOURS[colour]) + generator.normal(0, 25, (32, 32, 3))
    return pixels.clip(0, 255).astype(np.uint8)


def write_images(folder: Path, colours: Sequence[str], seed: int = 0) -> list[Path]:
    """A PNG of each colour, numbered in their order."""
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    paths = []
    for number, colour in enumerate(colours):
        path = folder / f"{number:04}.png"
        Image.fromarray(image_of(colour, generator)).save(path)
        paths.append(path)
    return paths


def write_classes(root: Path, each: int, mistakes: int = 0) -> Path:
    """A folder a class with so many images each, of which the first ``mistakes`` are of another
    colour than the folder says."""
    names = list(COLOURS)
    for number, name in enumerate(names):
        other = names[(number + 1) % len(names)]
        shown = [other] * mistakes + [name] * (each - mistakes)
        write_images(root / name, shown, seed=number)
    return root


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The model in two formats, with the names of its classes; read only."""
    folder = tmp_path_factory.mktemp("colours")
    (folder / "colournets.py").write_text(FACTORY)
    labels = folder / "labels.txt"
    labels.write_text("\n".join(COLOURS))
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(folder), before or ""])
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        workspace = Workspace(folder / "workspace")
        workspace.prepare()
        model = ModelRequest(name="colournets:colours", image_size=(32, 32), labels=str(labels))
        requests = [ExportRequest(model=model, backend=name) for name in ("pytorch", "onnx")]
        for result in export_all(requests, workspace, ExportOptions(jobs=2)):
            assert result.ok, (result.request.backend, result.error)
    # The pytorch runner builds the model from its source again: it stays on the path.
    return workspace
