"""What calls cannot do without, for the ``cost`` of oracles: bytes that must cross the memory bus once, and arithmetic.

Intermediate values need not leave the processor and do not count. Elementary functions (exponential, square root,
division) count as one operation each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fk_overlay.core import Cost

if TYPE_CHECKING:
    from torch import Tensor


def size(*tensors: Tensor | None) -> int:
    """Bytes of all elements together; None counts nothing."""
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors if tensor is not None)


def product(tokens: int, weight: Tensor, bias: Tensor | None = None) -> Cost:
    """``x @ weight.T + bias`` for ``weight`` [out, in], the weight read once; x and the result are not counted."""
    outputs, inputs = weight.shape
    return Cost(size(weight, bias), 0, 2 * tokens * outputs * inputs + (tokens * outputs if bias is not None else 0))


def norm(elements: int, weight: Tensor | None, *, added: bool = False) -> Cost:
    """RMSNorm of so many elements: square, sum, scale, and where there are such, weight and residual. The weight is
    read, x and residual are not counted."""
    return Cost(size(weight), 0, elements * (3 + (weight is not None) + added))


def gated(elements: int) -> Cost:
    """``silu(gate) * up`` for so many results: exponential, sum, division, product."""
    return Cost(0, 0, 4 * elements)


def mlp(module: Any, tokens: int) -> Cost:
    """Llama's perceptron without what goes in and out."""
    up, down = module.gate_up_proj, module.down_proj
    inner = tokens * down.weight.shape[1]
    return product(tokens, up.weight, up.bias) + gated(inner) + product(tokens, down.weight, down.bias)


def attention(module: Any, tokens: int) -> Cost:
    """Llama's attention of one sequence over itself, without what goes in and out: projections, rotation (three
    operations an element), and for half of all pairs of tokens score, exponential and weighted sum."""
    heads = module.num_heads
    rotated = 3 * tokens * (module.q_size + module.kv_size)
    pairs = tokens * (tokens + 1) // 2
    mixed = Cost(0, 0, rotated + pairs * heads * (4 * module.head_dim + 2))
    projections = (module.qkv_proj, module.o_proj)
    return sum((product(tokens, it.weight, it.bias) for it in projections), mixed)


def kept(module: Any) -> int:
    """Bytes of keys and values that a cache in the weights' dtype holds of one token, for one attention."""
    return int(2 * module.kv_size * module.qkv_proj.weight.itemsize)


def layer(module: Any, tokens: int) -> Cost:
    """A Llama layer, without what goes in and out."""
    elements = tokens * module.mlp.down_proj.weight.shape[0]
    norms = (module.input_layernorm, module.post_attention_layernorm)
    inside = attention(module.self_attn, tokens) + mlp(module.mlp, tokens)
    return sum((norm(elements, it.weight, added=True) for it in norms), inside)


def experts(tokens: int, hidden: int, w13: Tensor, w2: Tensor, ids: Tensor) -> Cost:
    """Gated experts on routed tokens, the weights of every expert that has tokens read once.

    Args:
        ids: [tokens, top_k], negative for no expert.
    """
    routed = ids[ids >= 0]
    used = int(routed.unique().numel())
    inner, pairs = w2.shape[2], routed.numel()
    weights = used * (size(w13) + size(w2)) // max(1, w13.shape[0])
    products = pairs * 2 * hidden * (w13.shape[1] + inner)
    return Cost(weights, 0, products + 4 * pairs * inner + 2 * pairs * hidden)
