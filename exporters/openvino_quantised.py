"""int8 as part of an OpenVINO graph, by NNCF.

Weights by channel; bias correction (the fast one), and for transformers NNCF's own mode, with
SmoothQuant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploybench.contracts import INPUT_NAME, ExportSpec
from deploybench.data.synthetic import whole_batches
from deploybench.errors import DeployBenchError

from .quantisation import images_of, kept_layers, range_of_weights

if TYPE_CHECKING:
    import openvino

ATTENTION = frozenset({"ScaledDotProductAttention", "MVN"})
"""Of a graph with one of these a transformer is made (MVN: layer normalisation)."""
QUANTISED = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"})
ROOT = "__module."


def quantised(
    model: openvino.Model, spec: ExportSpec
) -> tuple[openvino.Model, dict[str, str | int], tuple[str, ...]]:
    """The model with quantisation in it; facts; and the layers that stay in float."""
    try:
        import nncf
        from nncf.quantization.advanced_parameters import OverflowFix
    except ImportError as error:
        raise DeployBenchError(
            "OpenVINO's int8 needs NNCF, which is not here",
            action='pip install "deploybench[quantisation]"',
        ) from error
    images = images_of(spec)
    batches = whole_batches(images.pixels, spec.batch or 1)
    operators = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
    names = {
        name: _names(name) for name, node in operators.items() if node.get_type_name() in QUANTISED
    }
    kept = kept_layers(spec.keep_fp32, names)
    transformer = any(node.get_type_name() in ATTENTION for node in operators.values())
    reduced, range_words = range_of_weights(spec)
    parameters = nncf.AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if reduced else OverflowFix.DISABLE
    )
    result = nncf.quantize(
        model,
        nncf.Dataset(batches, lambda pixels: {INPUT_NAME: pixels}),
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        ignored_scope=nncf.IgnoredScope(names=kept) if kept else None,
        advanced_parameters=parameters,
    )
    facts: dict[str, str | int] = {
        "calibration": images.told.words,
        "int8_range": range_words,
        "int8_mode": "transformer, SmoothQuant" if transformer else "fast bias correction",
        "nncf": nncf.__version__,
    }
    return result, facts, tuple(kept)


def _names(name: str) -> tuple[str, str]:
    """The operator's own name, and the path of the PyTorch module that it stands for."""
    return name, name.split("/")[0].removeprefix(ROOT)
