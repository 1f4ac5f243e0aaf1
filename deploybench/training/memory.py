"""A training that does not fit into memory, told in what can be made smaller."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.errors import DeployBenchError
from deploybench.plurals import counted
from deploybench.training.request import TrainingRequest

SIGNS = ("out of memory", "can't allocate memory", "not enough memory", "alloc_failed")
"""What CUDA, torch's allocator for the CPU, and cuBLAS and cuDNN say; only CUDA's has a type."""


@contextmanager
def memory_told(request: TrainingRequest, spec: Preprocessing, images: int) -> Iterator[None]:
    """Raise DeployBenchError where what is done within runs out of memory; ``spec`` is how the
    images are prepared, of which there are so many to train on."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        # A set smaller than a batch makes one batch.
        batch = min(request.recipe.batch, images)
        raise _refusal(request, spec, batch, error) from error


def is_out_of_memory(error: RuntimeError | MemoryError) -> bool:
    """Whether it is memory that was wanting."""
    if isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError)):
        return True
    text = str(error).lower()
    return any(sign in text for sign in SIGNS)


def _refusal(
    request: TrainingRequest, spec: Preprocessing, batch: int, error: RuntimeError | MemoryError
) -> DeployBenchError:
    recipe = request.recipe
    what = f"{counted(batch, 'image')} of {spec.channels} x {spec.height} x {spec.width}"
    if request.devices > 1:
        what += f", shared by {request.devices} devices"
    tries = []
    if batch > request.devices:
        tries.append(f"--batch {batch // 2} (and a lower --learning-rate with it)")
    tries.append("a smaller --image-size")
    if recipe.precision == "fp32":
        tries.append("--precision bf16")
    why = (str(error).splitlines() or [""])[0]
    return DeployBenchError(
        f"out of memory with batches of {what}: {why or type(error).__name__}",
        expected="a step that fits into the memory of the device",
        action=f"begin anew with --force and {' or '.join(tries)}; if another program had taken "
        "the memory, --resume",
    )
