"""The Llama formulas on modules with vLLM's attribute names: one sequence, all of it in one prefill, one rank.

Architecture: Touvron et al., arXiv:2302.13971, with the grouped queries of arXiv:2307.09288.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fk_overlay.integrity import formulas

if TYPE_CHECKING:
    from torch import Tensor


def norm(module: Any, x: Tensor) -> Tensor:
    """vLLM's RMSNorm. x: [..., hidden]."""
    weight = module.weight if module.has_weight else None
    return formulas.rms_norm(x, weight, module.variance_epsilon, module.variance_size_override)


def mlp(module: Any, x: Tensor) -> Tensor:
    """``down(silu(gate(x)) * up(x))``. x: [tokens, hidden]."""
    inner = formulas.gated(formulas.linear(x, module.gate_up_proj.weight, module.gate_up_proj.bias))
    return formulas.linear(inner, module.down_proj.weight, module.down_proj.bias)


def attention(module: Any, positions: Tensor, x: Tensor) -> Tensor:
    """Projection, rotary embedding, causal attention over x itself, projection. x: [tokens, hidden]."""
    qkv = formulas.linear(x, module.qkv_proj.weight, module.qkv_proj.bias)
    q, k, v = qkv.split([module.q_size, module.kv_size, module.kv_size], dim=-1)
    rotary = module.rotary_emb
    geometry = (rotary.cos_sin_cache, rotary.head_size, rotary.rotary_dim, rotary.is_neox_style)
    q, k = (formulas.rotate(it, positions, *geometry) for it in (q, k))
    mixed = formulas.causal_attention(q, k, v, module.num_heads, module.num_kv_heads, module.scaling)
    return formulas.linear(mixed, module.o_proj.weight, module.o_proj.bias)


def layer(module: Any, positions: Tensor, x: Tensor, residual: Tensor | None) -> tuple[Tensor, Tensor]:
    """One decoder layer. ``residual`` is None in the first layer, where x itself is the residual.

    Returns:
        The layer's own contribution and the residual stream without it, as vLLM passes them to the next layer.
    """
    residual = x if residual is None else residual + x
    residual = residual + attention(module.self_attn, positions, norm(module.input_layernorm, residual))
    return mlp(module.mlp, norm(module.post_attention_layernorm, residual)), residual


def model(module: Any, positions: Tensor, x: Tensor) -> Tensor:
    """Every layer and the final norm, from embedded tokens x: [tokens, hidden]."""
    contribution, residual = x, None
    for each in module.layers:
        contribution, residual = layer(each, positions, contribution, residual)
    return norm(module.norm, contribution if residual is None else contribution + residual)
