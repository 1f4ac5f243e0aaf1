"""What a foreign ONNX file tells of itself, and the sizes that its graph implies.

The graph is read without the values that lie in other files: those are copied, never loaded here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from deploybench.artifacts.external_data import external_locations
from deploybench.contracts import ForeignFile, ForeignTensor
from deploybench.errors import DeployBenchError

KNOWN_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc"})
"""What ONNX Runtime computes by itself: any other operator comes from a library of somebody's."""
QUANTISED = frozenset(
    {
        "QuantizeLinear",
        "DequantizeLinear",
        "DynamicQuantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
        "QGemm",
        "QAttention",
    }
)
WEIGHT_TYPES = {1: "fp32", 10: "fp16", 11: "fp32", 16: "bf16"}
"""TensorProto's numbers of the types that weights are in (double counts as fp32)."""
INTEGER_WEIGHTS = frozenset({2, 3, 21, 22})
"""uint8, int8 and their halves: weights where they have two dimensions or more."""
NAMES_KEYS = ("names", "labels", "class_names")
"""Under which the metadata of a model may carry its classes, as Ultralytics writes them."""


def look_into(file: Path) -> ForeignFile:
    """Raises DeployBenchError for what does not read, or needs a library of operators."""
    model = read_graph(file)
    files = (file.name, *_external_files(file))
    graph = model.graph
    initial = {tensor.name for tensor in graph.initializer}
    initial |= {tensor.values.name for tensor in graph.sparse_initializer}
    inputs = tuple(_tensor(value) for value in graph.input if value.name not in initial)
    outputs = tuple(_tensor(value) for value in graph.output)
    _check_operators(file, model)
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    precision, parameters = _weights(model)
    return ForeignFile(
        inputs=inputs,
        outputs=outputs,
        files=files,
        precision=precision,
        parameters=parameters,
        facts={"opset": int(opset), "ir_version": int(model.ir_version)},
        label_names=_label_names(model),
    )


def read_graph(file: Path) -> Any:
    """The model without what lies in other files. Raises DeployBenchError."""
    try:
        import onnx
    except ImportError:
        raise DeployBenchError(
            "looking into an ONNX file takes the package onnx",
            expected="the module onnx",
            action='pip install "deploybench[onnx]"',
        ) from None
    try:
        model = onnx.load(str(file), load_external_data=False)
    except OSError as error:
        raise DeployBenchError(f"{file} cannot be read: {error.strerror}") from None
    except Exception as error:  # protobuf's own
        raise _no_graph(file, str(error).strip() or type(error).__name__) from None
    if not model.graph.node and not model.graph.output:
        raise _no_graph(file, "it holds no graph")
    return model


def nodes_of(graph: Any) -> Iterator[Any]:
    """The nodes of a graph and of the graphs within it."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from nodes_of(inner)


def _no_graph(file: Path, why: str) -> DeployBenchError:
    return DeployBenchError(
        f"{file} does not read as an ONNX graph: {why}",
        expected="a whole .onnx file",
        action="get the file again; a download may have ended early",
    )


def _external_files(file: Path) -> list[str]:
    """The files beside it that hold its weights. Raises DeployBenchError for one that is not there,
    or lies elsewhere."""
    try:
        locations = sorted(set(external_locations(file)))
    except ValueError as error:
        raise _no_graph(file, str(error)) from None
    for location in locations:
        path = PurePosixPath(location)
        if path.is_absolute() or ".." in path.parts or not location:
            raise DeployBenchError(
                f"{file} keeps weights in '{location}', which is not beside it",
                expected="weights in the graph, or in files in its folder",
                action="save it anew: onnx.save_model(model, FILE, save_as_external_data=True)",
            )
        if not (file.parent / location).is_file():
            raise DeployBenchError(
                f"{file} keeps weights in the file '{location}', which is not beside it",
                expected=f"{file.parent / location}",
                action="copy that file, too: the graph alone has no weights",
            )
    return locations


def _tensor(value: Any) -> ForeignTensor:
    import onnx

    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        words = "no tensor" if kind is None else kind.removesuffix("_type")
        return ForeignTensor(value.name, words, None)
    tensor = value.type.tensor_type
    name = onnx.TensorProto.DataType.Name(tensor.elem_type).lower()
    dtype = {"float": "float32", "double": "float64", "undefined": ""}.get(name, name)
    if not tensor.HasField("shape"):
        return ForeignTensor(value.name, dtype, None)
    shape: list[int | str] = []
    for dimension in tensor.shape.dim:
        if dimension.HasField("dim_value"):
            shape.append(int(dimension.dim_value))
        else:
            shape.append(str(dimension.dim_param))
    # What some tools write for a free dimension.
    sizes = tuple(size if isinstance(size, str) or size > 0 else "" for size in shape)
    return ForeignTensor(value.name, dtype, sizes)


def _check_operators(file: Path, model: Any) -> None:
    own = {(function.domain, function.name) for function in model.functions}
    foreign: dict[str, None] = {}
    for node in nodes_of(model.graph):
        if node.domain not in KNOWN_DOMAINS and (node.domain, node.op_type) not in own:
            foreign.setdefault(f"{node.domain}::{node.op_type}")
    if foreign:
        raise DeployBenchError(
            f"{file} needs operators of a library that is not in it: {', '.join(foreign)}",
            expected="ONNX's own operators: a library is code, and the artifact could not stand by "
            "itself",
            action="export it without them, or to another format",
        )


def _weights(model: Any) -> tuple[str | None, int | None]:
    """The precision and the number of the weights: of the tensors in the graph, and of constants
    that are large enough to be weights."""
    quantised = False
    scales: set[str] = set()
    dequantised: set[str] = set()
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in nodes_of(model.graph):
        quantised = quantised or node.op_type in QUANTISED
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scales.update(node.input[1:])
            dequantised.update(node.input[:1])
        if node.op_type == "Constant":
            for attribute in node.attribute:
                if attribute.name == "value" and len(attribute.t.dims) >= 2:
                    tensors[node.output[0]] = attribute.t
    parameters = 0
    by_precision: dict[str, int] = {}
    for name, tensor in tensors.items():
        if name in scales:
            continue
        numbers = 1
        for size in tensor.dims:
            numbers *= size
        integer = tensor.data_type in INTEGER_WEIGHTS and len(tensor.dims) >= 2
        precision = WEIGHT_TYPES.get(tensor.data_type)
        if integer or name in dequantised:
            parameters += numbers
        elif precision is not None:
            parameters += numbers
            by_precision[precision] = by_precision.get(precision, 0) + numbers
    if quantised:
        return "int8", parameters or None
    if not by_precision:
        return None, parameters or None
    return max(by_precision, key=lambda name: by_precision[name]), parameters


def _label_names(model: Any) -> tuple[str, ...]:
    """The classes that the metadata carries, where it does: a dict by number, or a list."""
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    for key in NAMES_KEYS:
        if key not in metadata:
            continue
        try:
            read = ast.literal_eval(metadata[key])
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(read, dict) and sorted(read) == list(range(len(read))):
            read = [read[index] for index in range(len(read))]
        if isinstance(read, (list, tuple)) and all(isinstance(name, str) for name in read):
            return tuple(read)
    return ()
