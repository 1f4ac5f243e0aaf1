"""Factories as users write them, in a folder of their own."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

FACTORIES = """
import json, os
from pathlib import Path
import torch
from torch import nn
import siblings

class Net(nn.Module):
    def __init__(self, scale=1.0):
        super().__init__()
        self.scale = scale
        self.stem = nn.Conv2d(3, 8, 3, stride=4)
        self.head = nn.Linear(8, 5)
    def forward(self, x):
        return siblings.after(self.head(self.stem(x).relu().mean((2, 3)))) * self.scale

class Probabilities(Net):
    def forward(self, x):
        return super().forward(x).softmax(-1)

class Wide(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=4)
        self.head = nn.Linear(8, 1000)
    def forward(self, x):
        return (self.head(self.stem(x).relu().mean((2, 3)))).softmax(-1)

def loads():
    net = Net()
    net.load_state_dict(torch.load(Path(__file__).with_name("best.pth")))
    return net

def draws():
    return Net()

def wide():
    torch.manual_seed(7)
    net = Wide()
    with torch.no_grad():
        net.head.weight.mul_(0.1)
        net.head.bias.mul_(0.1)
    return net

def nearly_constant():
    torch.manual_seed(7)
    net = Probabilities()
    with torch.no_grad():
        net.head.weight.mul_(1e-7)
    return net

def configured():
    torch.manual_seed(7)
    return Net(json.loads(Path(__file__).with_name("scale.json").read_text()))

def unseedable():
    net = Net()
    with torch.no_grad():
        net.head.bias.copy_(torch.tensor(list(os.urandom(5))))
    return net
"""


def write_factories(folder: Path) -> None:
    """``factories.py`` and what it reads: ``siblings.py``, ``best.pth``, ``scale.json``."""
    (folder / "factories.py").write_text(FACTORIES)
    (folder / "siblings.py").write_text("def after(x):\n    return 2 * x\n")
    (folder / "scale.json").write_text("1.5")
    write_weights(folder, seed=1)


def write_weights(folder: Path, seed: int) -> None:
    """Weights for ``factories:loads``."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {
        name: tensor.shape
        for name, tensor in {
            **{f"stem.{name}": t for name, t in nn.Conv2d(3, 8, 3).state_dict().items()},
            **{f"head.{name}": t for name, t in nn.Linear(8, 5).state_dict().items()},
        }.items()
    }
    state = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    torch.save(state, folder / "best.pth")
