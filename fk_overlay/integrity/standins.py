"""Stand-ins for an engine's layers, with the attribute names that vLLM uses, for the samples of oracles."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from fk_overlay.integrity.draw import Draw

if TYPE_CHECKING:
    from torch import Tensor

HEAD_SIZE = 16


GATED_GAIN = 1.6
"""Brings the product of an activated gate and its partner back to the scale of the input."""


def linear(draw: Draw, inputs: int, outputs: int, *, bias: bool = False, gain: float = 1.0) -> SimpleNamespace:
    """A linear layer: weight [outputs, inputs] that scales its input by ``gain``, bias [outputs] or None."""
    weight = draw.normal(outputs, inputs, scale=gain * inputs**-0.5)
    return SimpleNamespace(weight=weight, bias=draw.normal(outputs, scale=0.25) if bias else None)


def rms_norm(draw: Draw, hidden: int, epsilon: float = 1e-5, *, has_weight: bool = True) -> SimpleNamespace:
    return SimpleNamespace(
        weight=draw.normal(hidden, scale=0.3, mean=1.0),
        has_weight=has_weight,
        variance_epsilon=epsilon,
        variance_size_override=None,
        hidden_size=hidden,
    )


def rotary(
    draw: Draw, head_size: int, positions: int = 64, *, rotary_dim: int | None = None, neox: bool = True
) -> SimpleNamespace:
    """A rotary embedding: its table [positions, rotary_dim] of cosines, then sines, base 10,000."""
    import torch

    size = rotary_dim or head_size
    frequencies = 10_000.0 ** (-torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.outer(torch.arange(positions, dtype=torch.float64), frequencies)
    table = torch.cat((angles.cos(), angles.sin()), dim=-1).to(draw.dtype).to(draw.device)
    return SimpleNamespace(cos_sin_cache=table, head_size=head_size, rotary_dim=size, is_neox_style=neox)


def llama_mlp(draw: Draw, hidden: int, inner: int, *, bias: bool = False) -> SimpleNamespace:
    return SimpleNamespace(
        gate_up_proj=linear(draw, hidden, 2 * inner, bias=bias),
        down_proj=linear(draw, inner, hidden, bias=bias, gain=GATED_GAIN),
    )


def experts(draw: Draw, count: int, hidden: int, inner: int) -> tuple[Tensor, Tensor]:
    """Weights of ``count`` gated experts: [count, 2 inner, hidden] and [count, hidden, inner]."""
    w13 = draw.normal(count, 2 * inner, hidden, scale=hidden**-0.5)
    return w13, draw.normal(count, hidden, inner, scale=GATED_GAIN * inner**-0.5)


def llama_attention(draw: Draw, hidden: int, heads: int, kv_heads: int, *, bias: bool = False) -> SimpleNamespace:
    """Heads of 16 elements; queries and keys of scale 1.5, so that scores are far from uniform."""
    q_size, kv_size = heads * HEAD_SIZE, kv_heads * HEAD_SIZE
    qkv = linear(draw, hidden, q_size + 2 * kv_size, bias=bias)
    qkv.weight[: q_size + kv_size] *= 1.5
    return SimpleNamespace(
        qkv_proj=qkv,
        o_proj=linear(draw, q_size, hidden),
        rotary_emb=rotary(draw, HEAD_SIZE),
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=HEAD_SIZE,
        q_size=q_size,
        kv_size=kv_size,
        scaling=HEAD_SIZE**-0.5,
    )


def llama_layer(draw: Draw, hidden: int, inner: int, heads: int, kv_heads: int) -> SimpleNamespace:
    return SimpleNamespace(
        input_layernorm=rms_norm(draw, hidden),
        self_attn=llama_attention(draw, hidden, heads, kv_heads),
        post_attention_layernorm=rms_norm(draw, hidden),
        mlp=llama_mlp(draw, hidden, inner),
    )
