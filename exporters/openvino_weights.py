"""Weights of 8 bits in an OpenVINO graph whose products stay in float32, by NNCF.

Each weight is one of 256 values between the least and the largest of its output channel (NNCF's
``INT8_ASYM``); scales are kept in fp16. No images are needed, because no activation is rounded.
Symmetric weights (``INT8_SYM``) take as much room and lose more, at most on reference images in
units of the outputs' spread: ViT-S 0.080 instead of 0.074, ResNet-50 0.153 instead of 0.090, the
trained EfficientNet-Lite0 0.353 instead of 0.226 (its depthwise convolutions among them).

NNCF takes convolutions, products with constant weights and embeddings; biases and normalisations
stay as they are, and so do depthwise convolutions here. These hold few of the weights and lose most
by rounding, because each of their outputs sums few products: with theirs in 8 bits, too, the
trained EfficientNet-Lite0 is a tenth smaller and off by 0.066 instead of 0.040 of the spread (root
mean square).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploybench.errors import DeployBenchError
from deploybench.plurals import counted

from .openvino_quantised import QUANTISED

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import openvino

EIGHT_BITS = frozenset({"u8", "i8"})
WIDENED = frozenset({"Convert", "Multiply", "Reshape", "Subtract", "Transpose"})
"""What stands between 8-bit weights and the product that takes them as float32."""
SCALES = "Multiply"


@dataclass(frozen=True)
class Compressed:
    """The model with weights of 8 bits; and facts."""

    model: openvino.Model
    facts: dict[str, str | int]


def with_weights_of_8_bits(model: openvino.Model) -> Compressed:
    """Store the model's weights in 8 bits.

    Raises DeployBenchError where NNCF is not installed, and for a model without a weight that it
    takes.
    """
    try:
        import nncf
    except ImportError as error:
        raise DeployBenchError(
            "OpenVINO's weights of 8 bits need NNCF, which is not here",
            action='pip install "deploybench[quantisation]"',
        ) from error
    depthwise = _depthwise(model)
    compressed = nncf.compress_weights(
        model,
        mode=nncf.CompressWeightsMode.INT8_ASYM,
        ignored_scope=nncf.IgnoredScope(names=depthwise) if depthwise else None,
    )
    sources = []
    for node in compressed.get_ordered_ops():
        if node.get_type_name() in QUANTISED:
            sources.append(_source_of_weights(node))
    constants = [source for source in sources if source is not None]
    stored = sum(one.get_element_type().get_type_name() in EIGHT_BITS for one in constants)
    if not stored:
        raise DeployBenchError(
            "NNCF stored none of the model's weights in 8 bits",
            expected="a model with convolutions or linear layers",
            action="--precision fp16 halves a file",
        )
    words = f"int8, by output channel, asymmetric: {stored} of {len(constants)} products"
    if depthwise:
        words += f"; {counted(len(depthwise), 'depthwise convolution')} in fp32"
    facts: dict[str, str | int] = {
        "weights": words,
        "products": "fp32",
        "nncf": nncf.__version__,
    }
    return Compressed(compressed, facts)


def _depthwise(model: openvino.Model) -> list[str]:
    """The convolutions each of whose outputs sees one channel, by name."""
    names = []
    for node in model.get_ordered_ops():
        if node.get_type_name() != "GroupConvolution":
            continue
        # Weights are (groups, outputs and inputs of a group, height, width).
        if node.input_value(1).get_partial_shape()[2] == 1:
            names.append(node.get_friendly_name())
    return names


def _source_of_weights(product: openvino.Node) -> openvino.Node | None:
    """The constant that a product's weights come from; None for a product of two activations."""
    source = product.input_value(1).get_node()
    while source.get_type_name() in WIDENED:
        source = source.input_value(0).get_node()
    return source if source.get_type_name() == "Constant" else None


def weights_of_8_bits(node: openvino.Node) -> npt.NDArray[np.float32] | None:
    """What the product behind a ``Multiply`` of 8-bit weights takes: (weights - zero points) x
    scales, in their shape. None for every other operator."""
    import numpy as np

    if node.get_type_name() != SCALES:
        return None
    shifted, scales = (node.input_value(place).get_node() for place in (0, 1))
    zero_points = np.zeros(1, np.float32)
    if shifted.get_type_name() == "Subtract":
        zeros = _before_conversion(shifted.input_value(1).get_node())
        if zeros.get_type_name() != "Constant":
            return None
        zero_points = zeros.get_data().astype(np.float32)
        shifted = shifted.input_value(0).get_node()
    stored = _before_conversion(shifted)
    scales = _before_conversion(scales)
    if stored.get_type_name() != "Constant" or scales.get_type_name() != "Constant":
        return None
    if stored.get_element_type().get_type_name() not in EIGHT_BITS:
        return None
    weights: npt.NDArray[np.float32] = stored.get_data().astype(np.float32) - zero_points
    widened: npt.NDArray[np.float32] = weights * scales.get_data().astype(np.float32)
    return widened


def _before_conversion(node: openvino.Node) -> openvino.Node:
    """What a ``Convert`` converts; the node itself where it is none."""
    if node.get_type_name() == "Convert":
        return node.input_value(0).get_node()
    return node
