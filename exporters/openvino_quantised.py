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

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from deploybench.contracts import INPUT_NAME, ExportOption, ExportSpec
from deploybench.contracts.layers import module_name
from deploybench.data.synthetic import whole_batches
from deploybench.errors import DeployBenchError

from .bias_correction import Biases, Norms
from .float_layers import Batch, Infer, Judge, float_layers
from .quantisation import images_of, kept_layers, range_of_weights

if TYPE_CHECKING:
    import openvino

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


@dataclass(frozen=True)
class Quantised:
    """The model with quantisation in it; facts; and the layers that stay in float."""

    model: openvino.Model
    facts: dict[str, str | int]
    kept_fp32: tuple[str, ...]


def quantised_to_agree(
    convert: Callable[[], openvino.Model],
    biases: Biases,
    spec: ExportSpec,
    judge: Judge,
    norms: Norms,
) -> Quantised:
    """Quantise what ``convert`` makes of the model as it is.

    Where the spec leaves the layers in float to be found, there are so few that it agrees with fp32
    eager (:func:`.float_layers.float_layers`).
    """
    # The last attempt only: the constants of an earlier graph are the memory of the model's
    # parameters, whose biases were changed since.
    last: dict[tuple[str, ...], Quantised] = {}
    converted = None if biases.changing else convert()
    biases.leave_in_float(lambda: _nodes(convert(), norms.before))

    def attempt(layers: Sequence[str]) -> Infer:
        biases.correct(layers)
        model = converted if converted is not None else convert()
        made = quantised(model, spec, norms.before, layers, corrected=biases.changing)
        last.clear()
        last[tuple(layers)] = made
        return _runs(made.model, spec)

    layers = float_layers(biases, spec, judge, attempt)
    if layers not in last:
        attempt(layers)
    found = last[layers]
    return replace(found, facts={**found.facts, **biases.facts})


def _runs(model: openvino.Model, spec: ExportSpec) -> Infer:
    """What runs the model as its runner will: in 8 bits where it says so, else in float32."""
    import openvino

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": spec.threads}
    compiled = openvino.Core().compile_model(model, "CPU", settings)

    def infer(batch: Batch) -> dict[str, Any]:
        results = compiled({INPUT_NAME: batch})
        return {name: results[index].copy() for index, name in enumerate(spec.output_names)}

    return infer


def quantised(
    model: openvino.Model,
    spec: ExportSpec,
    before_norms: Mapping[str, str],
    layers: Sequence[str] = (),
    *,
    corrected: bool = False,
) -> Quantised:
    """Quantise the model.

    ``before_norms`` are the modules whose batch norm is folded into them, by the path of the norm;
    ``layers`` stay in float beside those that the spec names. ``corrected``: its biases make up for
    the rounding already, and NNCF leaves them alone.
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
    kept = kept_layers(spec.keep_fp32, _nodes(model, before_norms), layers)
    transformer = any(node.get_type_name() in ATTENTION for node in model.get_ordered_ops())
    reduced, range_words = range_of_weights(spec)
    smoothing = _smoothing(spec, transformer=transformer)
    parameters = nncf.AdvancedQuantizationParameters(
        overflow_fix=OverflowFix.ENABLE if reduced else OverflowFix.DISABLE,
        activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
        disable_bias_correction=corrected,
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
    mode = "biases corrected in turn" if corrected else "fast bias correction"
    if transformer:
        mode = f"NNCF's transformer mode, {mode}"
    if smoothing >= 0:
        mode += f", SmoothQuant {smoothing:g}"
    facts: dict[str, str | int] = {
        "calibration": images.told.words,
        "int8_range": range_words,
        "int8_mode": mode,
        "nncf": nncf.__version__,
    }
    return Quantised(result, facts, tuple(kept.values()))


def _smoothing(spec: ExportSpec, *, transformer: bool) -> float:
    """SmoothQuant's alpha; -1 is without it. Raises DeployBenchError for one that is none."""
    asked = spec.option(SMOOTHING_OPTION.name)
    if asked is None:
        return SMOOTHING if transformer else -1.0
    alpha = float(asked)
    if alpha > 1 or -1 < alpha < 0:
        raise DeployBenchError(f"smooth_quant {alpha:g}", expected="0 to 1, or -1: without it")
    return alpha


def _nodes(model: openvino.Model, before_norms: Mapping[str, str]) -> dict[str, list[str]]:
    """The names of each operator that would be quantised, by its own."""
    return {
        node.get_friendly_name(): _names(node, before_norms)
        for node in model.get_ordered_ops()
        if node.get_type_name() in QUANTISED
    }


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
