"""PyTorch in a program of its own: a file that holds the whole model, opened as it was measured."""

from __future__ import annotations

from deploybench.artifacts.artifact import Artifact, PathStep
from deploybench.contracts import RunOptions, Serving
from deploybench.errors import DeployBenchError

OPENMP = "libgomp1"
"""What native code of AOTInductor links to, beside what PyTorch brings."""


def serving(
    artifact: Artifact,
    options: RunOptions,
    *,
    opening: tuple[str, ...],
    imports: tuple[str, ...] = (),
    packages: tuple[str, ...] = (),
) -> Serving:
    """The lines for a module that ``opening`` leaves in ``self.module``.

    Raises DeployBenchError for an output that an adopted file hands out in another way than these
    lines reach.
    """
    returned = [
        "with torch.inference_mode():",
        "    returned = self.module(torch.from_numpy(images))",
    ]
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
        packages=packages,
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
