"""ONNX Runtime on the CPU. It optimises the graph while it loads, in one step: nothing is left to compile."""

from __future__ import annotations

import platform
from typing import Any, ClassVar

from deploybench.artifact import Artifact
from deploybench.contracts import Arrays, Bound, Runner, RunOptions, Session, SessionFacts

PROVIDER = "CPUExecutionProvider"
FP16_MACHINES = frozenset({"aarch64", "arm64"})
"""MLAS has half-precision kernels on 64-bit Arm only; elsewhere the session casts to float32 and back."""


class OnnxRuntimeRunner(Runner):
    name: ClassVar[str] = "onnxruntime"
    formats: ClassVar[frozenset[str]] = frozenset({"onnx"})
    requires: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    install: ClassVar[str] = "deploybench[onnx]"
    distributions: ClassVar[tuple[str, ...]] = ("onnxruntime",)
    engine_only: ClassVar[bool] = True

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        return frozenset({"fp32"}) if _computes_in_fp32(artifact_precision) else frozenset({artifact_precision})

    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = options.threads
        settings.inter_op_num_threads = 1
        settings.log_severity_level = 3
        if artifact.manifest.batch is None:
            settings.add_free_dimension_override_by_name("batch", options.batch)
        session = onnxruntime.InferenceSession(str(artifact.entry), settings, providers=[PROVIDER])
        return OnnxRuntimeSession(artifact, session, options)


class OnnxRuntimeSession(Session):
    """One inference session with one intra-op pool."""

    def __init__(self, artifact: Artifact, session: Any, options: RunOptions) -> None:
        super().__init__(artifact.batch_shape(options.batch))
        self._session = session
        self._outputs = [output.name for output in session.get_outputs()]
        self._artifact_precision = artifact.manifest.precision

    def _infer(self, inputs: Arrays) -> Arrays:
        return dict(zip(self._outputs, self._session.run(self._outputs, inputs), strict=True))

    def _bind(self, inputs: Arrays) -> Bound:
        """The first run allocates the outputs, of whatever shape; every later one writes there again."""
        session, binding = self._session, self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_cpu_input(name, array)
        for name in self._outputs:
            binding.bind_output(name)

        def outputs() -> Arrays:
            return dict(zip(self._outputs, binding.copy_outputs_to_cpu(), strict=True))

        return Bound(lambda: session.run_with_iobinding(binding), outputs)

    def facts(self) -> SessionFacts:
        halved = _computes_in_fp32(self._artifact_precision)
        return SessionFacts(
            precision="fp32" if halved else self._artifact_precision,
            threads=self._session.get_session_options().intra_op_num_threads,
            provider=self._session.get_providers()[0],
            device="cpu",
            notes=("fp16 weights, computed in fp32: no fp16 kernels on this CPU",) if halved else (),
        )


def _computes_in_fp32(artifact_precision: str) -> bool:
    """Whether half-precision weights are cast up on this machine, so that fp32 arithmetic is what runs."""
    return artifact_precision == "fp16" and platform.machine().lower() not in FP16_MACHINES
