"""What the PyTorch runners share: a session over any callable module, on the CPU or a GPU."""

from __future__ import annotations

import copy
import importlib.util
from abc import abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from deploybench.artifacts.artifact import Artifact, PathStep
from deploybench.contracts import Arrays, Bound, Runner, RunOptions, Session, SessionFacts
from deploybench.hardware.devices import CPU, CUDA, kind_of
from deploybench.hardware.host import describe_host
from deploybench.hardware.precisions import gpu_precisions

from .torch_device import Place
from .torch_layout import layout_of

if TYPE_CHECKING:
    import torch


class TorchRunner(Runner):
    """Streams are threads over one module: its weights are in memory once."""

    devices: ClassVar[frozenset[str]] = frozenset({CPU, CUDA})
    engine_only: ClassVar[bool] = True
    cell_options: ClassVar[frozenset[str]] = frozenset({"convolutions", "spinning"})
    """``spinning`` by OMP_WAIT_POLICY, which PyTorch's OpenMP reads when it is loaded."""
    preload: ClassVar[tuple[str, ...]] = ("torch", "timm")

    def options_on(self, device: str) -> frozenset[str]:
        if kind_of(device) == CPU:
            return self.cell_options - {"convolutions"}
        return self.cell_options

    def check_device(self, device: str) -> str | None:
        unfit = super().check_device(device)
        if unfit is None and kind_of(device) == CUDA and torch_cuda_version() is None:
            return (
                f"{self.name} on {device} needs a CUDA build of PyTorch, this is one for the "
                f"CPU: pip install torch"
            )
        return unfit

    def precisions_on(self, device: str, artifact_precision: str) -> frozenset[str]:
        offered = self.precisions(artifact_precision)
        if kind_of(device) == CPU:
            return offered
        on_gpu = offered | {"tf32"} if "fp32" in offered else offered
        return on_gpu & gpu_precisions(device, describe_host())

    @abstractmethod
    def load(self, artifact: Artifact, options: RunOptions) -> TorchSession: ...

    def load_streams(self, artifact: Artifact, options: RunOptions) -> list[Session]:
        session = self.load(artifact, options)
        return [session, *(copy.copy(session) for _ in range(options.streams - 1))]


class TorchSession(Session):
    """Runs ``module`` where ``place`` says. ``precision`` is what its parameters are in."""

    def __init__(
        self,
        artifact: Artifact,
        module: Any,
        place: Place,
        options: RunOptions,
        provider: str,
        precision: str,
    ) -> None:
        import torch

        super().__init__(artifact.batch_shape(options.batch), artifact.input_dtypes())
        self._torch = torch
        self._module = module
        self._place = place
        self._threads = options.threads_each
        self._provider = provider
        self._precision = precision
        self._notes: tuple[str, ...] = ()
        self._input = artifact.manifest.inputs[0].name
        self._outputs = [output.name for output in artifact.manifest.outputs]
        self._paths: list[tuple[PathStep, ...]] | None = None
        if artifact.manifest.adopted is not None:  # its own code returns what it likes
            self._paths = [output.path for output in artifact.manifest.outputs]

    @property
    def module(self) -> Any:
        """What every call runs."""
        return self._module

    def note(self, words: str) -> None:
        """Have the row say something of what was loaded."""
        self._notes = (*self._notes, words)

    def prepare_thread(self) -> None:
        """A thread count belongs to the thread that sets it: OpenMP gives another one every core of
        the machine."""
        self._torch.set_num_threads(self._threads)
        self._place.prepare_thread()

    def _infer(self, inputs: Arrays) -> Arrays:
        with self._torch.inference_mode():
            returned = self._module(self._place.send(inputs[self._input]))
            tensors = _tensors(returned, self._paths)
            return dict(zip(self._outputs, self._place.fetch(tensors), strict=True))

    def _bind(self, inputs: Arrays) -> Bound:
        """Inference mode belongs to a thread, so every run enters it: about 2 µs."""
        torch, module = self._torch, self._module
        returned: Any = None
        with torch.inference_mode():
            tensor = self._place.put(inputs[self._input])

        def call() -> None:
            nonlocal returned
            with torch.inference_mode():
                returned = module(tensor)

        def outputs() -> Arrays:
            tensors = _tensors(returned, self._paths)
            arrays = [output.cpu().numpy().copy() for output in tensors]
            return dict(zip(self._outputs, arrays, strict=True))

        run, device_ms = self._place.timed(call)
        return Bound(run, outputs, device_ms)

    def facts(self) -> SessionFacts:
        return SessionFacts(
            precision=self._place.arithmetic(self._precision),
            threads=self._torch.get_num_threads(),
            provider=self._place.described(self._provider),
            device=self._place.name,
            notes=(*self._place.notes, *self._place.algorithms(), *self._notes),
            device_bytes=self._place.peak_bytes(),
            options=self._options(),
        )

    def _options(self) -> dict[str, str]:
        """The options of the cell that can be read back from the module."""
        layout = layout_of(self._module)
        if layout is None:
            return {}
        return {"memory_format": layout}


def _tensors(
    returned: Any, paths: Sequence[tuple[PathStep, ...]] | None = None
) -> Sequence[torch.Tensor]:
    """What the module returned: one tensor, or several in the manifest's order.

    ``paths`` are where they stand in what an adopted file returns.
    """
    if paths is not None:
        return [_at(returned, path) for path in paths]
    if isinstance(returned, (tuple, list)):
        return returned
    return (returned,)


def _at(returned: Any, path: tuple[PathStep, ...]) -> torch.Tensor:
    """The tensor that stands there: keys of dicts, items of tuples, fields of objects."""
    for kind, step in path:
        returned = getattr(returned, str(step)) if kind == "field" else returned[step]
    tensor: torch.Tensor = returned
    return tensor


def prepare_threads(options: RunOptions) -> None:
    """Give torch a stream's thread budget, before any operator runs."""
    import torch

    torch.set_num_threads(options.threads_each)
    if torch.get_num_interop_threads() != 1:  # torch allows one change in a process
        torch.set_num_interop_threads(1)


def effective_precision(module: torch.nn.Module, artifact_precision: str) -> str:
    """The precision of the module's largest floating parameter or buffer, else what the artifact
    says."""
    import torch

    names = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
    tensors = [
        tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()
    ]
    if not tensors:
        return artifact_precision
    return names.get(max(tensors, key=lambda tensor: tensor.numel()).dtype, artifact_precision)


@cache
def torch_cuda_version() -> str | None:
    """The CUDA version that the installed PyTorch was built for, without importing it; None for a
    CPU build."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).with_name("version.py")
    version = importlib.util.spec_from_file_location("torch_version", path)
    if not path.is_file() or version is None or version.loader is None:
        return None
    module = importlib.util.module_from_spec(version)
    version.loader.exec_module(module)
    found: str | None = module.cuda
    return found
