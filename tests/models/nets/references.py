"""Slow, obvious versions of the attention mechanisms, from the papers' formulas: one image, one
head, loops."""

from __future__ import annotations

import math

import torch

Vectors = torch.Tensor
"""tokens x width, or a square map's positions x width."""


def softmax(values: list[torch.Tensor]) -> list[torch.Tensor]:
    largest = max(values)
    powers = [(value - largest).exp() for value in values]
    return [power / sum(powers) for power in powers]


def softmax_attention(q: Vectors, k: Vectors, v: Vectors) -> Vectors:
    """Vaswani et al. 2017: each query takes the mean of the values, weighted by softmax(q k / sqrt
    d)."""
    rows = []
    for query in q:
        weights = softmax([query @ key / math.sqrt(len(query)) for key in k])
        rows.append(sum(weight * value for weight, value in zip(weights, v, strict=True)))
    return torch.stack(rows)


def linformer(q: Vectors, k: Vectors, v: Vectors, e: torch.Tensor, f: torch.Tensor) -> Vectors:
    """Wang et al. 2020, equation 7: softmax attention to E k and F v."""
    keys = torch.stack([sum(e[row, n] * k[n] for n in range(len(k))) for row in range(len(e))])
    values = torch.stack([sum(f[row, n] * v[n] for n in range(len(v))) for row in range(len(f))])
    return softmax_attention(q, keys, values)


def performer(
    q: Vectors, k: Vectors, v: Vectors, w: torch.Tensor, epsilon: float = 1e-4
) -> Vectors:
    """Choromanski et al. 2021: positive random features of q and k; the maximum is over a query's
    features, and over all features of all keys."""
    d = q.shape[1]

    def powers(x: torch.Tensor) -> torch.Tensor:
        scaled = x / d**0.25
        return torch.stack([row @ scaled - scaled @ scaled / 2 for row in w])

    key_powers = [powers(key) for key in k]
    largest_key = max(float((row @ (key / d**0.25)).item()) for row in w for key in k)
    rows = []
    for query in q:
        largest = max(float((row @ (query / d**0.25)).item()) for row in w)
        phi_q = (powers(query) - largest).exp() + epsilon
        phi_k = [(power - largest_key).exp() + epsilon for power in key_powers]
        similarities = [phi_q @ phi for phi in phi_k]
        total = sum(similarities)
        rows.append(
            sum(
                similarity / total * value
                for similarity, value in zip(similarities, v, strict=True)
            )
        )
    return torch.stack(rows)


def cross_covariance(q: Vectors, k: Vectors, v: Vectors, temperature: float) -> Vectors:
    """El-Nouby et al. 2021: channels attend to channels, their q and k scaled to length 1 over the
    tokens."""
    d = q.shape[1]
    unit_q = [q[:, c] / q[:, c].norm() for c in range(d)]
    unit_k = [k[:, c] / k[:, c].norm() for c in range(d)]
    columns = []
    for channel in range(d):
        weights = softmax([unit_q[channel] @ unit_k[other] * temperature for other in range(d)])
        columns.append(sum(weight * v[:, other] for other, weight in enumerate(weights)))
    return torch.stack(columns, dim=1)


def additive_pool(scores: list[torch.Tensor], vectors: Vectors) -> torch.Tensor:
    """The mean of the vectors, weighted by the softmax of their scores."""
    weights = softmax(scores)
    return sum(weight * vector for weight, vector in zip(weights, vectors, strict=True))


def map_attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    height_table: torch.Tensor,
    width_table: torch.Tensor,
) -> torch.Tensor:
    """Bello et al. 2019, equations 2 and 3, on a map: q, k, v are height x width x channels; one
    head.

    The logit of positions (y, x) and (y', x') is q (k + r^W[x' - x] + r^H[y' - y]) / sqrt(d).
    """
    height, width, d = q.shape
    out = torch.zeros(height, width, v.shape[2], dtype=v.dtype)
    for y in range(height):
        for x in range(width):
            logits, values = [], []
            for other_y in range(height):
                for other_x in range(width):
                    relative = (
                        width_table[other_x - x + width - 1]
                        + height_table[other_y - y + height - 1]
                    )
                    logits.append(q[y, x] @ (k[other_y, other_x] + relative) / math.sqrt(d))
                    values.append(v[other_y, other_x])
            out[y, x] = additive_pool(logits, torch.stack(values))
    return out
