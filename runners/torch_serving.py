"""PyTorch in a program of its own: a file that holds the whole model, opened as it was measured."""

from __future__ import annotations

from deploybench.artifacts.artifact import Artifact, PathStep
from deploybench.contracts import RunOptions, Serving
from deploybench.errors import DeployBenchError

POLICIES = {"on": "ACTIVE", "off": "PASSIVE"}
"""OMP_WAIT_POLICY by whether idle threads spin (OpenMP 5.2, 21.1.8)."""
FORMATS = {"channels_last": "torch.channels_last", "contiguous": "torch.contiguous_format"}
"""PyTorch's names of how images lie in memory."""
OPENMP = "libgomp1"
"""What native code of AOTInductor links to, beside what PyTorch brings."""


def serving(
    artifact: Artifact,
    options: RunOptions,
    *,
    opening: tuple[str, ...],
    imports: tuple[str, ...] = (),
    packages: tuple[str, ...] = (),
    held: frozenset[str] = frozenset(),
) -> Serving:
    """The lines for a module that ``opening`` leaves in ``self.module``.

    ``held`` are the options of cells that it sees to beside those of all of PyTorch's runners.

    Raises DeployBenchError for an output that an adopted file hands out in another way than these
    lines reach.
    """
    tensor = "torch.from_numpy(images)"
    memory_format = getattr(options, "memory_format", None)
    if memory_format == "channels_last":
        tensor += f".contiguous(memory_format={FORMATS[memory_format]})"
    returned = ["with torch.inference_mode():", f"    returned = self.module({tensor})"]
    environment = {}
    spinning = getattr(options, "spinning", None)
    if spinning in POLICIES:
        environment["OMP_WAIT_POLICY"] = POLICIES[spinning]
    manifest = artifact.manifest
    if manifest.adopted is not None:
        tensors = [f"returned{_step_in_words(output.path)}" for output in manifest.outputs]
        returned.append(f"tensors = [{', '.join(tensors)}]")
    else:
        returned.append(
            "tensors = returned if isinstance(returned, (tuple, list)) else (returned,)"
        )
    returned.append("return {name: tensor.numpy() for name, tensor in zip(OUTPUTS, tensors)}")
    threads = (
        f"torch.set_num_threads({options.threads_each!r})",
        "torch.set_num_interop_threads(1)",
    )
    return Serving(
        imports=("import torch", *imports),
        opening=(*threads, *opening),
        calling=tuple(returned),
        distributions=("torch",),
        options=held | {"spinning"},
        packages=packages,
        environment=environment,
    )


def _step_in_words(path: tuple[PathStep, ...]) -> str:
    """``["logits"][0]``: where an output stands in what the module returns."""
    words = ""
    for kind, step in path:
        if kind in ("key", "item"):
            words += f"[{step!r}]"
        elif kind == "field" and str(step).isidentifier():
            words += f".{step}"
        else:
            raise DeployBenchError(
                f"an output that is the {kind} {step!r} of what the file returns"
            )
    return words
