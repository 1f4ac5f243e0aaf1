"""AA-ResNet: parameters of the paper's table, MACs of a hand count, and the attention's place."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deploybench.models.attention_maps import read_attention
from deploybench.models.counting import count_model
from deploybench.models.loading import count_parameters
from deploybench.models.nets.aaconv import AAConv2d
from deploybench.models.nets.resnet import aa_resnet
from deploybench.models.source import BuildOptions

STAGES = {
    34: [(28, 4, 64, 128, 32), (14, 6, 128, 256, 64), (7, 3, 256, 512, 128)],
    50: [(28, 4, 128, 128, 8), (14, 6, 256, 256, 24), (7, 3, 512, 512, 48)],
}
"""By depth, of stages 2 to 4: side of the maps, blocks, channels into the first block's augmented
convolution, its output channels (and the other blocks' input channels), and those of values."""
KEYS = 160
"""8 heads of 20: more than the share of channels at every width."""
PLAIN_PARAMETERS = {34: 21_797_672, 50: 25_557_032}
PLAIN_MACS = {34: 3_663_249_408 + 512_000, 50: 4_087_136_256 + 2_048_000}
PAPER_MILLIONS = {34: 20.7, 50: 25.8}


def built(depth: int) -> nn.Module:
    with torch.device("meta"):
        return aa_resnet(depth=depth)


@pytest.mark.trust(
    item=21,
    case="attention-augmented ResNet-34 and ResNet-50",
    before="not in the zoo",
    now="aa-resnet34 (20.75 M) and aa-resnet50 (25.81 M), as large as in the paper's table",
)
@pytest.mark.parametrize("depth", [34, 50])
def test_parameters_are_those_of_the_papers_table_and_of_a_hand_count(depth: int) -> None:
    found = count_parameters(built(depth))
    expected = PLAIN_PARAMETERS[depth]
    for side, blocks, first_width, width, values in STAGES[depth]:
        for block in range(blocks):
            in_channels = first_width if block == 0 else width
            expected -= 9 * in_channels * values  # channels that the convolution gave up
            expected += in_channels * (2 * KEYS + values) + values**2
            expected += 2 * (2 * side - 1) * (KEYS // 8)  # two tables of relative positions
    assert found == expected
    assert round(found / 1e6, 1) == PAPER_MILLIONS[depth]


@pytest.mark.parametrize("depth", [34, 50])
def test_macs_are_those_of_a_hand_count(depth: int) -> None:
    macs = count_model(f"aa-resnet{depth}", BuildOptions()).macs
    mixing, projections, convolution = 0, 0, 0
    for side, blocks, first_width, width, values in STAGES[depth]:
        positions = side**2
        for block in range(blocks):
            in_channels = first_width if block == 0 else width
            # q kᵀ and its product with v; each query against every row's and column's offset
            mixing += positions**2 * (KEYS + values) + positions * KEYS * 2 * side
            projections += positions * (in_channels * (2 * KEYS + values) + values**2)
            convolution -= positions * 9 * in_channels * values
    assert macs.attention_mixing == mixing
    assert macs.attention_projections == projections
    assert macs.total == PLAIN_MACS[depth] + convolution + projections + mixing


@pytest.mark.parametrize(("depth", "name"), [(34, "conv1"), (50, "conv2")])
def test_first_3x3_convolution_of_each_block_of_the_last_three_stages_is_augmented(
    depth: int, name: str
) -> None:
    net = built(depth)
    found = {path for path, part in net.named_modules() if isinstance(part, AAConv2d)}
    expected = set()
    for stage, (_, blocks, *_) in enumerate(STAGES[depth], start=2):
        expected |= {f"layer{stage}.{block}.{name}" for block in range(blocks)}
    assert found == expected


@torch.no_grad()
def test_runs_on_the_size_it_was_built_for_and_its_attention_is_read() -> None:
    net = aa_resnet(3, 1, (65, 97), depth=34).eval()
    images = torch.randn(2, 1, 65, 97)
    assert net(images).shape == (2, 3)
    readings = read_attention(net, images)
    assert len(readings) == 13
    assert all(found.reading.sums_to_one for found in readings)
    with pytest.raises(RuntimeError):
        net(torch.zeros(2, 1, 97, 97))
