"""Position embeddings of a Vision Transformer at another image size than it was trained at."""

from __future__ import annotations

import math

import torch

KEY = "pos_embed"


def at_own_size(module: torch.nn.Module, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state with position embeddings for the module's own image size.

    Those of a Vision Transformer trained at another size are resampled, where timm has no filter
    that does so (CaiT). Bicubic, as timm does it and as Dosovitskiy et al. 2021 (section 3.2)
    fine-tuned at higher resolution.
    """
    own = getattr(module, KEY, None)
    given = state.get(KEY)
    grid = _token_grid(module)
    if not isinstance(own, torch.Tensor) or given is None or grid is None:
        return state
    # Both are (1, tokens, channels); the tokens are the class token, if any, and the patches.
    if given.shape == own.shape or given.dim() != 3 or given.shape[2] != own.shape[2]:
        return state
    prefix = own.shape[1] - grid[0] * grid[1]
    patches = given.shape[1] - prefix
    if patches < 1 or math.isqrt(patches) ** 2 != patches:  # only a square grid can be told
        return state
    from timm.layers.pos_embed import resample_abs_pos_embed

    return {**state, KEY: resample_abs_pos_embed(given, list(grid), num_prefix_tokens=prefix)}


def _token_grid(module: torch.nn.Module) -> tuple[int, int] | None:
    """Rows and columns of patches, where the module embeds patches."""
    embedding = getattr(module, "patch_embed", None)
    grid = getattr(embedding, "grid_size", None)
    if grid is None:
        return None
    return int(grid[0]), int(grid[1])
