"""What a foreign OpenVINO IR tells of itself: a graph in ``.xml``, its weights in ``.bin`` beside
it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, Literal

from deploybench.contracts import ForeignFile, ForeignTensor, ForeignWork
from deploybench.errors import DeployBenchError
from deploybench.hardware.precisions import INT8_WEIGHTS

DTYPES = {
    "f32": "float32",
    "f16": "float16",
    "f64": "float64",
    "bf16": "bfloat16",
    "u8": "uint8",
    "i8": "int8",
    "i32": "int32",
    "i64": "int64",
    "boolean": "bool",
}
FLOAT_WEIGHTS = {"f32": "fp32", "f16": "fp16", "bf16": "bf16", "f64": "fp32"}
EIGHT_BITS = frozenset({"u8", "i8"})
INTEGER_WEIGHTS = frozenset({*EIGHT_BITS, "u4", "i4"})
LAYOUTS: Mapping[str, Literal["nchw", "nhwc"]] = {"[N,C,H,W]": "nchw", "[N,H,W,C]": "nhwc"}
UNCOUNTED = frozenset(
    {
        "DeformableConvolution",
        "Einsum",
        "GRUCell",
        "GRUSequence",
        "If",
        "LSTMCell",
        "LSTMSequence",
        "Loop",
        "RNNCell",
        "RNNSequence",
        "TensorIterator",
    }
)


def look_into(file: Path) -> ForeignFile:
    """Raises DeployBenchError for what does not read."""
    weights = file.with_suffix(".bin")
    if not weights.is_file():
        raise DeployBenchError(
            f"{file} has no weights beside it: there is no {weights.name}",
            expected=f"{weights}",
            action="copy that file, too: the graph alone has no weights",
        )
    model = _opened(file)
    precision, parameters = _weights(model)
    return ForeignFile(
        inputs=tuple(_input(port, index) for index, port in enumerate(model.inputs)),
        outputs=tuple(_output(port, index) for index, port in enumerate(model.outputs)),
        files=(file.name, weights.name),
        precision=precision,
        parameters=parameters,
        label_names=_label_names(model),
    )


def work_in(file: Path, shapes: Mapping[str, tuple[int, ...]]) -> ForeignWork | None:
    """The multiply-adds of a call; None where nothing was found to count."""
    model = _opened(file)
    model.reshape(next(iter(shapes.values())))
    macs = 0
    counted = False
    uncounted: dict[str, None] = {}
    for operation in model.get_ops():
        kind = operation.get_type_name()
        if kind in UNCOUNTED:
            uncounted.setdefault(kind)
        formula = FORMULAS.get(kind)
        if formula is None:
            continue
        try:
            macs += formula(operation)
            counted = True
        except RuntimeError:  # a size that is still free
            uncounted.setdefault(f"{kind} of unknown size")
    if not counted:
        return None
    return ForeignWork(macs, tuple(uncounted))


def convert(file: Path, out: Path, inputs: Sequence[str], outputs: Sequence[str]) -> Path:
    """The ONNX file as an IR, its weights in the types that they have."""
    import openvino

    model = _opened(file, what="ONNX that OpenVINO reads")
    for ports, names in ((model.inputs, inputs), (model.outputs, outputs)):
        for port, name in zip(ports, names, strict=True):
            port.tensor.set_names({name})
    converted = out / f"{file.stem}.xml"
    openvino.save_model(model, str(converted), compress_to_fp16=False)
    return converted


def _opened(file: Path, what: str = "an OpenVINO IR") -> Any:
    import openvino

    try:
        return openvino.Core().read_model(str(file))
    except Exception as error:  # the library's own, a RuntimeError with its source's lines
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        why = lines[-1] if lines else type(error).__name__
        raise DeployBenchError(
            f"{file} does not read as {what}: {why}",
            expected="a whole .xml of openvino.save_model, and its .bin",
            action="get both files again, or convert the model anew with this OpenVINO",
        ) from None


def _named(port: Any, otherwise: str) -> str:
    """The name of a tensor; an IR may have been written without."""
    names = sorted(port.get_names())
    if names:
        return str(port.get_any_name())
    return otherwise


def _shape(port: Any) -> tuple[int | str, ...] | None:
    shape = port.get_partial_shape()
    if shape.rank.is_dynamic:
        return None
    return tuple("" if size.is_dynamic else int(size.get_length()) for size in shape)


def _dtype(port: Any) -> str:
    name = str(port.get_element_type().get_type_name())
    return DTYPES.get(name, name)


def _input(port: Any, index: int) -> ForeignTensor:
    layout = LAYOUTS.get(str(port.get_node().get_layout()))
    return ForeignTensor(_named(port, f"input_{index}"), _dtype(port), _shape(port), layout)


def _output(port: Any, index: int) -> ForeignTensor:
    name = _named(port, f"output_{index}")
    return ForeignTensor(name, _dtype(port), _shape(port), path=(("item", index),))


def _weights(model: Any) -> tuple[str | None, int | None]:
    """The precision and the number of the weights, which are constants.

    Weights of 8 bits in a graph that quantises no activation are int8-weights: its products are in
    float.
    """
    quantised = False
    of_8_bits = False
    parameters = 0
    by_precision: dict[str, int] = {}
    for operation in model.get_ops():
        kind = operation.get_type_name()
        quantised = quantised or kind == "FakeQuantize"
        if kind != "Constant":
            continue
        numbers = prod(operation.get_output_shape(0))
        dtype = str(operation.get_output_element_type(0).get_type_name())
        if dtype in INTEGER_WEIGHTS and len(operation.get_output_shape(0)) >= 2:
            parameters += numbers
            of_8_bits = of_8_bits or dtype in EIGHT_BITS
            quantised = quantised or dtype not in EIGHT_BITS
        elif dtype in FLOAT_WEIGHTS:
            parameters += numbers
            precision = FLOAT_WEIGHTS[dtype]
            by_precision[precision] = by_precision.get(precision, 0) + numbers
    if quantised:
        return "int8", parameters or None
    if of_8_bits:
        return INT8_WEIGHTS, parameters or None
    if not by_precision:
        return None, None
    return max(by_precision, key=lambda name: by_precision[name]), parameters or None


def _label_names(model: Any) -> tuple[str, ...]:
    """The classes that Open Model API writes, without blanks; names with blanks cannot be told."""
    try:
        labels = model.get_rt_info(["model_info", "labels"]).astype(str)
    except Exception:  # there are none
        return ()
    return tuple(str(labels).split())


def _convolution(operation: Any) -> int:
    return int(prod(operation.get_output_shape(0)) * prod(operation.get_input_shape(1)[1:]))


def _grouped(operation: Any) -> int:
    # Weights are (groups, outputs, inputs, …).
    return int(prod(operation.get_output_shape(0)) * prod(operation.get_input_shape(1)[2:]))


def _transposed(operation: Any) -> int:
    return int(prod(operation.get_input_shape(0)) * prod(operation.get_input_shape(1)[1:]))


def _grouped_transposed(operation: Any) -> int:
    return int(prod(operation.get_input_shape(0)) * prod(operation.get_input_shape(1)[2:]))


def _product(operation: Any) -> int:
    first = operation.get_input_shape(0)
    inner = first[-1]
    if operation.get_attributes().get("transpose_a") and len(first) > 1:
        inner = first[-2]
    return int(prod(operation.get_output_shape(0)) * inner)


def _attention(operation: Any) -> int:
    query, key = operation.get_input_shape(0), operation.get_input_shape(1)
    value = operation.get_input_shape(2)
    # Each query with each key, then each weight with each value.
    return int(prod(query[:-1]) * key[-2] * (query[-1] + value[-1]))


FORMULAS: Mapping[str, Callable[[Any], int]] = {
    "Convolution": _convolution,
    "GroupConvolution": _grouped,
    "ConvolutionBackpropData": _transposed,
    "GroupConvolutionBackpropData": _grouped_transposed,
    "MatMul": _product,
    "ScaledDotProductAttention": _attention,
}
