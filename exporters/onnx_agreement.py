"""Does an ONNX file compute what fp32 eager computed? Answered on ONNX Runtime's CPU.

It is asked before an engine is built of the file. For engines that cannot run where they are built:
their own arithmetic stays unproven, the graph and its weights do not. ONNX Runtime's CPU has no
bf16, so a bf16 graph runs in fp32, with its weights rounded to bf16.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deploybench.artifacts.output_parity import compare_all
from deploybench.artifacts.parity import plain_images
from deploybench.artifacts.references import read_cost, read_images, read_references
from deploybench.contracts import INPUT_NAME, ExportSpec
from deploybench.data.synthetic import whole_batches
from deploybench.errors import DeployBenchError

from .onnx_bf16 import widen


def agreement(path: Path, spec: ExportSpec, folder: Path) -> str:
    """In words, how the ONNX file at ``path`` agrees with the reference in ``folder``.

    ``folder`` is that of the artifact. Raises DeployBenchError when the file is outside the
    parity budget of the precision that its graph is written in.
    """
    import onnx
    import onnxruntime

    onnxruntime.disable_telemetry_events()
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = spec.threads
    settings.log_severity_level = 3
    # as the file is written, without this CPU's int8 kernels
    settings.add_session_config_entry("session.disable_quant_qdq", "1")

    graph: str | bytes = str(path)
    manner = ""
    if spec.precision == "bf16":
        model = onnx.load(path)
        widen(model)
        graph = model.SerializeToString()
        manner = "in fp32, which has no bf16 kernels, "
    session = onnxruntime.InferenceSession(graph, settings, providers=["CPUExecutionProvider"])
    images = read_images(folder)
    references = read_references(folder, spec.output_names)

    # The reference images come again where they do not fill the last batch; so do their outputs.
    batches = whole_batches(images, spec.batch or 1)
    names = list(spec.output_names)
    found = [session.run(names, {INPUT_NAME: batch}) for batch in batches]
    outputs = {}
    expected = {}
    for index, name in enumerate(names):
        outputs[name] = np.concatenate([arrays[index] for arrays in found])
        image_of_output = np.arange(len(outputs[name])) % len(images)
        expected[name] = references[name][image_of_output]

    # tf32 is a way to compute, on a GPU; the graph is written in fp32.
    written_in = spec.precision
    if written_in == "tf32":
        written_in = "fp32"
    rounded = read_cost(folder, written_in)
    if rounded is not None:
        rounded = rounded[image_of_output]
    report = compare_all(
        expected,
        outputs,
        written_in,
        integers=spec.integer_outputs,
        plain=plain_images(images)[image_of_output],
        rounded=rounded,
    )
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
