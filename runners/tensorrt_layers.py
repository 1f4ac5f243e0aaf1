"""What each layer of a TensorRT engine takes, by TensorRT's IProfiler.

Unproven: written against the documentation and tested with a double, run on no GPU yet. TensorRT
fuses nodes of the ONNX graph and joins their names; an engine does not hold which modules they came
from, so that no layer names one.
"""

from __future__ import annotations

from typing import Any

from deploybench.artifacts.artifact import Artifact
from deploybench.contracts import Layer, LayerTimes, ProfiledSession, RunOptions
from deploybench.errors import DeployBenchError

from .cuda_runtime import Cuda
from .tensorrt_session import Engine, EngineSession

NOTE = (
    "an engine does not hold which modules its layers came from; layers that TensorRT ran by its "
    "IProfiler, which waits after each"
)


class ProfiledEngineSession(EngineSession, ProfiledSession):
    """An engine whose context reports what every layer of a call took."""

    def __init__(
        self,
        cuda: Cuda,
        engine: Engine,
        artifact: Artifact,
        options: RunOptions,
        *,
        compiles: bool = False,
    ) -> None:
        if options.cuda_graph:
            raise DeployBenchError(
                "layers within a CUDA graph: TensorRT reports none of them",
                expected="plain launches",
            )
        super().__init__(cuda, engine, artifact, options, compiles=compiles)
        self._reported: list[tuple[str, float]] = []
        self._calls: list[list[tuple[str, float]]] = []
        self._profiler = _profiler(engine.trt, self._reported)
        engine.context.profiler = self._profiler

    def _infer(self, inputs: Any) -> Any:
        self._reported.clear()
        return super()._infer(inputs)

    def collect(self) -> None:
        self._calls.append(list(self._reported))

    def layer_times(self) -> LayerTimes:
        names = dict.fromkeys(name for call in self._calls for name, _ in call)
        layers = tuple(Layer(name, kind="engine layer") for name in names)
        times = []
        for call in self._calls:
            took = dict.fromkeys(names, 0.0)
            for name, ms in call:
                took[name] += ms
            times.append(tuple(took.values()))
        return LayerTimes(layers, tuple(times), NOTE)


def _profiler(trt: Any, reported: list[tuple[str, float]]) -> Any:
    """An IProfiler that appends to ``reported`` what TensorRT reports."""
    base: Any = trt.IProfiler

    class Profiler(base):  # type: ignore[misc]  # known at run time only
        def __init__(self) -> None:
            base.__init__(self)

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            reported.append((layer_name, ms))

    return Profiler()
