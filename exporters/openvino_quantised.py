"""int8 as part of an OpenVINO graph, by NNCF.

Weights by channel; bias correction (the fast one), and for transformers NNCF's own mode, with
SmoothQuant. Two of its defaults are others here, by what they cost (errors on photographs, root
mean square, of the spread of the outputs):

- activations range over the extremes of all images, not over the mean of each image's: ViT-S 0.038
  instead of 0.045;
- SmoothQuant moves half of the spread of the channels into the weights, as its authors advise (Xiao
  et al. 2023, alpha 0.5), not nearly all of it: what no calibration image excites is otherwise
  blown up by images that do. ViT-S 0.021 at 0.5, 0.038 at NNCF's 0.95, 0.028 without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from deploybench.contracts import INPUT_NAME, ExportOption, ExportSpec
from deploybench.contracts.layers import module_name
from deploybench.data.synthetic import whole_batches
from deploybench.errors import DeployBenchError

from .quantisation import images_of, kept_layers, range_of_weights

if TYPE_CHECKING:
    import openvino
    import torch

ATTENTION = frozenset({"ScaledDotProductAttention", "MVN"})
"""Of a graph with one of these a transformer is made (MVN: layer normalisation)."""
QUANTISED = frozenset({"Convolution", "GroupConvolution", "ConvolutionBackpropData", "MatMul"})
ROOT = "__module."
SMOOTHING = 0.5
SMOOTHING_OPTION = ExportOption(
    "smooth_quant",
    float,
    f"int8: SmoothQuant's alpha, from 0 to 1; -1 is without it; {SMOOTHING} for transformers "
    "where nobody says, without it for others",
    least=-1,
)


def quantised(
    model: openvino.Model, spec: ExportSpec, before_norms: Mapping[str, str]
) -> tuple[openvino.Model, dict[str, str | int], tuple[str, ...]]:
    """The model with quantisation in it; facts; and the layers that stay in float.

    ``before_norms`` are the modules whose batch norm is folded into them, by the path of the norm.
    """
    try:
        import nncf
        from nncf.quantization.advanced_parameters import OverflowFix
        from nncf.quantization.range_estimator import RangeEstimatorParametersSet
    except ImportError as error:
        raise DeployBenchError(
            "OpenVINO's int8 needs NNCF, which is not here",
            action='pip install "deploybench[quantisation]"',
        ) from error
    images = images_of(spec)
    batches = whole_batches(images.pixels, spec.batch or 1)
    operators = {node.get_friendly_name(): node for node in model.get_ordered_ops()}
    names = {
        name: _names(node, before_norms)
        for name, node in operators.items()
        if node.get_type_name() in QUANTISED
    }
    kept = kept_layers(spec.keep_fp32, names)
    transformer = any(node.get_type_name() in ATTENTION for node in operators.values())
    reduced, range_words = range_of_weights(spec)
    smoothing = _smoothing(spec, transformer=transformer)
    parameters = nncf.AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if reduced else OverflowFix.DISABLE,
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        smooth_quant_alphas=nncf.AdvancedSmoothQuantParameters(convolution=-1, matmul=smoothing),
    )
    result = nncf.quantize(
        model,
        nncf.Dataset(batches, lambda pixels: {INPUT_NAME: pixels}),
        target_device=nncf.TargetDevice.CPU,
        subset_size=len(batches),
        model_type=nncf.ModelType.TRANSFORMER if transformer else None,
        ignored_scope=nncf.IgnoredScope(names=list(kept)) if kept else None,
        advanced_parameters=parameters,
    )
    mode = "fast bias correction"
    if transformer:
        mode = "NNCF's transformer mode, fast bias correction"
    if smoothing >= 0:
        mode += f", SmoothQuant {smoothing:g}"
    facts: dict[str, str | int] = {
        "calibration": images.told.words,
        "int8_range": range_words,
        "int8_mode": mode,
        "nncf": nncf.__version__,
    }
    return result, facts, tuple(kept.values())


def _smoothing(spec: ExportSpec, *, transformer: bool) -> float:
    """SmoothQuant's alpha; -1 is without it. Raises DeployBenchError for one that is none."""
    asked = spec.option(SMOOTHING_OPTION.name)
    if asked is None:
        return SMOOTHING if transformer else -1.0
    alpha = float(asked)
    if alpha > 1 or -1 < alpha < 0:
        raise DeployBenchError(f"smooth_quant {alpha:g}", expected="0 to 1, or -1: without it")
    return alpha


def layers_before_norms(model: torch.nn.Module, example: torch.Tensor) -> dict[str, str]:
    """The paths of the modules whose output goes into a batch norm, by the path of the norm."""
    import torch

    made_by: dict[int, tuple[str, torch.Tensor]] = {}
    found = {}
    hooks = []

    def hook_of(path: str) -> Callable[..., None]:
        def seen(module: torch.nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) and inputs:
                before = made_by.get(id(inputs[0]))
                if before is not None:
                    found[path] = before[0]
            if isinstance(output, torch.Tensor):
                made_by[id(output)] = (path, output)  # kept, so that no other has its id

        return seen

    for path, module in model.named_modules():
        is_norm = isinstance(module, torch.nn.modules.batchnorm._BatchNorm)
        if is_norm or not any(True for _ in module.children()):
            hooks.append(module.register_forward_hook(hook_of(module_name(path) or path)))
    try:
        model(example[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _names(node: openvino.Node, before_norms: Mapping[str, str]) -> list[str]:
    """The path of the PyTorch module that an operator stands for, and the operator's own name.

    The converter folds batch norms: what it multiplies has a number for a name then, and the norm
    that was is what its output goes into.
    """
    own = node.get_friendly_name()
    names = []
    if own.startswith(ROOT):
        names.append(_path(own))
    for output in node.outputs():
        for taker in output.get_target_inputs():
            path = _path(taker.get_node().get_friendly_name())
            if not names and path in before_norms:
                names.append(before_norms[path])
    return [*names, own]


def _path(name: str) -> str:
    """``__module.model.layer1.0.conv1/aten::_convolution/Convolution`` is at layer1.0.conv1."""
    path = name.split("/")[0].removeprefix(ROOT)
    return module_name(path) or path
