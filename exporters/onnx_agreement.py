"""Does an ONNX file compute what fp32 eager computed? Answered on ONNX Runtime's CPU.

It is asked before an engine is built of the file. For engines that cannot run where they are built:
their own arithmetic stays unproven, the graph and its weights do not. ONNX Runtime's CPU has no
bf16, so a bf16 graph runs in fp32, with its weights rounded to bf16.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deploybench.artifacts.output_parity import compare_batches
from deploybench.artifacts.parity import ParityReport
from deploybench.artifacts.references import read_images
from deploybench.contracts import INPUT_NAME, ExportSpec
from deploybench.data.synthetic import whole_batches
from deploybench.errors import DeployBenchError

from .float_layers import Batch, Infer
from .onnx_bf16 import widen


def agreement(path: Path, spec: ExportSpec, folder: Path) -> str:
    """In words, how the ONNX file at ``path`` agrees with the reference in ``folder``.

    ``folder`` is that of the artifact. Raises DeployBenchError when the file is outside the
    parity budget of the precision that its graph is written in.
    """
    report = parity_of(path, spec, folder, kernels_of_8_bits=False)
    if not report.passed:
        raise DeployBenchError(
            f"the {spec.precision} ONNX to build from fails parity on ONNX Runtime's CPU: "
            f"{report.reason}",
            expected=f"an error of at most {report.budget_error:.0e} of the spread "
            f"({report.budget_reason})",
        )
    manner = ""
    if spec.precision == "bf16":
        manner = "in fp32, which has no bf16 kernels, "
    return (
        f"the ONNX that it was built from agrees on ONNX Runtime's CPU: {manner}"
        f"max error {report.max_error:.0e} of the spread, budget {report.budget_error:.0e}"
    )


def parity_of(
    path: Path, spec: ExportSpec, folder: Path, *, kernels_of_8_bits: bool
) -> ParityReport:
    """The ONNX file at ``path`` held to the reference in the artifact's ``folder``.

    Without ``kernels_of_8_bits`` a quantised graph runs as it is written, in float.
    """
    infer = runs(path, spec, kernels_of_8_bits=kernels_of_8_bits)
    found = [infer(batch) for batch in whole_batches(read_images(folder), spec.batch or 1)]

    # tf32 is a way to compute, on a GPU; the graph is written in fp32.
    written_in = spec.precision
    if written_in == "tf32":
        written_in = "fp32"
    names = list(spec.output_names)
    return compare_batches(folder, found, names, written_in, integers=spec.integer_outputs)


def runs(path: Path, spec: ExportSpec, *, kernels_of_8_bits: bool) -> Infer:
    """What runs the ONNX file on ONNX Runtime's CPU, as :func:`parity_of` says."""
    import onnx
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = spec.threads
    settings.log_severity_level = 3
    if not kernels_of_8_bits:
        settings.add_session_config_entry("session.disable_quant_qdq", "1")

    graph: str | bytes = str(path)
    if spec.precision == "bf16":
        model = onnx.load(path)
        widen(model)
        graph = model.SerializeToString()
    session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
    names = list(spec.output_names)

    def infer(batch: Batch) -> dict[str, Any]:
        return dict(zip(names, session.run(names, {INPUT_NAME: batch}), strict=True))

    return infer
