"""The variants of the zoo that the seeds name: epsilon, norms, augmented transitions, sharing."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from deploybench.models.nets.aaconv import AAConv2d
from deploybench.models.nets.attention import LinformerAttention, SharedLinformerAttention
from deploybench.models.nets.densenet import densenet_bc_cifar
from deploybench.models.source import BuildOptions, find_source
from deploybench.models.zoo import GROUPS, ZOO, zoo_counts


def built(name: str) -> nn.Module:
    source, own_name = find_source(name)
    with torch.device("meta"):
        return source.build(own_name, BuildOptions(num_classes=10)).module


@pytest.mark.trust(
    item=21,
    case="batch-norm epsilon of EfficientNet: 1e-3 in the paper's code, 1e-5 in timm's",
    before="1e-5 alone, not said",
    now="efficientnet-b0 has 1e-5, efficientnet-b0-eps1e-3 has 1e-3, and both are listed",
)
@pytest.mark.parametrize(
    ("name", "epsilon"), [("efficientnet-b0", 1e-5), ("efficientnet-b0-eps1e-3", 1e-3)]
)
def test_efficientnet_has_the_epsilon_that_its_name_says(name: str, epsilon: float) -> None:
    norms = [layer for layer in built(name).modules() if isinstance(layer, nn.BatchNorm2d)]
    assert norms
    assert {norm.eps for norm in norms} == {epsilon}


def test_both_epsilons_are_named_for_every_size_and_the_group_keeps_its_members() -> None:
    for index in range(8):
        plain, other = f"efficientnet-b{index}", f"efficientnet-b{index}-eps1e-3"
        assert zoo_counts()[plain] == zoo_counts()[other]
        assert ZOO[plain].image_size == ZOO[other].image_size
    assert GROUPS["efficientnet"] == tuple(f"efficientnet-b{index}" for index in range(8))


@pytest.mark.trust(
    item=21,
    case="the seeds' AAConv 3x3 with BatchNorm and LayerNorm, attention from transition 2 on",
    before="not in the zoo",
    now="aa-densenet-3x3-batchnorm, -layernorm, aa-densenet-1x1-from2, aa-densenet-3x3-from2",
)
@pytest.mark.parametrize(
    ("name", "norm", "augmented"),
    [
        ("aa-densenet-3x3", nn.InstanceNorm2d, [True, True]),
        ("aa-densenet-3x3-batchnorm", nn.BatchNorm2d, [True, True]),
        ("aa-densenet-3x3-layernorm", nn.GroupNorm, [True, True]),
        ("aa-densenet-3x3-from2", nn.InstanceNorm2d, [False, True]),
        ("aa-densenet-1x1-from2", nn.BatchNorm2d, [False, True]),
    ],
)
def test_transitions_are_those_that_the_name_says(
    name: str, norm: type[nn.Module], augmented: list[bool]
) -> None:
    features = built(name).features
    transitions = [features.transition1, features.transition2]
    found = [isinstance(transition.conv, AAConv2d) for transition in transitions]
    assert found == augmented
    assert isinstance(features.transition2.norm, norm)


@torch.no_grad()
@pytest.mark.parametrize("transition", ["1x1", "3x3"])
def test_later_transitions_are_augmented_at_the_size_that_their_maps_have(transition: str) -> None:
    net = densenet_bc_cifar(
        5, img_size=(33, 46), transition=transition, first_augmented=2, layers=2
    )
    assert net.eval()(torch.zeros(2, 3, 33, 46)).shape == (2, 5)


@torch.no_grad()
def test_shared_linformer_is_linformer_with_equal_projections() -> None:
    torch.manual_seed(3)
    shared = SharedLinformerAttention(24, 3, tokens=17, rank=8)
    plain = LinformerAttention(24, 3, tokens=17, rank=8)
    plain.load_state_dict({**shared.state_dict(), "value_projection": shared.key_projection})
    x = torch.randn(2, 17, 24)
    torch.testing.assert_close(shared(x), plain(x))
    torch.testing.assert_close(shared.read(x)[0].values, plain.read(x)[0].values)


@pytest.mark.parametrize(
    ("name", "millions"), [("densenet-bc-k24", 15.3), ("densenet-bc-k40", 25.6)]
)
def test_wide_densenets_have_their_published_size(name: str, millions: float) -> None:
    assert zoo_counts()[name]["parameters"] / 1e6 == pytest.approx(millions, abs=0.05)
