"""Each attention layer against its paper's formula, its limits, its numerics and what it can be
asked."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from timm.models.xcit import XCA
from torch import nn

from deploybench.models.nets.attention import (
    LAYERS,
    CrossCovarianceAttention,
    EfficientAttention,
    FastformerAttention,
    LinformerAttention,
    PerformerAttention,
    attention_layer,
    orthogonal_features,
)
from tests.models.nets import references

TOKENS, WIDTH, HEADS = 11, 24, 3
HEAD = WIDTH // HEADS


def layer(name: str, **settings: int) -> EfficientAttention:
    torch.manual_seed(1)
    chosen = LAYERS[name]
    if issubclass(chosen, LinformerAttention):
        settings = {"tokens": TOKENS, "rank": 5, **settings}
    return chosen(WIDTH, HEADS, qkv_bias=True, **settings).double().eval()


def tokens(count: int = TOKENS, scale: float = 1.0) -> torch.Tensor:
    return scale * torch.randn(
        2, count, WIDTH, dtype=torch.float64, generator=torch.Generator().manual_seed(2)
    )


def by_head(made: EfficientAttention, mix: object) -> torch.Tensor:
    """The layer's output from a reference that mixes one head of one image: ``mix(head, q, k,
    v)``."""
    q, k, v = made.heads(tokens())
    rows = [
        torch.cat(
            [mix(head, q[image, head], k[image, head], v[image, head]) for head in range(HEADS)],
            dim=1,
        )  # type: ignore[operator]
        for image in range(2)
    ]
    return made.proj(torch.stack(rows))


@torch.no_grad()
def test_linformer_is_its_formula() -> None:
    made = layer("linformer")
    assert isinstance(made, LinformerAttention)
    expected = by_head(
        made,
        lambda _, q, k, v: references.linformer(
            q, k, v, made.key_projection, made.value_projection
        ),
    )
    torch.testing.assert_close(made(tokens()), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_performer_is_its_formula() -> None:
    made = layer("performer", features=16)
    assert isinstance(made, PerformerAttention)
    expected = by_head(made, lambda _, q, k, v: references.performer(q, k, v, made.directions))
    torch.testing.assert_close(made(tokens()), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_xca_is_its_formula_and_timms() -> None:
    made = layer("xca")
    assert isinstance(made, CrossCovarianceAttention)
    made.temperature.copy_(torch.tensor([0.5, 1.0, 3.0]).view(3, 1, 1))
    scales = made.temperature.flatten().tolist()
    expected = by_head(
        made, lambda head, q, k, v: references.cross_covariance(q, k, v, scales[head])
    )
    torch.testing.assert_close(made(tokens()), expected, rtol=0, atol=1e-5)
    timms = XCA(WIDTH, HEADS, qkv_bias=True).double().eval()
    timms.load_state_dict(made.state_dict())
    torch.testing.assert_close(made(tokens()), timms(tokens()), rtol=0, atol=1e-6)


@torch.no_grad()
def test_fastformer_is_its_formula() -> None:
    made = layer("fastformer")
    assert isinstance(made, FastformerAttention)
    rows = []
    for image in tokens():
        q, k = made.qkv(image).chunk(2, dim=-1)
        global_query = pooled(made.query_weights(q), q)
        p = torch.stack([global_query * key for key in k])
        global_key = pooled(made.key_weights(p), p)
        rows.append(torch.stack([made.transform(global_key * query) + query for query in q]))
    torch.testing.assert_close(made(tokens()), made.proj(torch.stack(rows)), rtol=0, atol=1e-5)


def pooled(scores: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    """Additive attention of each head's part of the vectors, the heads one after the other
    again."""
    parts = []
    for head in range(HEADS):
        own = vectors[:, head * HEAD : (head + 1) * HEAD]
        parts.append(
            references.additive_pool([score / math.sqrt(HEAD) for score in scores[:, head]], own)
        )
    return torch.cat(parts)


@torch.no_grad()
def test_linformer_with_identity_projections_is_softmax() -> None:
    made = layer("linformer", rank=TOKENS)
    assert isinstance(made, LinformerAttention)
    nn.init.eye_(made.key_projection)
    nn.init.eye_(made.value_projection)
    expected = by_head(made, lambda _, q, k, v: references.softmax_attention(q, k, v))
    torch.testing.assert_close(made(tokens()), expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_performer_comes_nearer_to_softmax_with_more_features() -> None:
    """Without the 1e-4 that keeps every feature above 0: relative to the maximum, it is a bias that
    stays."""
    x = tokens()
    errors = []
    for features in (8, 128, 2048, 32768):
        made = layer("performer", features=features)
        made.epsilon = 0.0  # type: ignore[assignment]
        exact = F.scaled_dot_product_attention(*made.heads(x))
        errors.append(float((made.mix(x).transpose(1, 2) - exact).norm() / exact.norm()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.02 < 0.1 < errors[0]


def test_features_are_orthogonal_in_blocks_and_as_long_as_gaussians() -> None:
    torch.manual_seed(0)
    found = orthogonal_features(40, 16)
    assert found.shape == (40, 16)
    for start in (0, 16, 32):
        block = found[start : start + 16]
        products = block @ block.T
        torch.testing.assert_close(products, torch.diag(products.diag()), rtol=0, atol=1e-4)
    lengths = orthogonal_features(4096, 16).norm(dim=1)
    assert float(lengths.square().mean()) == pytest.approx(16, rel=0.05)
    assert float(lengths.std()) == pytest.approx(math.sqrt(0.5), rel=0.1)


def test_directions_are_saved_with_the_weights() -> None:
    first, second = PerformerAttention(WIDTH, HEADS), PerformerAttention(WIDTH, HEADS)
    assert not torch.equal(first.directions, second.directions)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.directions, second.directions)
    assert "directions" not in dict(first.named_parameters())


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("dtype", "limit"), [(torch.bfloat16, 0.06), (torch.float16, 0.01)])
@torch.no_grad()
def test_half_precision_stays_near_fp32(name: str, dtype: torch.dtype, limit: float) -> None:
    made = layer(name).float()
    x = tokens(scale=4.0).float()
    exact = made(x)
    found = made.to(dtype)(x.to(dtype)).float()
    assert float((found - exact).norm() / exact.norm()) < limit


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("scale", [0.0, 30.0])
@torch.no_grad()
def test_no_nan_on_zeros_or_large_values(name: str, dtype: torch.dtype, scale: float) -> None:
    made = layer(name).to(dtype)
    for parameter in (made.qkv.bias, made.proj.bias):
        parameter.zero_()
    assert made(tokens(scale=scale).to(dtype)).isfinite().all()


@pytest.mark.parametrize("name", LAYERS)
def test_training_reaches_every_parameter(name: str) -> None:
    made = layer(name).float().train()
    made(tokens().float()).square().sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.abs().max() > 0
        for parameter in made.parameters()
    )


@pytest.mark.parametrize("name", LAYERS)
def test_what_a_mechanism_does_not_have_is_refused(name: str) -> None:
    made = layer(name)
    with pytest.raises(ValueError, match="takes no mask"):
        made(tokens(), is_causal=True)
    with pytest.raises(ValueError, match="has no qk_norm"):
        attention_layer(name, TOKENS)(WIDTH, HEADS, qk_norm=True)
    with pytest.raises(ValueError, match="has no gated, typo"):
        attention_layer(name, TOKENS)(WIDTH, HEADS, gated=True, typo=1)
    with pytest.raises(ValueError, match="do not divide into 5 heads"):
        attention_layer(name, TOKENS)(WIDTH, 5)


def test_rank_reaches_the_layers_that_have_one() -> None:
    linformer = attention_layer("linformer", TOKENS, rank=7)(WIDTH, HEADS)
    performer = attention_layer("performer", TOKENS, rank=7)(WIDTH, HEADS)
    assert linformer.key_projection.shape == (7, TOKENS)
    assert performer.directions.shape == (7, HEAD)
    for name in ("fastformer", "xca"):
        with pytest.raises(ValueError, match=f"{name} has no rank"):
            attention_layer(name, TOKENS, rank=7)
