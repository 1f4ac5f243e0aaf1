"""Every operator of a model is counted, known to do no multiply-adds, or named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torchvision
from torch import nn
from torchvision import ops

from deploybench.models.flops import count_all_macs, count_layer_values, count_macs_by_kind
from tests.comparisons import launches
from tests.records import record

BOXES = torch.tensor([[0.0, 0, 0, 4, 4]])
Body = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


class Deformable(nn.Module):
    """Offsets of a convolution, then the deformable one: the usual pair."""

    def __init__(self, groups: int = 1) -> None:
        super().__init__()
        self.offset = nn.Conv2d(16, 18, 3, padding=1)
        self.deformed = ops.DeformConv2d(16, 32, 3, padding=1, groups=groups)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.deformed(x, self.offset(x))


class Weighted(nn.Module):
    """``body`` on the input and one weight of 8 x 8."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        self.body = body
        self.weight = nn.Parameter(torch.eye(8))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x, self.weight)


@torch.library.custom_op("deploybench_tests::product", mutates_args=())
def product(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x @ weight


@product.register_fake
def _(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return x.new_empty(x.shape[0], weight.shape[1])


class HiddenKernel(torch.autograd.Function):
    """Writes into memory past PyTorch's operators, as a compiled extension does."""

    @staticmethod
    def forward(ctx: object, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        out = torch.zeros(x.shape[0], weight.shape[1])
        out.numpy()[:] = x.detach().numpy() @ weight.detach().numpy()
        return out


class OpenFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return x @ weight


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x * x.sigmoid()


class ReversedGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: object, x: torch.Tensor) -> torch.Tensor:
        return x.view_as(x)


@pytest.mark.trust(
    item=17,
    case="MACs of torchvision's deformable convolution, 32 channels on 32 x 32",
    before="0 of its 4.7 million, no word",
    now="counted as a convolution of its weight",
)
@pytest.mark.parametrize("groups", [1, 2])
def test_deformable_convolution_is_counted_as_a_convolution(groups: int) -> None:
    found = count_all_macs(Deformable(groups).eval(), torch.zeros(1, 16, 32, 32))
    assert found.total == 1024 * 9 * (16 * 18 + 16 // groups * 32)
    assert found.uncounted == ()
    by_kind = count_macs_by_kind(Deformable(groups).eval(), torch.zeros(1, 16, 32, 32))
    assert by_kind.convolution == found.total
    moved = count_layer_values(Deformable(groups).eval(), torch.zeros(1, 16, 32, 32))
    assert moved >= 1024 * (16 + 18 + 16 + 18 + 32)


@pytest.mark.parametrize(
    ("body", "size"),
    [
        (lambda x, w: ops.roi_align(x, BOXES.to(x.device), 2), 8),
        (lambda x, w: ops.roi_pool(x, BOXES.to(x.device), 2), 8),
        (lambda x, w: ops.ps_roi_align(x, BOXES.to(x.device), 2), 8),
        (lambda x, w: ops.ps_roi_pool(x, BOXES.to(x.device), 2), 8),
        (lambda x, w: x[ops.nms(BOXES[:, 1:], torch.ones(1), 0.5)], 8),
    ],
    ids=["roi_align", "roi_pool", "ps_roi_align", "ps_roi_pool", "nms"],
)
def test_operators_of_torchvision_that_pool_or_select_have_no_macs(body: Body, size: int) -> None:
    found = count_all_macs(Weighted(body), torch.zeros(1, 4, size, size))
    assert (found.total, found.uncounted) == (0, ())


def test_every_operator_of_torchvision_is_counted_or_known() -> None:
    from deploybench.models.operators import OTHERS_WITHOUT_MACS, formulas

    assert torchvision.extension._has_ops()
    known = {name for name in OTHERS_WITHOUT_MACS if name.startswith("torchvision::")}
    known |= {str(packet).replace(".", "::") for packet in formulas()}
    schemas = {schema.name for schema in torch._C._jit_get_all_schemas()}
    vision = {name for name in schemas if name.startswith("torchvision::")}
    assert {"torchvision::deform_conv2d", "torchvision::nms"} <= vision
    inference = {
        name for name in vision if "backward" not in name and not name.endswith("_cuda_version")
    }
    assert inference <= known


@pytest.mark.parametrize(
    ("layer", "shape", "by_hand"),
    [
        (nn.LSTM(8, 16, 2, bidirectional=True), (5, 2, 8), 2 * 5 * 2 * 64 * (8 + 16 + 32 + 16)),
        (nn.GRU(8, 16), (5, 2, 8), 10 * 48 * (8 + 16)),
        (nn.ConvTranspose2d(8, 12, 3, stride=2, groups=2), (1, 8, 5, 5), 25 * 9 * 8 * 6),
        (nn.Conv3d(4, 6, 3, groups=2), (1, 4, 5, 5, 5), 27 * 27 * 2 * 6),
        (ops.MLP(8, [16, 4]), (2, 8), 2 * (8 * 16 + 16 * 4)),
        (ops.SqueezeExcitation(8, 2), (1, 8, 4, 4), 2 * 8 * 2),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_layers_are_counted_as_by_hand(
    layer: nn.Module, shape: tuple[int, ...], by_hand: int
) -> None:
    found = count_all_macs(layer.eval(), torch.zeros(shape))
    assert (found.total, found.uncounted) == (by_hand, ())


@pytest.mark.parametrize(
    ("body", "by_hand"),
    [
        pytest.param(lambda x, w: torch.einsum("bi,ij->bj", x, w), 128, id="einsum"),
        pytest.param(lambda x, w: torch.mv(w, x[0]), 64, id="mv"),
        pytest.param(lambda x, w: torch.dot(x[0], w[0]), 8, id="dot"),
        pytest.param(
            lambda x, w: torch.addbmm(w[:2], x.expand(3, 2, 8), w.expand(3, 8, 8)),
            3 * 2 * 8 * 8,
            id="addbmm",
        ),
        pytest.param(lambda x, w: nn.functional.bilinear(x, x, w[None]), 144, id="bilinear"),
        pytest.param(lambda x, w: torch.cdist(x, w), 128, id="cdist"),
        pytest.param(lambda x, w: nn.functional.layer_norm(x, (8,), w[0], w[1]), 0, id="norm"),
        pytest.param(
            lambda x, w: x @ nn.functional.normalize(w.t().contiguous()), 128, id="standardised"
        ),
        pytest.param(lambda x, w: OpenFunction.apply(x, w), 128, id="open function"),
        pytest.param(lambda x, w: Swish.apply(x) @ w, 128, id="activation function"),
        pytest.param(lambda x, w: ReversedGradient.apply(x) @ w, 128, id="identity function"),
    ],
)
def test_operators_with_weights_are_counted_as_by_hand(body: Body, by_hand: int) -> None:
    found = count_all_macs(Weighted(body), torch.zeros(2, 8))
    assert (found.total, found.uncounted) == (by_hand, ())


@pytest.mark.trust(
    item=17,
    case="an operator that no formula knows: of another library, a compiled kernel, a transform",
    before="counted 0, no word; where nothing else was counted, KeyError: 'Global'",
    now="MACs are at least (≥), with the operator's name",
)
@pytest.mark.parametrize(
    ("body", "name"),
    [
        pytest.param(
            lambda x, w: torch.ops.deploybench_tests.product(x, w),
            "deploybench_tests::product",
            id="library",
        ),
        pytest.param(
            lambda x, w: torch.ops.deploybench_tests.product(x, w.half().float()),
            "deploybench_tests::product",
            id="cast weight",
        ),
        pytest.param(
            lambda x, w: HiddenKernel.apply(x, w),
            "autograd.Function HiddenKernel",
            id="hidden kernel",
        ),
        pytest.param(lambda x, w: torch.fft.rfft2(x).real, "_fft_r2c", id="fft"),
        pytest.param(lambda x, w: torch.linalg.solve(w, x.t()), "_linalg_solve_ex", id="solve"),
    ],
)
def test_operator_that_no_formula_knows_is_named(body: Body, name: str) -> None:
    found = count_all_macs(Weighted(body), torch.zeros(2, 8))
    assert found.uncounted == (name,)
    assert count_macs_by_kind(Weighted(body), torch.zeros(2, 8)).uncounted == (name,)
    # the patch of torch's function class is gone, whatever happened
    assert OpenFunction.apply(torch.ones(1, 1), torch.ones(1, 1)).item() == 1


def test_quantised_layers_are_counted_although_their_weights_are_packed() -> None:
    layer = nn.Sequential(nn.Linear(8, 4)).eval()
    quantised = torch.ao.quantization.quantize_dynamic(layer, dtype=torch.qint8)
    assert count_all_macs(quantised, torch.zeros(2, 8)).total == 2 * 8 * 4


@pytest.mark.parametrize(
    "name",
    ["test_vit", "test_efficientnet", "test_convnext", "test_nfnet", "test_mambaout", "test_vit4"],
)
def test_nothing_of_usual_networks_is_left_uncounted(name: str) -> None:
    model = timm.create_model(name).eval()
    assert count_all_macs(model, torch.zeros(1, *model.default_cfg["input_size"])).uncounted == ()


def test_figure_that_is_at_least_says_so_in_rows_and_titles_and_has_no_rank() -> None:
    from deploybench.analysis.findings import findings_of
    from deploybench.analysis.ranking import _ranked_models
    from deploybench.report.run_cells import gflops_text
    from deploybench.report.run_table import _title
    from deploybench.rows.rows import rows_of

    found = record(launches([10.0] * 6), macs=2 * 10**9).replaced(macs_uncounted=("lib::op",))
    (row,) = rows_of([found])
    assert row.macs_uncounted == "lib::op"
    assert "≥ 2.00 GMAC, not counted: lib::op" in _title(row)
    assert gflops_text(row).startswith("≥ ")
    assert _ranked_models(findings_of([found])) == []
