"""Linear-cost attention layers that take the place of timm's ``Attention``.

Same arguments, same shapes.

Every layer maps tokens (images x tokens x width) to the same shape, splits the width over its
heads, and ends in the same output projection as softmax attention. Below, q, k, v are those of one
head, N tokens, d the head's width. ``read`` gives the attention itself, or the nearest honest
quantity, for the same input; it is in no exported graph.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from deploybench.models.attention_maps import Reading

DEFAULT_RANK = 64
"""Of Linformer's projection and of Performer's features: the head's width.

Both libraries' defaults (256, and d ln d = 266) are longer than the 197 tokens of an image of 224
pixels and cost more than softmax.
"""
SMALLEST_NORM = 1e-6
"""1e-12, torch's own, is 0 in fp16: an all-zero image would give NaN."""


class EfficientAttention(nn.Module, ABC):
    """What the layers share: heads, output projection, the arguments that timm's ``Block`` passes.

    Raises ValueError for what these mechanisms do not have: masks, normalised q and k, dropout of
    weights, gates.
    """

    projections: ClassVar[int] = 3
    """q, k and v."""

    def __init__(
        self,
        dim: int,
        num_heads: int = 8,
        *,
        qkv_bias: bool = False,
        proj_bias: bool = True,
        proj_drop: float = 0.0,
        device: Any = None,
        dtype: Any = None,
        norm_layer: Any = None,
        **others: Any,
    ) -> None:
        super().__init__()
        if dim % num_heads:
            raise ValueError(f"{dim} channels do not divide into {num_heads} heads")
        refused = sorted(name for name, value in others.items() if value)
        if refused:
            raise ValueError(f"{type(self).__name__} has no {', '.join(refused)}")
        self.num_heads = num_heads
        self.head_dim = dim // num_heads
        self.placed = {"device": device, "dtype": dtype}
        self.qkv = nn.Linear(dim, self.projections * dim, bias=qkv_bias, **self.placed)
        self.proj = nn.Linear(dim, dim, bias=proj_bias, **self.placed)
        self.proj_drop = nn.Dropout(proj_drop)

    def forward(
        self, x: torch.Tensor, attn_mask: torch.Tensor | None = None, is_causal: bool = False
    ) -> torch.Tensor:
        if attn_mask is not None or is_causal:
            raise ValueError(f"{type(self).__name__} takes no mask")
        mixed = self.mix(x).flatten(2)  # images x tokens x width: the heads side by side
        return self.proj_drop(self.proj(mixed))

    def heads(self, x: torch.Tensor) -> list[torch.Tensor]:
        """q, k and v, each images x heads x tokens x head width."""
        images, tokens, _ = x.shape
        split = self.qkv(x).reshape(images, tokens, 3, self.num_heads, self.head_dim)
        # (q, k, v) x images x heads x tokens x head width
        return list(split.permute(2, 0, 3, 1, 4).unbind(0))

    @abstractmethod
    def mix(self, x: torch.Tensor) -> torch.Tensor:
        """The mixed values before the output projection: images x tokens x heads x head width."""

    @abstractmethod
    def read(self, x: torch.Tensor) -> list[Reading]:
        """The attention that this layer gives to its input ``x``."""


class LinformerAttention(EfficientAttention):
    """softmax(q (E k)^T / sqrt d) (F v), with E and F (rank x N) learned for each layer and shared
    by its heads.

    Wang et al. 2020, "Linformer: Self-Attention with Linear Complexity", equation 7. ``tokens``
    fixes the image size.
    """

    shares_projection: ClassVar[bool] = False

    def __init__(
        self, dim: int, num_heads: int = 8, *, tokens: int, rank: int = DEFAULT_RANK, **others: Any
    ) -> None:
        super().__init__(dim, num_heads, **others)
        self.key_projection = nn.Parameter(torch.empty(rank, tokens, **self.placed))
        nn.init.normal_(self.key_projection, std=rank**-0.5)
        if not self.shares_projection:
            self.value_projection = nn.Parameter(torch.empty(rank, tokens, **self.placed))
            nn.init.normal_(self.value_projection, std=rank**-0.5)

    @property
    def of_values(self) -> nn.Parameter:
        """F: rank x tokens."""
        if self.shares_projection:
            return self.key_projection
        return self.value_projection

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.heads(x)
        # images x heads x rank x head width: ``rank`` mixtures of the tokens stand for all
        keys = self.key_projection @ k
        values = self.of_values @ v
        return F.scaled_dot_product_attention(q, keys, values).transpose(1, 2)

    def read(self, x: torch.Tensor) -> list[Reading]:
        q, k, _ = self.heads(x)
        keys = self.key_projection @ k
        logits = q @ keys.transpose(-2, -1) / math.sqrt(self.head_dim)
        weights = logits.softmax(dim=-1)  # images x heads x tokens x rank
        # What each mixture is made of gives the weight of each token.
        effective = weights @ self.of_values  # images x heads x tokens x tokens
        return [Reading.of_tokens("effective weights", effective, sums_to_one=False)]


