"""Oracle of ``moe_block``: softmax routing to the best experts (arXiv:2401.04088), with the shared expert of
arXiv:2401.06066 behind a sigmoid gate where a model has one."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, formulas, llama, standins
from fk_overlay.integrity.draw import Draw


def reference(module: Any, hidden_states: Tensor) -> Tensor:
    """hidden_states: [tokens, hidden] -> [tokens, hidden].

    Reads ``module.gate`` and, in ``module.experts.routed_experts``, ``w13_weight`` [experts, 2 inner, hidden],
    ``w2_weight`` [experts, hidden, inner], ``top_k`` and ``renormalize``.
    """
    experts = module.experts.routed_experts
    logits = formulas.linear(hidden_states, module.gate.weight)
    weights, ids = formulas.route(logits, experts.top_k, renormalize=experts.renormalize)
    out = formulas.experts_mlp(hidden_states, experts.w13_weight, experts.w2_weight, weights, ids)
    shared = getattr(module, "shared_expert", None)
    if shared is None:
        return out
    gate = formulas.linear(hidden_states, module.shared_expert_gate.weight).sigmoid()
    return out + gate * llama.mlp(shared, hidden_states)


def sglang(module: Any, hidden_states: Tensor, forward_batch: Any = None) -> Case:
    """Weights are in ``module.experts`` itself, the routing in ``module.topk.topk_config``."""
    experts, config = module.experts, module.topk.topk_config
    weights = {"w13_weight": experts.w13_weight, "w2_weight": experts.w2_weight}
    routed = SimpleNamespace(**weights, top_k=config.top_k, renormalize=config.renormalize)
    block = SimpleNamespace(gate=module.gate, experts=SimpleNamespace(routed_experts=routed))
    return Case(block, (hidden_states,))


def cost(module: Any, hidden_states: Tensor) -> Cost:
    """Tokens, the gate, and the weights of the experts that have tokens are read, the result is written."""
    experts, tokens = module.experts.routed_experts, hidden_states.shape[0]
    logits = formulas.linear(hidden_states, module.gate.weight)
    _, ids = formulas.route(logits, experts.top_k, renormalize=experts.renormalize)
    moved = costs.size(hidden_states)
    found = Cost(moved, moved) + costs.product(tokens, module.gate.weight)
    found += costs.experts(tokens, hidden_states.shape[1], experts.w13_weight, experts.w2_weight, ids)
    shared = getattr(module, "shared_expert", None)
    if shared is None:
        return found
    return found + costs.mlp(shared, tokens) + costs.product(tokens, module.shared_expert_gate.weight)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Eight experts and more, one token, weights not renormalised, one favourite expert, a shared expert.

    The gate reads the leading elements of a token, which are far enough apart that no rounding changes a route.
    """
    draw = Draw(seed, dtype, device)

    def block(experts: int, top_k: int, hidden: int, inner: int, *, renormalize: bool = True) -> SimpleNamespace:
        w13, w2 = standins.experts(draw, experts, hidden, inner)
        routed = SimpleNamespace(w13_weight=w13, w2_weight=w2, top_k=top_k, renormalize=renormalize)
        gate = torch.eye(experts, hidden, dtype=dtype, device=device)
        return SimpleNamespace(gate=SimpleNamespace(weight=gate), experts=SimpleNamespace(routed_experts=routed))

    def tokens(count: int, hidden: int, experts: int) -> Tensor:
        x = draw.normal(count, hidden)
        x[:, :experts] = draw.distinct(count, experts, gap=0.25)
        return x

    yield Case(block(8, 2, 64, 40), (tokens(17, 64, 8),))
    yield Case(block(5, 1, 32, 33), (tokens(1, 32, 5),))
    yield Case(block(16, 4, 96, 24, renormalize=False), (tokens(9, 96, 16),))
    favourite = tokens(33, 32, 8)
    favourite[:, 2] = 1.5
    yield Case(block(8, 2, 32, 24), (favourite,))
    shared = block(8, 2, 32, 24)
    shared.shared_expert = standins.llama_mlp(draw, 32, 40)
    shared.shared_expert_gate = standins.linear(draw, 32, 1)
    yield Case(shared, (tokens(7, 32, 8),))
