"""Reads a checkpoint without running anything that it contains, and fits its keys to a module.

``.safetensors`` holds tensors only; ``.pt`` and ``.pth`` are read by
``torch.load(weights_only=True)``, which refuses every pickle that names code.
"""

from __future__ import annotations

import itertools
import math
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

from deploybench.errors import DeployBenchError

STATE_KEYS = (
    "state_dict_ema",
    "model_ema",
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "weights",
    "params",
)
PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
AVERAGING_KEYS = frozenset({"n_averaged"})
"""What torch's AveragedModel keeps beside the weights."""
LISTED_KEYS = 8
MOST_CHARACTERS = 300
"""Of the cause of an error."""

StateDict = dict[str, torch.Tensor]


def read_checkpoint(path: Path) -> StateDict:
    """The tensors of a checkpoint by key.

    Raises DeployBenchError with the cause when it holds none.
    """
    if not path.is_file():
        raise DeployBenchError(
            f"there is no checkpoint {path}", expected="a .safetensors, .pt or .pth file"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DeployBenchError(
            f"{path} is a pickle that names code, or is no checkpoint; nothing in it was executed: "
            f"{_cause(error)}",
            expected="a state dict of tensors",
            action="save it again with torch.save(model.state_dict(), FILE) or as safetensors",
        ) from None
    except Exception as error:  # torch and safetensors raise many kinds on damaged files
        raise DeployBenchError(
            f"{path} cannot be read: {type(error).__name__}: {_cause(error)}",
            expected="a .safetensors, .pt or .pth file with a state dict",
            action="check that the file is complete; a TorchScript archive is not a checkpoint",
        ) from None
    return _find_state(content, path)


def fit_prefixes(state: StateDict, wanted: set[str]) -> StateDict:
    """Take one or two wrappers' prefixes off where that fits more keys.

    DataParallel, Lightning and torch.compile put one before every key.
    """
    plain = {key: value for key, value in state.items() if key not in AVERAGING_KEYS}
    candidates = [plain]
    for prefixes in (*itertools.product(PREFIXES), *itertools.permutations(PREFIXES, 2)):
        candidate = plain
        for prefix in prefixes:
            candidate = {key.removeprefix(prefix): value for key, value in candidate.items()}
        candidates.append(candidate)
    # Of several that fit as many keys, the first: the one that takes least off.
    return max(candidates, key=lambda candidate: len(wanted & candidate.keys()))


def classes_in(state: StateDict, module: torch.nn.Module, head: str | None) -> int | None:
    """How many classes the checkpoint's classifier has; None where it lacks the module's."""
    if head is None:
        return None
    weight = fit_prefixes(state, set(module.state_dict())).get(f"{head}.weight")
    if weight is None:
        return None
    return int(weight.shape[0])


def load_state(
    module: torch.nn.Module, state: StateDict, path: Path, *, allow_partial: bool
) -> None:
    """Load ``state`` into ``module``; refuse with the differing keys unless ``allow_partial``."""
    own = module.state_dict()
    fitted = fit_prefixes(state, set(own))
    fitted = _as_timm_reads_it(module, fitted)
    fitted = _at_own_size(module, fitted)
    missing = [key for key in own if key not in fitted]
    unexpected = []
    misshaped = []
    usable = {}
    for key, value in fitted.items():
        if key not in own:
            unexpected.append(key)
        elif value.shape != own[key].shape:
            misshaped.append(key)
        else:
            usable[key] = value
    if not usable:
        raise DeployBenchError(
            f"no tensor of {path} fits this architecture: it has {_listed(list(fitted))}",
            expected=_listed(list(own)),
            action="choose the model that the checkpoint was trained with",
        )
    if (missing or unexpected or misshaped) and not allow_partial:
        shapes = [
            f"{key} {tuple(fitted[key].shape)} against {tuple(own[key].shape)}" for key in misshaped
        ]
        raise DeployBenchError(
            f"{path} is of another architecture: {len(missing)} keys missing ({_listed(missing)}), "
            f"{len(unexpected)} unexpected ({_listed(unexpected)}), {len(misshaped)} mis-shaped "
            f"({_listed(shapes)})",
            expected=f"the {len(own)} keys of the model",
            action="choose the model that it was trained with, or pass --allow-partial to load "
            "what fits",
        )
    module.load_state_dict(usable, strict=False)


def _as_timm_reads_it(module: torch.nn.Module, state: StateDict) -> StateDict:
    """The state after timm's own filter for this kind of module, where more of it fits then.

    The filter resizes what depends on the image size (Swin's and BEiT's tables of relative
    positions) and leaves out buffers that the module computes. A checkpoint of another patch size
    stays as it is: resampled, its patches would be another model's.
    """
    own = module.state_dict()
    if _fitting(own, state) == len(own) or _of_other_patches(own, state):
        return state
    written_in = sys.modules.get(type(module).__module__)
    read = getattr(written_in, "checkpoint_filter_fn", None)
    if read is None:
        return state
    try:
        filtered = _tensors(read(dict(state), module))
    except Exception:  # it is written for checkpoints of this kind of module, and may meet others
        return state
    if _fitting(own, filtered) > _fitting(own, state):
        return filtered
    return state


def _fitting(own: StateDict, state: StateDict) -> int:
    """How many of the module's tensors the state has in their shape."""
    return sum(key in state and state[key].shape == tensor.shape for key, tensor in own.items())


def _of_other_patches(own: StateDict, state: StateDict) -> bool:
    """Whether the state embeds patches of another shape than the module."""
    for key, tensor in own.items():
        if "patch_embed" in key and key in state and state[key].shape != tensor.shape:
            return True
    return False


def _at_own_size(module: torch.nn.Module, state: StateDict) -> StateDict:
    """The state with position embeddings for the module's own image size.

    Those of a Vision Transformer trained at another size are resampled, where timm has no filter
    that does so (CaiT). Bicubic, as timm does it and as Dosovitskiy et al. 2021 (section 3.2)
    fine-tuned at higher resolution.
    """
    key = "pos_embed"
    own = getattr(module, key, None)
    given = state.get(key)
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

    return {**state, key: resample_abs_pos_embed(given, list(grid), num_prefix_tokens=prefix)}


def _token_grid(module: torch.nn.Module) -> tuple[int, int] | None:
    """Rows and columns of patches, where the module embeds patches."""
    embedding = getattr(module, "patch_embed", None)
    grid = getattr(embedding, "grid_size", None)
    if grid is None:
        return None
    return int(grid[0]), int(grid[1])


def _find_state(content: object, path: Path) -> StateDict:
    """The tensors under the first of the usual keys that holds any, else those at the top."""
    candidates: list[object] = []
    described = type(content).__name__
    if isinstance(content, Mapping):
        candidates += [content.get(key) for key in STATE_KEYS]
        described = f"keys {_listed([str(key) for key in content])}"
    candidates.append(content)
    for candidate in candidates:
        state = _tensors(candidate)
        if state:
            return state
    raise DeployBenchError(
        f"{path} holds no state dict: {described}",
        expected=f"tensors by name, or a dict with them under {', '.join(STATE_KEYS)}",
    )


def _tensors(candidate: object) -> StateDict:
    if not isinstance(candidate, Mapping):
        return {}
    return {str(key): value for key, value in candidate.items() if isinstance(value, torch.Tensor)}


def _listed(keys: list[str]) -> str:
    if not keys:
        return "none"
    text = ", ".join(keys[:LISTED_KEYS])
    more = len(keys) - LISTED_KEYS
    if more > 0:
        text += f", and {more} more"
    return text


def _cause(error: BaseException) -> str:
    """The line of the message that says most: torch names refused code in one of its last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    naming_code = [line for line in lines if "Unsupported" in line or "GLOBAL" in line]
    candidates = [*naming_code, *lines, type(error).__name__]
    return candidates[0][:MOST_CHARACTERS]
