"""bf16 in ONNX graphs.

Repairs what the exporter widens, and widens a graph for runtimes that have no bf16.
"""

from __future__ import annotations

from typing import Any

import numpy as np

WEIGHTED = frozenset({"Conv", "ConvTranspose", "Gemm"})


def narrow_weights(model: Any) -> None:
    """Make the weights of convolutions and products bf16 again.

    Where the exporter folds a batch norm into one, it leaves the product in float32. For an
    ``onnx.ModelProto`` of a module that was cast to bf16: its parameters, so all such weights, were
    bf16.
    """
    from onnx import TensorProto

    names: set[str] = set()
    for node in model.graph.node:
        if node.op_type in WEIGHTED:
            names.update(node.input[1:])  # the first is what flows, then weight and bias
    for tensor in model.graph.initializer:
        if tensor.name in names and tensor.data_type == TensorProto.FLOAT:
            _replace(tensor, TensorProto.BFLOAT16)
    del model.graph.value_info[:]  # where they are still float32


def widen(model: Any) -> None:
    """Make an ``onnx.ModelProto`` compute in float32.

    The values of its constants stay what they are.
    """
    from onnx import AttributeProto, TensorProto

    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.BFLOAT16:
            _replace(tensor, TensorProto.FLOAT)
    for node in model.graph.node:
        for attribute in node.attribute:
            is_tensor = attribute.type == AttributeProto.TENSOR
            is_cast = node.op_type == "Cast" and attribute.name == "to"
            if is_tensor and attribute.t.data_type == TensorProto.BFLOAT16:
                _replace(attribute.t, TensorProto.FLOAT)
            elif is_cast and attribute.i == TensorProto.BFLOAT16:
                attribute.i = TensorProto.FLOAT
    del model.graph.value_info[:]


def _replace(tensor: Any, data_type: int) -> None:
    """The same values, rounded where the type is narrower."""
    from onnx import helper, numpy_helper

    values = numpy_helper.to_array(tensor).astype(np.float32)
    typed = values.astype(helper.tensor_dtype_to_np_dtype(data_type))
    tensor.CopyFrom(numpy_helper.from_array(typed, tensor.name))
