"""What the PyTorch runners share: a CPU session over any callable module, with its thread budget and facts."""

from __future__ import annotations

import copy
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from deploybench.artifact import Artifact
from deploybench.contracts import Arrays, Bound, Runner, RunOptions, Session, SessionFacts

if TYPE_CHECKING:
    import torch


class TorchCpuRunner(Runner):
    """Streams are threads over one module: its weights are in memory once."""

    engine_only: ClassVar[bool] = True

    @abstractmethod
    def load(self, artifact: Artifact, options: RunOptions) -> TorchCpuSession: ...

    def load_streams(self, artifact: Artifact, options: RunOptions) -> list[Session]:
        session = self.load(artifact, options)
        return [session, *(copy.copy(session) for _ in range(options.streams - 1))]


class TorchCpuSession(Session):
    """Runs ``module`` on the CPU. ``precision`` is what its parameters and arithmetic are in."""

    def __init__(self, artifact: Artifact, module: Any, options: RunOptions, provider: str, precision: str) -> None:
        import torch

        super().__init__(artifact.batch_shape(options.batch))
        self._torch = torch
        self._module = module
        self._threads = options.threads_each
        self._provider = provider
        self._precision = precision
        self._notes: tuple[str, ...] = ()
        self._input = artifact.manifest.inputs[0].name
        self._output = artifact.manifest.outputs[0].name

    def prepare_thread(self) -> None:
        """A thread count belongs to the thread that sets it: OpenMP gives another one every core of the machine."""
        self._torch.set_num_threads(self._threads)

    def _infer(self, inputs: Arrays) -> Arrays:
        torch = self._torch
        with torch.inference_mode():
            output = self._module(torch.from_numpy(inputs[self._input]))
        return {self._output: output.numpy()}

    def _bind(self, inputs: Arrays) -> Bound:
        """Inference mode belongs to a thread, so every run enters it: about 2 µs."""
        torch, module = self._torch, self._module
        output: Any = None
        with torch.inference_mode():
            tensor = torch.from_numpy(inputs[self._input])

        def run() -> None:
            nonlocal output
            with torch.inference_mode():
                output = module(tensor)

        def outputs() -> Arrays:
            return {self._output: output.numpy().copy()}

        return Bound(run, outputs)

    def facts(self) -> SessionFacts:
        return SessionFacts(
            precision=self._precision,
            threads=self._torch.get_num_threads(),
            provider=self._provider,
            device="cpu",
            notes=self._notes,
        )


def prepare_threads(options: RunOptions) -> None:
    """Give torch a stream's thread budget, before any operator runs."""
    import torch

    torch.set_num_threads(options.threads_each)
    if torch.get_num_interop_threads() != 1:  # torch allows one change in a process
        torch.set_num_interop_threads(1)


def effective_precision(module: torch.nn.Module, artifact_precision: str) -> str:
    """The precision of the module's largest floating parameter or buffer, else what the artifact says."""
    import torch

    names = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
    tensors = [tensor for tensor in (*module.parameters(), *module.buffers()) if tensor.is_floating_point()]
    if not tensors:
        return artifact_precision
    return names.get(max(tensors, key=lambda tensor: tensor.numel()).dtype, artifact_precision)
