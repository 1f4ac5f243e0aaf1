"""Which operators do multiply-adds, and by which formula; which do none by convention.

Matrix products and convolutions are counted by PyTorch's ``FlopCounterMode``, or by ``FORMULAS``.
Elementwise operators, norms, activations, softmax, sums, pooling, interpolation (``grid_sample``
and RoI align among it), lookups, sorting, copies and views count nothing, as is usual. What is
neither is named by :mod:`deploybench.models.uncounted`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import torch
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

Formula = Callable[..., int]
Formulas = Mapping[Any, Formula]
TORCH_NAMESPACES = ("aten", "prim", "prims", "profiler")
_WITHOUT_MACS = """
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d adaptive_max_pool1d
adaptive_max_pool2d adaptive_max_pool3d affine_grid_generator alias all amax amin aminmax any
arange argmax argmin as_strided_scatter assert_async avg_pool1d avg_pool2d avg_pool3d batch_norm
batch_norm_impl_index batch_norm_with_update bernoulli_ bincount bucketize cat channel_shuffle
clone col2im constant_pad_nd contiguous copy copy_ count_nonzero cudnn_batch_norm
cudnn_grid_sampler cummax cummin cumprod cumsum detach_ diag_embed diagonal_scatter dropout
embedding embedding_bag embedding_bag_forward_only empty empty_like empty_strided equal eye
feature_dropout fft_fftfreq fft_rfftfreq fill_ flip fractional_max_pool2d fractional_max_pool3d
full full_like fused_rms_norm gather grid_sampler grid_sampler_2d grid_sampler_3d group_norm
im2col index index_add index_add_ index_copy index_copy_ index_fill index_put index_put_
index_select instance_norm isin item kthvalue layer_norm lift_fresh lift_fresh_copy
linalg_check_errors linalg_cross linalg_vector_norm linspace local_response_norm
local_scalar_dense log_softmax logcumsumexp logspace logsumexp masked_scatter masked_select
masked_softmax max max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices
max_pool3d max_pool3d_with_indices max_unpool2d max_unpool3d mean median min miopen_batch_norm
mkldnn_max_pool2d mode msort nanmedian nansum native_batch_norm native_batch_norm_legit
native_batch_norm_legit_functional native_batch_norm_legit_no_training native_channel_shuffle
native_dropout native_group_norm native_layer_norm nested_from_padded nested_tensor_from_mask
new_empty new_empty_strided new_full new_ones new_zeros nonzero norm one_hot ones ones_like pad
pixel_shuffle pixel_unshuffle polar prod quantize_per_tensor rand randint randn randperm
reflection_pad1d reflection_pad2d reflection_pad3d repeat repeat_interleave replication_pad1d
replication_pad2d replication_pad3d resize_ rms_norm roll rot90 safe_softmax scalar_tensor scatter
scatter_ scatter_add scatter_add_ scatter_reduce searchsorted segment_reduce select_scatter set_
slice_scatter softmax sort stack std std_mean sum to_copy topk trace tril tril_indices triu
triu_indices unique unique2 unique_consecutive unique_dim unsafe_view upsample_bicubic2d
upsample_bicubic2d_aa upsample_bilinear2d upsample_bilinear2d_aa upsample_lanczos2d_aa
upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d
upsample_nearest_exact1d upsample_nearest_exact2d upsample_nearest_exact3d upsample_trilinear3d
var var_mean weight_norm weight_norm_interface zero_ zeros zeros_like
"""
WITHOUT_MACS = frozenset(name.removesuffix("_") for name in _WITHOUT_MACS.split())
"""PyTorch's own, without a leading underscore, that have no multiply-adds by convention.