class SharedLinformerAttention(LinformerAttention):
    """The same with one projection for keys and values, F = E: the paper's key-value sharing.

    Section 4 there; also how the seeds write it.
    """

    shares_projection: ClassVar[bool] = True


class PerformerAttention(EfficientAttention):
    """FAVOR+: the softmax kernel by positive orthogonal random features.

    phi(q) (phi(k)^T v) / (phi(q) sum phi(k)), where phi(x) = m^-1/2 (exp(W x d^-1/4 - |x|^2 / (2
    sqrt d) - max) + 1e-4) with the rows of W (``features`` x d) orthogonal in blocks of d and as
    long as gaussian vectors; the maximum is over a row for q and over all tokens for k, where it
    cancels. Choromanski et al. 2021, "Rethinking Attention with Performers", section 2.4. W is a
    buffer that checkpoints hold; it is not drawn anew. phi is computed in fp32: in fp16 one layer
    was 6 % off.
    """

    epsilon: ClassVar[float] = 1e-4

    def __init__(
        self, dim: int, num_heads: int = 8, *, features: int = DEFAULT_RANK, **others: Any
    ) -> None:
        super().__init__(dim, num_heads, **others)
        self.register_buffer(
            "directions", orthogonal_features(features, self.head_dim).to(**self.placed)
        )
        self.directions: torch.Tensor

    def features(self, x: torch.Tensor, over: tuple[int, ...]) -> torch.Tensor:
        """phi(x), positive, images x heads x tokens x features, in fp32.

        ``over``: the dimensions of the maximum.
        """
        x = x.float() * self.head_dim**-0.25  # half of 1 / sqrt(d): q and k have a part each
        projected = x @ self.directions.float().transpose(0, 1)
        half_square = x.square().sum(dim=-1, keepdim=True) / 2
        largest = projected.amax(dim=over, keepdim=True)  # less it, no exponent overflows
        exponents = projected - half_square - largest
        return (exponents.exp() + self.epsilon) * self.directions.shape[0] ** -0.5

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.heads(x)
        queries = self.features(q, (-1,))
        keys = self.features(k, (-2, -1))
        # From the right, so that no matrix of tokens x tokens is made: features x head width first.
        mixed = queries @ (keys.transpose(-2, -1) @ v.float())
        total = queries @ keys.sum(dim=-2).unsqueeze(-1)  # what each row's weights add up to
        return (mixed / total).to(v.dtype).transpose(1, 2)

    def read(self, x: torch.Tensor) -> list[Reading]:
        q, k, _ = self.heads(x)
        queries = self.features(q, (-1,))
        keys = self.features(k, (-2, -1))
        kernel = queries @ keys.transpose(-2, -1)  # images x heads x tokens x tokens
        weights = kernel / kernel.sum(dim=-1, keepdim=True)
        return [Reading.of_tokens("implicit weights", weights, sums_to_one=True)]


def orthogonal_features(count: int, width: int) -> torch.Tensor:
    """``count`` random directions (count x width).

    They are orthogonal in blocks of ``width``, with the lengths of gaussians.
    """
    blocks = [_random_rotation(width) for _ in range(math.ceil(count / width))]
    lengths = torch.randn(count, width).norm(dim=1, keepdim=True)
    return torch.cat(blocks)[:count] * lengths


def _random_rotation(width: int) -> torch.Tensor:
    """Uniform over the orthogonal matrices.

    A plain QR is not: its signs depend on the algorithm (Mezzadri 2007), and features from it are
    biased however many there are.
    """
    q, r = torch.linalg.qr(torch.randn(width, width))
    return q * r.diagonal().sign()  # of the many QR decompositions that with a positive diagonal


