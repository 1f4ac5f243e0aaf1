"""Files as others write them: not by the exporters of this repository."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 12
CLASSES = 5


def onnx_model(
    path: Path,
    *,
    nhwc: bool = False,
    dtype: int = TensorProto.FLOAT,
    batch: int | str = "N",
    side: int | str = SIDE,
    channels: int = 3,
    normalises: bool = False,
    name: str = "images",
    softmax: bool = False,
    features: bool = False,
    extra_input: bool = False,
    weights_dtype: Any = np.float32,
) -> Path:
    """A convolution, a mean over the image and a matrix, in a layout and a type of its own."""
    generator = np.random.default_rng(0)
    kernel = generator.normal(size=(4, channels, 3, 3)).astype(weights_dtype)
    head = generator.normal(size=(4, CLASSES)).astype(weights_dtype)
    constants = [numpy_helper.from_array(kernel, "kernel"), numpy_helper.from_array(head, "head")]
    shape: list[int | str] = [batch, channels, side, side]
    if nhwc:
        shape = [batch, side, side, channels]
    nodes = []
    last = name
    if dtype == TensorProto.UINT8:
        nodes.append(helper.make_node("Cast", [last], ["as_float"], to=TensorProto.FLOAT))
        last = "as_float"
    if normalises:
        constants.append(numpy_helper.from_array(np.array(255, np.float32), "white"))
        nodes.append(helper.make_node("Div", [last, "white"], ["pixels"]))
        last = "pixels"
    if nhwc:
        nodes.append(helper.make_node("Transpose", [last], ["first"], perm=[0, 3, 1, 2]))
        last = "first"
    nodes += [
        helper.make_node("Conv", [last, "kernel"], ["convolved"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["convolved"], ["rectified"]),
        helper.make_node("GlobalAveragePool", ["rectified"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["vector"]),
        helper.make_node("MatMul", ["vector", "head"], ["scores"]),
    ]
    last = "scores"
    if softmax:
        nodes.append(helper.make_node("Softmax", ["scores"], ["shares"], axis=1))
        last = "shares"
    inputs = [helper.make_tensor_value_info(name, dtype, shape)]
    if extra_input:
        inputs.append(helper.make_tensor_value_info("sizes", TensorProto.INT64, [batch, 2]))
    of_type = TensorProto.FLOAT if weights_dtype == np.float32 else TensorProto.FLOAT16
    outputs = [helper.make_tensor_value_info(last, of_type, [batch, CLASSES])]
    if features:
        outputs.insert(0, helper.make_tensor_value_info("rectified", of_type, None))
    graph = helper.make_graph(nodes, "net", inputs, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, str(path))
    return path
