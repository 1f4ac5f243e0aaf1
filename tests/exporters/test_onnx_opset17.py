"""Opset 18 models mean the same after they were lowered to 17, or are refused by operator."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from deploybench.errors import DeployBenchError
from deploybench.exporters.onnx_opset17 import lower_to_opset17

X = np.random.default_rng(0).standard_normal((2, 4, 6, 6)).astype(np.float32)


def model_of(
    nodes: list[onnx.NodeProto], outputs: list[str], constants: dict[str, np.ndarray] | None = None
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(X.shape))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(value, name) for name, value in (constants or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model: onnx.ModelProto) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, {"x": X}))


AXES = {"axes": np.array([2, 3])}
SIZES = {"sizes": np.array([2, 4, 12, 12])}
PADS = {"pads": np.array([0, 0, 1, 1, 0, 0, 1, 1])}


@pytest.mark.parametrize(
    ("nodes", "outputs", "constants"),
    [
        ([helper.make_node("ReduceMean", ["x", "axes"], ["y"], keepdims=0)], ["y"], AXES),
        ([helper.make_node("ReduceMax", ["x"], ["y"])], ["y"], {}),
        ([helper.make_node("ReduceL2", ["x", "axes"], ["y"], noop_with_empty_axes=0)], ["y"], AXES),
        ([helper.make_node("Pad", ["x", "pads"], ["y"])], ["y"], PADS),
        ([helper.make_node("Split", ["x"], ["y", "z"], axis=1, num_outputs=2)], ["y", "z"], {}),
        ([helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], mode="linear")], ["y"], SIZES),
        ([helper.make_node("Relu", ["x"], ["y"])], ["y"], {}),
    ],
)
def test_lowered_operator_computes_the_same(
    nodes: list[onnx.NodeProto], outputs: list[str], constants: dict[str, np.ndarray]
) -> None:
    original = model_of(nodes, outputs, constants)
    expected = run(original)
    lowered = lower_to_opset17(original)
    assert lowered.opset_import[0].version == 17
    for found, wanted in zip(run(lowered), expected, strict=True):
        np.testing.assert_array_equal(found, wanted)


@pytest.mark.parametrize(
    ("node", "constants"),
    [
        (helper.make_node("Mish", ["x"], ["y"], name="act"), {}),
        (
            helper.make_node(
                "Resize", ["x", "", "", "sizes"], ["y"], mode="linear", antialias=1, name="r"
            ),
            SIZES,
        ),
    ],
)
def test_operator_without_a_form_in_opset_17_is_refused_by_name(
    node: onnx.NodeProto, constants: dict[str, np.ndarray]
) -> None:
    with pytest.raises(DeployBenchError, match=node.op_type):
        lower_to_opset17(model_of([node], ["y"], constants))