class FastformerAttention(EfficientAttention):
    """Additive attention: one global query and one global key stand for all tokens.

    a = softmax_N(w_q q / sqrt d), Q = sum a q; p = Q k; b = softmax_N(w_k p / sqrt d), K = sum b p;
    u = K q; output W_t u + q. Products of vectors are by element; w_q and w_k see all heads.

    Wu et al. 2021, "Fastformer: Additive Attention Can Be All You Need", section 3.1; the value is
    the query.
    """

    projections: ClassVar[int] = 2

    def __init__(
        self, dim: int, num_heads: int = 8, *, qkv_bias: bool = False, **others: Any
    ) -> None:
        super().__init__(dim, num_heads, qkv_bias=qkv_bias, **others)
        self.query_weights = nn.Linear(dim, num_heads, **self.placed)
        self.key_weights = nn.Linear(dim, num_heads, **self.placed)
        self.transform = nn.Linear(dim, dim, bias=qkv_bias, **self.placed)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        q, p, _ = self._global_query(x)
        beta = self._global_weights(self.key_weights, p)
        global_key = self._pool(beta, p)  # images x 1 x width
        mixed = self.transform(global_key * q) + q  # images x tokens x width
        return mixed.unflatten(-1, (self.num_heads, self.head_dim))

    def read(self, x: torch.Tensor) -> list[Reading]:
        _, p, alpha = self._global_query(x)
        beta = self._global_weights(self.key_weights, p)
        axes = ("image", "head", "token")
        return [
            Reading("query weights", alpha, axes, True),
            Reading("key weights", beta, axes, True),
        ]

    def _global_query(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """q and p (images x tokens x width), and the weights of the global query."""
        q, k = self.qkv(x).chunk(2, dim=-1)
        alpha = self._global_weights(self.query_weights, q)
        global_query = self._pool(alpha, q)  # images x 1 x width
        return q, global_query * k, alpha

    def _global_weights(self, layer: nn.Linear, tokens: torch.Tensor) -> torch.Tensor:
        """One weight a token and head: images x heads x tokens, sums of one."""
        logits = layer(tokens).transpose(1, 2) / math.sqrt(self.head_dim)
        return logits.softmax(dim=-1)

    def _pool(self, weights: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        """The weighted sum of the tokens, head by head: images x 1 x width."""
        # images x heads x tokens x head width
        by_head = tokens.unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
        pooled = weights.unsqueeze(2) @ by_head  # images x heads x 1 x head width
        return pooled.transpose(1, 2).flatten(2)


class CrossCovarianceAttention(EfficientAttention):
    """XCA: attention between channels, v A^T with A = softmax(q^T k * tau), d x d.

    q and k are of unit length over the tokens, tau is learned by head.

    El-Nouby et al. 2021, "XCiT: Cross-Covariance Image Transformers", section 3.2. It mixes
    channels, not tokens.
    """

    def __init__(self, dim: int, num_heads: int = 8, **others: Any) -> None:
        super().__init__(dim, num_heads, **others)
        self.temperature = nn.Parameter(torch.ones(num_heads, 1, 1, **self.placed))

    def channel_weights(self, q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
        """A: images x heads x d x d, rows sum to one."""
        logits = unit_length(q).transpose(-2, -1) @ unit_length(k) * self.temperature
        return logits.softmax(dim=-1)

    def mix(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.heads(x)
        mixed = self.channel_weights(q, k) @ v.transpose(-2, -1)  # images x heads x d x tokens
        return mixed.permute(0, 3, 1, 2)

    def read(self, x: torch.Tensor) -> list[Reading]:
        q, k, _ = self.heads(x)
        axes = ("image", "head", "channel", "channel")
        return [Reading("channel weights", self.channel_weights(q, k), axes, True)]


def unit_length(x: torch.Tensor) -> torch.Tensor:
    """``x`` (images x heads x tokens x channels) scaled to length 1 over the tokens.

    The norm is taken in fp32.
    """
    return F.normalize(x.float(), dim=-2, eps=SMALLEST_NORM).to(x.dtype)


LAYERS: dict[str, type[EfficientAttention]] = {
    "linformer": LinformerAttention,
    "linformer-shared": SharedLinformerAttention,
    "performer": PerformerAttention,
    "fastformer": FastformerAttention,
    "xca": CrossCovarianceAttention,
}


def attention_layer(name: str, tokens: int, rank: int | None = None) -> type[EfficientAttention]:
    """The layer called ``name`` as the class that ``VisionTransformer(attn_layer=...)`` takes.

    ``rank`` is that of Linformer's projections and the number of Performer's features; the others
    have none.
    """
    layer = LAYERS[name]
    projects_tokens = issubclass(layer, LinformerAttention)
    if rank is not None and not projects_tokens and layer is not PerformerAttention:
        raise ValueError(f"{name} has no rank")
    settings: dict[str, int] = {}
    if projects_tokens:
        settings["tokens"] = tokens
        if rank is not None:
            settings["rank"] = rank
    elif rank is not None:
        settings["features"] = rank

    class Configured(layer):  # type: ignore[valid-type, misc]
        def __init__(self, *args: Any, **given: Any) -> None:
            super().__init__(*args, **settings, **given)

    Configured.__name__ = Configured.__qualname__ = layer.__name__
    return Configured
