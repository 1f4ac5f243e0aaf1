"""OpenVINO on the CPU. Its default is to compute fp32 models in bf16 where the CPU can; here fp32 means fp32."""

from __future__ import annotations

from typing import Any, ClassVar

from deploybench.artifact import Artifact
from deploybench.contracts import Arrays, Runner, RunOptions, Session, SessionFacts
from deploybench.host import describe_host

HINTS = {"fp32": "f32", "bf16": "bf16", "fp16": "f16"}
NATIVE_FLAGS = {"bf16": {"avx512_bf16", "amx_bf16", "bf16"}, "fp16": {"avx512_fp16", "amx_fp16", "fphp"}}
"""Where the CPU has none of these, the plug-in ignores the hint and computes in fp32."""
PRECISIONS = {"f32": "fp32", "bf16": "bf16", "f16": "fp16"}


class OpenVinoRunner(Runner):
    name: ClassVar[str] = "openvino"
    formats: ClassVar[frozenset[str]] = frozenset({"openvino"})
    requires: ClassVar[tuple[str, ...]] = ("openvino",)
    install: ClassVar[str] = "deploybench[openvino]"
    distributions: ClassVar[tuple[str, ...]] = ("openvino",)

    def precisions(self, artifact_precision: str) -> frozenset[str]:
        flags = set(describe_host().isa)
        return frozenset({"fp32", *(name for name, needed in NATIVE_FLAGS.items() if needed & flags)})

    def load(self, artifact: Artifact, options: RunOptions) -> Session:
        import openvino

        core = openvino.Core()
        model = core.read_model(artifact.entry)
        if artifact.manifest.batch is None:
            model.reshape(next(iter(artifact.batch_shape(options.batch).values())))
        compiled = core.compile_model(
            model,
            "CPU",
            {
                "INFERENCE_PRECISION_HINT": HINTS[options.precision],
                "INFERENCE_NUM_THREADS": options.threads,
                "PERFORMANCE_HINT": "LATENCY",
                "NUM_STREAMS": 1,
            },
        )
        return OpenVinoSession(artifact, compiled, options)


class OpenVinoSession(Session):
    """One infer request. Inputs are read in place and outputs are views into the request's memory."""

    def __init__(self, artifact: Artifact, compiled: Any, options: RunOptions) -> None:
        super().__init__(artifact.batch_shape(options.batch))
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._output = artifact.manifest.outputs[0].name

    def _infer(self, inputs: Arrays) -> Arrays:
        results = self._request.infer(inputs, share_inputs=True, share_outputs=True)
        return {self._output: results[0]}

    def facts(self) -> SessionFacts:
        precision = self._compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        return SessionFacts(
            precision=PRECISIONS.get(precision, precision),
            threads=int(self._compiled.get_property("INFERENCE_NUM_THREADS")),
            provider=f"OpenVINO {self._compiled.get_property('EXECUTION_DEVICES')[0]}",
            device="cpu",
        )
