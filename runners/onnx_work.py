"""The multiply-adds of a foreign ONNX graph, from the sizes that ONNX's own shape inference finds.

Counted are convolutions and products of matrices, also where they are quantised; what else may do
multiply-adds (attention in one operator, recurrent layers, Einsum) is named. Biases, norms and
activations are not counted, as nowhere here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from pathlib import Path
from typing import Any

from deploybench.contracts import ForeignWork

from .onnx_files import nodes_of, read_graph

Shape = tuple[int, ...]
Shapes = Callable[[str], Shape]
"""The sizes of a tensor by its name; raises KeyError where they are not known."""
UNCOUNTED = frozenset(
    {
        "Attention",
        "BiasGelu",
        "ConvTransposeWithDynamicPads",
        "DeformConv",
        "Einsum",
        "FusedGemm",
        "FusedMatMul",
        "GRU",
        "GroupQueryAttention",
        "LSTM",
        "MatMulNBits",
        "MultiHeadAttention",
        "NhwcConv",
        "PackedAttention",
        "PackedMultiHeadAttention",
        "QAttention",
        "QGemm",
        "RNN",
    }
)
"""Operators that do multiply-adds, or may, and that no formula here knows."""
SUBGRAPHS = frozenset({"If", "Loop", "Scan"})


def work_in(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> ForeignWork | None:
    """The work of a call on inputs of these shapes; None where nothing was found to count."""
    from onnx import shape_inference

    model = read_graph(file)
    if model.functions:
        from onnx import inliner

        model = inliner.inline_local_functions(model)
    for value in model.graph.input:
        if value.name in shapes:
            dimensions = value.type.tensor_type.shape.dim
            for dimension, size in zip(dimensions, shapes[value.name], strict=True):
                dimension.dim_value = size
    # The sizes that were written for a free batch would stand in the way of those of this one.
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    inferred = shape_inference.infer_shapes(model, data_prop=True)
    known = _known_shapes(inferred.graph)
    macs = 0
    counted = False
    uncounted: dict[str, None] = {}
    for node in inferred.graph.node:
        if node.op_type in SUBGRAPHS:
            inner = {each.op_type for each in nodes_of(inferred.graph)} & set(FORMULAS)
            if inner:
                uncounted.setdefault(node.op_type)
        if node.op_type in UNCOUNTED:
            uncounted.setdefault(node.op_type)
        formula = FORMULAS.get(node.op_type)
        if formula is None:
            continue
        try:
            macs += formula(node, known.__getitem__)
            counted = True
        except (KeyError, IndexError):
            uncounted.setdefault(f"{node.op_type} of unknown size")
    if not counted:
        return None
    return ForeignWork(macs, tuple(uncounted))


def _known_shapes(graph: Any) -> dict[str, Shape]:
    known: dict[str, Shape] = {}
    for tensor in graph.initializer:
        known[tensor.name] = tuple(tensor.dims)
    for node in graph.node:
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value":
                    known[node.output[0]] = tuple(attribute.t.dims)
    for value in (*graph.input, *graph.value_info, *graph.output):
        tensor = value.type.tensor_type
        if not tensor.HasField("shape"):
            continue
        sizes = [d.dim_value for d in tensor.shape.dim if d.HasField("dim_value")]
        if len(sizes) == len(tensor.shape.dim):
            known[value.name] = tuple(sizes)
    return known


def _attribute(node: Any, name: str) -> int:
    for attribute in node.attribute:
        if attribute.name == name:
            return int(attribute.i)
    return 0


def _convolution(weights: int) -> Callable[[Any, Shapes], int]:
    def formula(node: Any, shape: Shapes) -> int:
        # Every number of the output takes one weight of its kernel and group after the other.
        return prod(shape(node.output[0])) * prod(shape(node.input[weights])[1:])

    return formula


def _transposed_convolution(node: Any, shape: Shapes) -> int:
    # Every number of the input meets all of the kernel that starts from its channel.
    return prod(shape(node.input[0])) * prod(shape(node.input[1])[1:])


def _product(node: Any, shape: Shapes) -> int:
    return prod(shape(node.output[0])) * shape(node.input[0])[-1]


def _gemm(node: Any, shape: Shapes) -> int:
    inner = shape(node.input[0])[-1]
    if _attribute(node, "transA"):
        inner = shape(node.input[0])[0]
    return prod(shape(node.output[0])) * inner


FORMULAS: Mapping[str, Callable[[Any, Shapes], int]] = {
    "Conv": _convolution(weights=1),
    "ConvInteger": _convolution(weights=1),
    "FusedConv": _convolution(weights=1),
    "QLinearConv": _convolution(weights=3),
    "ConvTranspose": _transposed_convolution,
    "MatMul": _product,
    "MatMulInteger": _product,
    "QLinearMatMul": _product,
    "Gemm": _gemm,
}
