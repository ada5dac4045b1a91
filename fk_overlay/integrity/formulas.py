"""The formulas that oracles are made of, in plain PyTorch.

Each computes in the dtype of its first argument and casts weights to it, so that the same code is the float64 oracle
and its float32 check, and takes an engine's own bfloat16 weights. Where an engine rounds in between, it says so;
oracles do not imitate that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor | None, epsilon: float, variance_size: int | None = None) -> Tensor:
    """``x / sqrt(mean(x²) + epsilon) * weight`` over the last dimension (Zhang and Sennrich, arXiv:1910.07467).

    vLLM computes in float32, and rounds to the weight's dtype before it multiplies.

    Args:
        x: [..., hidden]; ``weight``: [hidden] or None.
        variance_size: the mean is over this many leading elements only.
    """
    import torch

    squares = x[..., :variance_size].square()
    normal = x * torch.rsqrt(squares.mean(dim=-1, keepdim=True) + epsilon)
    return normal if weight is None else normal * weight.to(x.dtype)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``x @ weight.T + bias``. x: [..., in], weight: [out, in], bias: [out] -> [..., out]."""
    out = x @ weight.to(x.dtype).T
    return out if bias is None else out + bias.to(x.dtype)


def gated(x: Tensor, activation: str = "silu") -> Tensor:
    """``activation(x[..., :d]) * x[..., d:]`` (Shazeer, arXiv:2002.05202). x: [..., 2 d] -> [..., d].

    Args:
        activation: ``silu``, ``gelu`` (exact) or ``gelu_tanh``.
    """
    import torch.nn.functional as F

    gate, up = x.chunk(2, dim=-1)
    if activation == "silu":
        return F.silu(gate) * up
    return F.gelu(gate, approximate="tanh" if activation == "gelu_tanh" else "none") * up


def rotate(x: Tensor, positions: Tensor, cos_sin_cache: Tensor, head_size: int, rotary_dim: int, neox: bool) -> Tensor:
    """Rotary position embedding (Su et al., arXiv:2104.09864) of the first ``rotary_dim`` elements of every head.

    Args:
        x: [tokens, heads * head_size]; ``positions``: [tokens], any order.
        cos_sin_cache: [positions, rotary_dim], cosines in the first half.
        neox: pairs are (i, i + rotary_dim / 2) rather than (2 i, 2 i + 1).
    """
    import torch

    cos, sin = cos_sin_cache[positions.flatten()].to(x.dtype).unsqueeze(1).chunk(2, dim=-1)
    heads = x.reshape(positions.numel(), -1, head_size)
    turned, passed = heads[..., :rotary_dim], heads[..., rotary_dim:]
    first, second = turned.chunk(2, dim=-1) if neox else (turned[..., ::2], turned[..., 1::2])
    pair = (first * cos - second * sin, second * cos + first * sin)
    turned = torch.cat(pair, dim=-1) if neox else torch.stack(pair, dim=-1).flatten(-2)
    return torch.cat((turned, passed), dim=-1).reshape(x.shape)


def causal_attention(q: Tensor, k: Tensor, v: Tensor, heads: int, kv_heads: int, scale: float) -> Tensor:
    """Causal attention of one sequence with grouped queries (Ainslie et al., arXiv:2305.13245).

    Args:
        q: [tokens, heads * head_size]; ``k``, ``v``: [tokens, kv_heads * head_size].
    """
    import torch

    tokens = q.shape[0]
    queries = q.reshape(tokens, kv_heads, heads // kv_heads, -1)
    keys, values = (it.reshape(tokens, kv_heads, -1) for it in (k, v))
    scores = torch.einsum("tkgd,skd->kgts", queries, keys) * scale
    future = torch.ones(tokens, tokens, dtype=torch.bool, device=q.device).triu(1)
    weights = scores.masked_fill(future, -torch.inf).softmax(dim=-1)
    return torch.einsum("kgts,skd->tkgd", weights, values).reshape(q.shape)


def route(logits: Tensor, top_k: int, *, renormalize: bool, scoring: str = "softmax") -> tuple[Tensor, Tensor]:
    """The ``top_k`` experts of every token, best first, the lower number first among equals.

    Args:
        logits: [tokens, experts].
        renormalize: make the weights of a token sum to one.
        scoring: ``softmax`` or ``sigmoid``.

    Returns:
        Weights [tokens, top_k] in the dtype of ``logits`` and experts [tokens, top_k] as int32.
    """
    import torch

    scores = logits.softmax(dim=-1) if scoring == "softmax" else logits.sigmoid()
    weights, experts = scores.sort(dim=-1, descending=True, stable=True)
    weights, experts = weights[:, :top_k], experts[:, :top_k]
    if renormalize:
        weights = weights / weights.sum(dim=-1, keepdim=True)
    return weights, experts.to(torch.int32)


def experts_mlp(
    x: Tensor, w13: Tensor, w2: Tensor, weights: Tensor | None, ids: Tensor, activation: str = "silu"
) -> Tensor:
    """``sum over k of weights[t, k] * w2[e] @ gated(w13[e] @ x[t])`` with e = ids[t, k]; negative ids add nothing.

    Args:
        x: [tokens, hidden]; ``w13``: [experts, 2 inner, hidden], gate first; ``w2``: [experts, hidden, inner].
        weights: [tokens, top_k], or None for ones; ``ids``: [tokens, top_k].
    """
    import torch

    out = torch.zeros_like(x)
    for expert in range(w13.shape[0]):
        token, slot = (ids == expert).nonzero(as_tuple=True)
        one = linear(gated(linear(x[token], w13[expert]), activation), w2[expert])
        scale = 1 if weights is None else weights[token, slot].to(x.dtype).unsqueeze(-1)
        out = out.index_add(0, token, one * scale)
    return out
