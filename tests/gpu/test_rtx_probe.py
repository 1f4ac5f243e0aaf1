"""TensorRT-RTX with its checks left out one by one, on whatever card is there.

It shows what the exporter and the runner would meet. Nothing is demanded of a card that it is not
made for: the report says what happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from deploybench.artifacts.artifact import Artifact
from deploybench.artifacts.parity import compare_outputs
from deploybench.contracts import RunOptions
from deploybench.errors import DeployBenchError
from deploybench.exporters import tensorrt_build
from deploybench.runners.cuda_runtime import open_cuda
from deploybench.runners.tensorrt_engine import logger_of
from deploybench.runners.tensorrt_session import Engine, EngineSession
from tests.conftest import TINY
from tests.gpu.conftest import Exported

pytestmark = pytest.mark.gpu

Note = Callable[[str, object], None]
BATCH, CALLS = 4, 200
TARGETS = ("CURRENT", "SM80", "SM89")


@dataclass(frozen=True)
class Probe:
    """One plan, tried out on one runtime."""

    trt: ModuleType
    runtime: Any
    plan: bytes
    artifact: Artifact

    def validity(self) -> str:
        """What the runtime thinks of the plan beforehand."""
        verdict, causes = self.runtime.get_engine_validity(self.plan)
        flags = self.trt.EngineInvalidityDiagnostics.__members__.items()
        named = [name for name, bit in flags if int(causes) & int(bit)]
        return " ".join([str(verdict).rpartition(".")[2], *named])

    def run(self, *, graph: bool, strategy: str) -> str:
        """Load, compile and time the plan in our own session; what was found, in words."""
        trt, log = self.trt, logger_of(self.trt)
        engine = self.runtime.deserialize_cuda_engine(self.plan)
        if engine is None:
            return f"not deserialised: {log.last_error()}"
        config = engine.create_runtime_config()
        strategies = trt.DynamicShapesKernelSpecializationStrategy
        config.dynamic_shapes_kernel_specialization_strategy = getattr(strategies, strategy)
        context = engine.create_execution_context(config)
        if context is None:
            return f"no context: {log.last_error()}"
        precision = self.artifact.manifest.precision
        options = RunOptions("cuda", 1, precision, BATCH, cuda_graph=graph)
        images, expected = self.artifact.reference()
        picked = np.arange(BATCH) % len(images)
        inputs = {self.artifact.manifest.inputs[0].name: np.ascontiguousarray(images[picked])}
        made = Engine(trt, "TensorRT-RTX", self.runtime, engine, context, log)
        with EngineSession(open_cuda(), made, self.artifact, options, compiles=True) as session:
            started = time.perf_counter()
            session.compile()
            compiled_s = time.perf_counter() - started
            found = next(iter(session.infer(inputs).values())).copy()
            parity = compare_outputs(expected[picked], found, precision)
            bound = session.bind(inputs)
            assert bound.device_ms is not None
            times = []
            for _ in range(CALLS):
                bound.run()
                times.append(bound.device_ms())
        held = "parity holds" if parity.passed else f"no parity: {parity.reason}"
        return f"{held}, compiled in {compiled_s:.2f} s, GPU {median(times):.4f} ms"


@pytest.mark.parametrize("for_graphs", [False, True], ids=["plain", "for-graphs"])
@pytest.mark.parametrize("target", TARGETS)
def test_plan_is_built_judged_and_run(
    target: str, for_graphs: bool, exported: Exported, record_property: Note
) -> None:
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt-rtx is not installed")
    cuda = open_cuda()
    cuda.use(0)
    artifact = exported(TINY, "onnx", "fp32")

    def configure(config: Any) -> None:
        config.num_compute_capabilities = 1
        capability = getattr(trt.ComputeCapability, target)
        record_property("target taken", bool(config.set_compute_capability(capability, 0)))
        if for_graphs:
            config.set_flag(trt.BuilderFlag.REQUIRE_USER_ALLOCATION)

    sizes = tensorrt_build.BatchSizes(BATCH, BATCH, BATCH)
    shape = tuple(artifact.manifest.inputs[0].shape[1:])
    try:
        plan = tensorrt_build.build(trt, artifact.entry, "fp32", sizes, shape, configure)
    except DeployBenchError as error:
        record_property("not built", str(error))
        return
    probe = Probe(trt, trt.Runtime(logger_of(trt)), plan, artifact)
    record_property("validity", probe.validity())
    for graph, strategy in ((False, "EAGER"), (False, "NONE"), (True, "EAGER")):
        words = f"{'graph' if graph else 'launches'}, {strategy}"
        try:
            record_property(words, probe.run(graph=graph, strategy=strategy))
        except Exception as error:  # off label: what it says is the finding
            record_property(words, f"{type(error).__name__}: {error}")