Elementwise operators and views are told by PyTorch's tags.
"""
PRODUCTS_WITHOUT_FORMULA = ("fft_", "linalg_", "cholesky", "lu_", "ldl_", "ormqr", "geqrf", "svd")
"""PyTorch's own that multiply whether they take a weight or not: how their names begin."""
OTHERS_WITHOUT_MACS = frozenset(
    {
        "torchvision::nms",
        "torchvision::qnms",
        "torchvision::box_iou_rotated",
        "torchvision::roi_align",
        "torchvision::qroi_align",
        "torchvision::roi_pool",
        "torchvision::ps_roi_align",
        "torchvision::ps_roi_pool",
        "quantized::max_pool2d",
        "quantized::add",
        "quantized::add_relu",
        "quantized::mul",
        "quantized::cat",
    }
)
"""Of other libraries: selection, pooling and interpolation (torchvision), elementwise (quantised).
"""


def is_counted(func: Any, formulas: Formulas) -> bool:
    """Whether PyTorch's own registry or one of ``formulas`` counts the operator."""
    packet = getattr(func, "_overloadpacket", func)
    return packet in flop_registry or packet in formulas


def may_do_macs(func: Any, *, takes_weights: bool) -> bool:
    """Whether an operator that no formula knows may do multiply-adds.

    One of PyTorch's own does where it takes a weight and is not known to do none, or where its name
    says so; one of another library unless it is known.
    """
    if not isinstance(func, torch._ops.OpOverload):  # a higher-order operator hides a graph
        return True
    qualified: str = func._schema.name
    namespace, _, name = qualified.partition("::")
    if namespace not in TORCH_NAMESPACES:
        return qualified not in OTHERS_WITHOUT_MACS
    plain_name = name.lstrip("_").removesuffix("_")
    if plain_name in WITHOUT_MACS or func.is_view:
        return False
    if plain_name.startswith(PRODUCTS_WITHOUT_FORMULA):
        return True
    return takes_weights and not _is_elementwise(func, plain_name)


def operator_name(func: Any) -> str:
    """The operator's name as its library writes it, without PyTorch's own namespace."""
    if not isinstance(func, torch._ops.OpOverload):
        return str(getattr(func, "_name", func))
    name: str = func._schema.name
    return name.removeprefix("aten::")


def _is_elementwise(func: Any, plain_name: str) -> bool:
    if torch.Tag.pointwise in func.tags:
        return True
    # An operator in place has the tag on its twin: add_ has none where add has.
    twin = getattr(torch.ops.aten, plain_name, None)
    overload = getattr(twin, func._overloadname, None)
    return overload is not None and torch.Tag.pointwise in overload.tags


def _attention(query: torch.Size, key: torch.Size, value: torch.Size, *_: Any, **__: Any) -> int:
    """FLOPs of fused attention from the shapes (batch, heads, tokens, head width).

    The same on every device.
    """
    return int(sdpa_flop_count(query, key, value))


def _deformable_convolution(
    x: torch.Size, weight: torch.Size, *_: Any, out_shape: torch.Size, **__: Any
) -> int:
    """FLOPs of ``weight`` (out channels, in channels of a group, height, width) at each position.

    Dai et al. 2017, "Deformable Convolutional Networks", equation 2. The interpolation of what it
    reads and the modulation of the second version are not counted, as nowhere.
    """
    return _convolution(x, weight, out_shape=out_shape)


def _convolution(x: torch.Size, weight: torch.Size, *_: Any, out_shape: Any, **__: Any) -> int:
    """FLOPs of ``weight`` (out channels, in channels of a group, ...) at each output position."""
    images, positions = out_shape[0], out_shape[2:]
    return int(2 * images * prod(positions) * prod(weight))


def _packed_convolution(x: torch.Size, packed: Any, *_: Any, out_shape: Any, **__: Any) -> int:
    """The same of a quantised layer, whose weight is packed."""
    return _convolution(x, packed.weight().shape, out_shape=out_shape)


def _convolution_in_time(
    x: torch.Size, weight: torch.Size, *_: Any, out_shape: torch.Size, **__: Any
) -> int:
    """``conv_tbc``: x of (time, batch, channels), weight of (length, channels in, channels out)."""
    return int(2 * prod(out_shape[:2]) * prod(weight))


