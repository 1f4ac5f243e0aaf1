"""int8 as part of an ONNX graph, for TensorRT and for ONNX Runtime on a CPU.

QuantizeLinear and DequantizeLinear stand around what is computed in 8 bits. The form that TensorRT
wants: symmetric (zero points of 0) for weights and activations, weights by output channel, on the
inputs of convolutions and of products with constant weights. Sums, normalisations, softmax and
products of two activations (in attention) stay in float, and so do biases. The weights stay float32
in front of their pair, so that every parser since TensorRT 8 reads the graph; the builder folds
them to 8 bits. The ranges of the activations are the extremes that they took on the calibration
images.

ONNX Runtime's CPU kernels want more of a convolution: its output and its bias quantised too, or it
is computed in float; activations are unsigned there, as VNNI takes them. What stands between
convolutions is quantised along, but in a graph with layer normalisation, whose sums lose too much:
the range of an output is then that behind its activation. (EfficientNet-Lite0 with trained weights,
errors on photographs, root mean square, of the spread: 0.62 with the range before its ReLU6, 0.16
behind it.)
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import numpy.typing as npt

from deploybench.contracts import INPUT_NAME, ExportSpec
from deploybench.data.synthetic import whole_batches

from .bias_correction import Biases
from .float_layers import Infer, Judge, float_layers
from .onnx_agreement import runs
from .quantisation import images_of, kept_layers

SCOPES = "pkg.torch.onnx.name_scopes"
"""Where PyTorch's exporter writes the paths of the modules around a node."""
QUANTISED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
BETWEEN = ("Add", "Clip", "Concat", "GlobalAveragePool", "MaxPool", "AveragePool", "Relu")
NORMALISED = frozenset({"LayerNormalization", "SimplifiedLayerNormalization"})
OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,
    "QuantizeBias": False,
    "MatMulConstBOnly": True,
    "OpTypesToExcludeOutputQuantization": list(QUANTISED),
}
CPU_OPTIONS = {
    "ActivationSymmetric": False,
    "WeightSymmetric": True,
    "MatMulConstBOnly": True,
    "OpTypesToExcludeOutputQuantization": ["Gemm", "MatMul"],
}


def quantise(
    source: Path,
    destination: Path,
    images: npt.NDArray[np.float32],
    batch: int | None,
    *,
    keep: Sequence[str] = (),
    layers: Sequence[str] = (),
    for_cpu: bool = False,
    reduced: bool = False,
) -> tuple[str, ...]:
    """Write the float32 ONNX file ``source`` with quantisation into ``destination``.

    ``batch`` is its fixed batch, where it has one; ``keep`` are patterns of layers that stay in
    float, ``layers`` whole names of others; they are returned by name. ``reduced``: weights of 7
    bits.
    """
    import onnx
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory(prefix="deploybench-int8-") as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        graph = onnx.load(prepared).graph
        kept = kept_layers(keep, _names(graph), layers)
        operators = list(QUANTISED)
        if for_cpu and NORMALISED.isdisjoint(node.op_type for node in graph.node):
            operators += BETWEEN
        quantize_static(
            prepared,
            destination,
            _Images(images, batch or 1),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=operators,
            per_channel=True,
            reduce_range=reduced,
            nodes_to_exclude=list(kept),
            activation_type=QuantType.QUInt8 if for_cpu else QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=CPU_OPTIONS if for_cpu else OPTIONS,
        )
    return tuple(kept.values())


def quantise_for(
    export: Callable[[], Path],
    destination: Path,
    spec: ExportSpec,
    biases: Biases,
    judge: Judge,
    *,
    for_cpu: bool = False,
    reduced: bool = False,
) -> tuple[str, ...]:
    """Quantise as the spec says, on its images; the layers that stay in float.

    ``export`` writes the ONNX file of the model as it is and returns its path. Where the spec
    leaves the layers to be found, so few stay in float that the file agrees with fp32 eager
    (:func:`.float_layers.float_layers`).
    """
    written: list[tuple[str, ...]] = []
    kept: dict[tuple[str, ...], tuple[str, ...]] = {}

    source = None if biases.changing else export()
    biases.leave_in_float(lambda: _nodes(export()))

    def write(layers: Sequence[str]) -> None:
        biases.correct(layers)
        kept[tuple(layers)] = quantise(
            source if source is not None else export(),
            destination,
            images_of(spec).pixels,
            spec.batch,
            keep=spec.keep_fp32,
            layers=layers,
            for_cpu=for_cpu,
            reduced=reduced,
        )
        written.append(tuple(layers))

    def attempt(layers: Sequence[str]) -> Infer:
        write(layers)
        return runs(destination, spec, kernels_of_8_bits=for_cpu)

    layers = float_layers(biases, spec, judge, attempt)
    if not written or written[-1] != layers:
        write(layers)
    return kept[layers]


def _nodes(source: Path) -> dict[str, list[str]]:
    """The names of each node of the file that is quantised, in the form in which it is."""
    import onnx
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory(prefix="deploybench-int8-") as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        return _names(onnx.load(prepared).graph)


def _names(graph: Any) -> dict[str, list[str]]:
    """The names of each node that is quantised: the path of its PyTorch module where that is known,
    those of the modules around it, and its own."""
    weights = {tensor.name for tensor in graph.initializer}
    names = {}
    for node in graph.node:
        if node.op_type in QUANTISED:
            paths = [name.rpartition(".")[0] for name in node.input if name in weights]
            scopes = [
                scope
                for entry in node.metadata_props
                if entry.key == SCOPES
                for scope in ast.literal_eval(entry.value)
            ]
            # The innermost scope comes last: it is the operator's own.
            known = (*paths, *reversed(scopes[:-1]), node.name)
            names[node.name] = [name for name in known if name]
    return names


class _Images:
    """What the calibrator asks for one batch after the other (its ``CalibrationDataReader``)."""

    def __init__(self, images: npt.NDArray[np.float32], batch: int) -> None:
        self._batches: Iterator[npt.NDArray[np.float32]] = iter(whole_batches(images, batch))

    def get_next(self) -> Mapping[str, npt.NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        return {INPUT_NAME: batch}
