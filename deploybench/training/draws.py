"""What is drawn at random in training, so that it can be drawn again.

Each draw belongs to a key: the seed, the epoch, the place in it. It does not depend on what was
drawn before, so neither the number of workers nor a resume in the middle changes it.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

SEED_BYTES = 8
LEGACY_SEEDS = 1 << 32
"""NumPy's global generator takes a seed of 32 bits."""


def seed_of(*key: object) -> int:
    """A seed of 63 bits for a key: the same on every machine."""
    digest = hashlib.sha256(repr(key).encode()).digest()
    return int.from_bytes(digest[:SEED_BYTES], "big") >> 1


def generator_of(*key: object) -> np.random.Generator:
    """NumPy's generator for a key."""
    return np.random.default_rng(seed_of(*key))


@contextmanager
def seeded(*key: object) -> Iterator[None]:
    """Within it, the global generators of Python, NumPy and torch (CPU) are seeded by the key.

    timm's and torchvision's augmentation draws from them. Afterwards they are as they were, so that
    what the model draws (dropout) does not depend on where the images are read.
    """
    seed = seed_of(*key)
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    random.seed(seed)
    np.random.seed(seed % LEGACY_SEEDS)
    # Of the CPU alone: torch.manual_seed would seed the GPUs as well.
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        of_python, of_numpy, of_torch = before
        random.setstate(of_python)
        np.random.set_state(of_numpy)
        torch.set_rng_state(of_torch)
