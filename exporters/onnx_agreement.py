"""Does an ONNX file compute what fp32 eager computed? Answered on ONNX Runtime's CPU, before an
engine is built of it.

For engines that cannot run where they are built: their own arithmetic stays unproven, the graph and
its weights do not. ONNX Runtime's CPU has no bf16, so a bf16 graph runs in fp32, with its weights
rounded to bf16.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deploybench.artifacts.artifact import REFERENCE
from deploybench.artifacts.parity import compare_outputs
from deploybench.contracts import INPUT_NAME, ExportSpec
from deploybench.data.synthetic import whole_batches
from deploybench.errors import DeployBenchError

from .onnx_bf16 import widen


def agreement(path: Path, spec: ExportSpec, folder: Path) -> str:
    """In words, how the ONNX file at ``path`` agrees with the reference of the artifact in
    ``folder``.

    Raises DeployBenchError when it is outside the parity budget of the precision that its graph is
    written in.
    """
    import onnx
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = spec.threads
    settings.log_severity_level = 3
    settings.add_session_config_entry(
        "session.disable_quant_qdq", "1"
    )  # as written, without this CPU's int8 kernels
    widened = spec.precision == "bf16"
    graph: str | bytes = str(path)
    if widened:
        model = onnx.load(path)
        widen(model)
        graph = model.SerializeToString()
    session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
    with np.load(folder / REFERENCE, allow_pickle=False) as archive:
        images, expected = archive["inputs"], archive["outputs"]
    batches = whole_batches(images, spec.batch or 1)
    found = np.concatenate([session.run(None, {INPUT_NAME: batch})[0] for batch in batches])
    precision = "fp32" if spec.precision == "tf32" else spec.precision
    report = compare_outputs(expected[np.arange(len(found)) % len(expected)], found, precision)
    manner = "in fp32, which has no bf16 kernels, " if widened else ""
    if not report.passed:
        raise DeployBenchError(
            f"the {spec.precision} ONNX to build from fails parity on ONNX Runtime's CPU: "
            f"{report.reason}",
            expected=f"an error of at most {report.budget_error:.0e} of the spread "
            f"({report.budget_reason})",
        )
    return (
        f"the ONNX that it was built from agrees on ONNX Runtime's CPU: {manner}"
        f"max error {report.max_error:.0e} of the spread, budget {report.budget_error:.0e}"
    )
