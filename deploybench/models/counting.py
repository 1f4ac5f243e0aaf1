"""Parameters and MACs of a model by name, at its native resolution."""

from __future__ import annotations

from deploybench.errors import DeployBenchError
from deploybench.models.source import BuildOptions, find_source


def count_model(name: str) -> dict[str, int]:
    """``parameters`` and ``macs`` (multiply-adds of one image)."""
    try:
        import torch

        from deploybench.flops import count_macs, count_parameters
    except ImportError as error:
        raise DeployBenchError(f"counting needs torch: {error}", action='pip install "deploybench[torch]"') from error
    source, own_name = find_source(name)
    with torch.device("meta"):
        built = source.build(own_name, BuildOptions())
    spec = built.preprocessing
    example = torch.empty(1, spec.channels, spec.height, spec.width, device="meta")
    module = built.module.eval()
    return {"parameters": count_parameters(module), "macs": count_macs(module, example)}
