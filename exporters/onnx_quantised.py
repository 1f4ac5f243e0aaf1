"""int8 as part of an ONNX graph.

QuantizeLinear and DequantizeLinear stand around what is computed in 8 bits. The form that TensorRT
wants: symmetric (zero points of 0) for weights and activations, weights by output channel, on the
inputs of convolutions and of products with constant weights. Sums, normalisations, softmax and
products of two activations (in attention) stay in float, and so do biases. The weights stay float32
in front of their pair, so that every parser since TensorRT 8 reads the graph; the builder folds
them to 8 bits. The ranges of the activations are the extremes that they took on the calibration
images.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from deploybench.artifacts.preprocessing import Preprocessing
from deploybench.contracts import INPUT_NAME
from deploybench.data.synthetic import reference_inputs, whole_batches

CALIBRATION_IMAGES = 16
CALIBRATION_SEED = 1
"""Not the seed of the reference images: what is checked was not calibrated on."""
CALIBRATION = f"extremes over {CALIBRATION_IMAGES} synthetic 1/f images, seed {CALIBRATION_SEED}"
QUANTISED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
OPTIONS = {
    "ActivationSymmetric": True,
    "WeightSymmetric": True,
    "AddQDQPairToWeight": True,
    "QuantizeBias": False,
    "MatMulConstBOnly": True,
    "OpTypesToExcludeOutputQuantization": list(QUANTISED),
}


def quantise(
    source: Path, destination: Path, preprocessing: Preprocessing, batch: int | None
) -> None:
    """Write the float32 ONNX file ``source`` with quantisation into ``destination``.

    ``batch`` is its fixed batch, where it has one.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    images = reference_inputs(preprocessing, CALIBRATION_IMAGES, CALIBRATION_SEED)
    with TemporaryDirectory(prefix="deploybench-int8-") as folder:
        prepared = Path(folder) / "prepared.onnx"
        quant_pre_process(source, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            destination,
            _Images(images, batch or 1),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            extra_options=OPTIONS,
        )


class _Images:
    """What the calibrator asks for one batch after the other (its ``CalibrationDataReader``)."""

    def __init__(self, images: npt.NDArray[np.float32], batch: int) -> None:
        self._batches: Iterator[npt.NDArray[np.float32]] = iter(whole_batches(images, batch))

    def get_next(self) -> Mapping[str, npt.NDArray[np.float32]] | None:
        batch = next(self._batches, None)
        if batch is None:
            return None
        return {INPUT_NAME: batch}
