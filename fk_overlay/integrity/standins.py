"""Stand-ins for an engine's layers, with the attribute names that vLLM uses, for the samples of oracles."""

from __future__ import annotations

from types import SimpleNamespace

from fk_overlay.integrity.draw import Draw

HEAD_SIZE = 16


def linear(draw: Draw, inputs: int, outputs: int, *, bias: bool = False) -> SimpleNamespace:
    """A linear layer: weight [outputs, inputs] that keeps the scale of its input, bias [outputs] or None."""
    weight = draw.normal(outputs, inputs, scale=inputs**-0.5)
    return SimpleNamespace(weight=weight, bias=draw.normal(outputs, scale=0.5) if bias else None)


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
        gate_up_proj=linear(draw, hidden, 2 * inner, bias=bias), down_proj=linear(draw, inner, hidden, bias=bias)
    )


def llama_attention(draw: Draw, hidden: int, heads: int, kv_heads: int, *, bias: bool = False) -> SimpleNamespace:
    """Heads of 16 elements; weights twice as large as usual, so that scores are far from uniform."""
    q_size, kv_size = heads * HEAD_SIZE, kv_heads * HEAD_SIZE
    qkv = linear(draw, hidden, q_size + 2 * kv_size, bias=bias)
    qkv.weight[: q_size + kv_size] *= 2
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