def _trilinear(left: torch.Size, weight: torch.Size, right: torch.Size, *_: Any, **__: Any) -> int:
    """``torch.nn.Bilinear``: weight of (outputs, left, right), factors of (rows, left or right).

    Of left W right the first product takes all of the weight, the second its outputs x right.
    """
    rows = left[0]
    outputs, right_width = weight[0], weight[2]
    return int(2 * rows * (prod(weight) + outputs * right_width))


def _recurrent_layer(
    x: torch.Size, input_weight: torch.Size, hidden_weight: torch.Size, *_: Any, **__: Any
) -> int:
    """One layer in one direction: both weights at each step of x (steps, batch, channels)."""
    steps = prod(x[:-1])
    return 2 * steps * (prod(input_weight) + prod(hidden_weight))


def _distance(left: torch.Size, right: torch.Size, *_: Any, out_shape: Any, **__: Any) -> int:
    """Pairwise distances of rows: one multiply-add for each pair and coordinate."""
    return int(2 * prod(out_shape) * left[-1])


def _numbers_of(position: int) -> Formula:
    """One multiply-add for each number of the argument: a matrix or a vector with a vector."""

    def count(*shapes: Any, out_shape: Any = None, **_: Any) -> int:
        return int(2 * prod(shapes[position]))

    return count


def _sums_along(position: int) -> Formula:
    """Each output is a sum over the last dimension of the argument at ``position``."""

    def count(*shapes: Any, out_shape: Any, **_: Any) -> int:
        return int(2 * prod(out_shape) * shapes[position][-1])

    return count


def _summed_batches(own: Any, left: torch.Size, right: torch.Size, **_: Any) -> int:
    """``addbmm``: left of (batch, rows, summed), right of (batch, summed, columns)."""
    return int(2 * prod(left) * right[-1])


_BY_NAME: dict[str, Formula] = {
    "aten._scaled_dot_product_flash_attention_for_cpu": _attention,
    "aten._scaled_dot_product_fused_attention_overrideable": _attention,
    "aten.mv": _numbers_of(0),
    "aten.addmv": _numbers_of(1),
    "aten.dot": _numbers_of(0),
    "aten.vdot": _numbers_of(0),
    "aten.addbmm": _summed_batches,
    "aten.linear": _sums_along(0),
    "aten.mkldnn_linear": _sums_along(0),
    "aten._addmm_activation": _sums_along(1),
    "aten._int_mm": _sums_along(0),
    "aten._sparse_addmm": _sums_along(1),
    "aten._weight_int8pack_mm": _sums_along(0),
    "aten._weight_int4pack_mm": _sums_along(0),
    "aten._weight_int4pack_mm_for_cpu": _sums_along(0),
    "aten._dyn_quant_matmul_4bit": _sums_along(0),
    "aten._mixed_dtypes_linear": _sums_along(0),
    "aten.mkldnn_convolution": _convolution,
    "aten.conv_tbc": _convolution_in_time,
    "aten._trilinear": _trilinear,
    "aten.mkldnn_rnn_layer": _recurrent_layer,
    "aten._cdist_forward": _distance,
    "aten._euclidean_dist": _distance,
    "torchvision.deform_conv2d": _deformable_convolution,
    "quantized.linear": _sums_along(0),
    "quantized.linear_relu": _sums_along(0),
    "quantized.linear_dynamic": _sums_along(0),
    "quantized.linear_relu_dynamic": _sums_along(0),
    "quantized.linear_dynamic_fp16": _sums_along(0),
    "quantized.conv1d": _packed_convolution,
    "quantized.conv1d_relu": _packed_convolution,
    "quantized.conv2d": _packed_convolution,
    "quantized.conv2d_relu": _packed_convolution,
    "quantized.conv3d": _packed_convolution,
    "quantized.conv3d_relu": _packed_convolution,
}


def formulas() -> Formulas:
    """FLOPs (2 x MACs) by operator, of those that PyTorch's own registry leaves out.

    Only of operators that are there: torchvision's come with its import.
    """
    found = {}
    for name, formula in _BY_NAME.items():
        namespace, _, operator = name.partition(".")
        packet = getattr(getattr(torch.ops, namespace), operator, None)
        if packet is not None:
            found[packet] = formula
    return found
