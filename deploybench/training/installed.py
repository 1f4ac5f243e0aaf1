"""Whether what training stands on is installed. Imports none of it."""

from __future__ import annotations

import importlib.util

from deploybench.errors import DeployBenchError

REMEDY = 'pip install "deploybench[training]"'
NEEDED = ("torch", "torchvision", "timm", "safetensors", "lightning_fabric", "sklearn", "PIL")


def check_training_installed() -> None:
    """Raise DeployBenchError where a library that training stands on is missing."""
    missing = [module for module in NEEDED if importlib.util.find_spec(module) is None]
    if missing:
        raise DeployBenchError(f"training needs {', '.join(missing)}", action=REMEDY)
