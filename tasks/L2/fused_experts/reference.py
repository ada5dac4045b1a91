"""Oracle of ``fused_experts``: a gated perceptron per expert, summed over a token's experts (arXiv:2401.04088)."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, formulas, standins
from fk_overlay.integrity.draw import Draw

UNUSED = ("output", "workspace13", "workspace2", "expert_tokens_meta", "global_num_experts")


def reference(
    module: Any,
    output: Tensor,
    hidden_states: Tensor,
    w1: Tensor,
    w2: Tensor,
    topk_weights: Tensor,
    topk_ids: Tensor,
    activation: Any,
    global_num_experts: int,
    expert_map: Tensor | None,
    a1q_scale: Tensor | None,
    a2_scale: Tensor | None,
    workspace13: Tensor,
    workspace2: Tensor,
    expert_tokens_meta: Any,
    apply_router_weight_on_input: bool,
) -> Tensor:
    """The new ``output`` [tokens, hidden]; the target itself returns nothing.

    Args:
        hidden_states: [tokens, hidden]; ``w1``: [local experts, 2 inner, hidden], gate first; ``w2``: [local experts,
            hidden, inner]; ``topk_weights``, ``topk_ids``: [tokens, top_k], negative for no expert.
        activation: vLLM's MoEActivation or its value: ``silu``, ``gelu``, ``gelu_tanh``.
        expert_map: [global experts] of local numbers, -1 for another rank's, or None. Such experts add nothing.
        apply_router_weight_on_input: the caller has multiplied by the weights already.

    Raises:
        ValueError: scales are given; this oracle knows no quantisation.
    """
    if a1q_scale is not None or a2_scale is not None:
        raise ValueError("this oracle knows unquantised experts only")
    ids = topk_ids.long()
    local = ids if expert_map is None else expert_map.long()[ids.clamp(min=0)].masked_fill(ids < 0, -1)
    weights = None if apply_router_weight_on_input else topk_weights
    name = getattr(activation, "value", activation)
    return formulas.experts_mlp(hidden_states, w1, w2, weights, local, name)


def sglang(
    module: None,
    hidden_states: Tensor,
    w1: Tensor,
    w2: Tensor,
    topk_output: Any,
    moe_runner_config: Any,
    *more: Any,
    **quantisation: Any,
) -> Case:
    """The routing comes as one tuple of weights, ids and logits; the weights are applied to the experts' results.

    Raises:
        ValueError: biases, quantisation or an activation of more than two halves are asked for, or weights on the
            input, or results that are not summed.
    """
    weights, ids, _ = topk_output
    config = moe_runner_config
    special = (config.gemm1_alpha, config.gemm1_clamp_limit, config.swiglu_limit, config.no_combine)
    if any((*more, *quantisation.values(), *special, config.apply_router_weight_on_input)) or not config.is_gated:
        raise ValueError("this oracle knows plain gated experts only, weighted and summed at the end")
    scale = 1.0 if config.routed_scaling_factor is None else config.routed_scaling_factor
    none, scratch = (None, None), (hidden_states, hidden_states)
    call = (hidden_states, hidden_states, w1, w2, weights * scale, ids, config.activation, w1.shape[0], None)
    return Case(module, (*call, *none, *scratch, None, False))


def cost(
    module: Any,
    output: Tensor,
    hidden_states: Tensor,
    w1: Tensor,
    w2: Tensor,
    topk_weights: Tensor,
    topk_ids: Tensor,
    expert_map: Tensor | None,
    **others: Any,
) -> Cost:
    """Tokens, routes and the weights of the experts that have tokens are read, the output is written."""
    tokens, hidden = hidden_states.shape
    ids = topk_ids.long()
    local = ids if expert_map is None else expert_map.long()[ids.clamp(min=0)].masked_fill(ids < 0, -1)
    moved = Cost(costs.size(hidden_states, topk_weights, topk_ids), costs.size(output))
    return moved + costs.experts(tokens, hidden, w1, w2, local)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Uneven shares, an expert without tokens, one token, all tokens to one expert, experts of another rank, one expert
    per token whose weight the caller has applied."""
    draw = Draw(seed, dtype, device)

    def case(
        ids: Tensor,
        *,
        hidden: int = 24,
        inner: int = 20,
        experts: int = 5,
        activation: str = "silu",
        expert_map: Tensor | None = None,
        applied: bool = False,
    ) -> Case:
        tokens, top_k = ids.shape
        weights = draw.uniform(tokens, top_k, low=0.2, high=1.0).float()
        scratch = draw.normal(tokens * top_k * max(2 * inner, hidden)) * torch.nan
        args = (
            draw.normal(tokens, hidden) * torch.nan,
            draw.normal(tokens, hidden),
            *standins.experts(draw, experts, hidden, inner),
            weights,
            ids.int(),
            SimpleNamespace(value=activation),
            experts if expert_map is None else expert_map.numel(),
            expert_map,
            None,
            None,
            scratch,
            scratch.clone(),
            None,
            applied,
        )
        return Case(SimpleNamespace(), args)

    yield case(draw.integers(4, 17, 2))
    yield case(draw.shuffled(5)[:2].unsqueeze(0), activation="gelu")
    yield case(draw.integers(1, 33, 1) + 3, hidden=40, inner=72)
    ranks = torch.tensor([-1, 0, 1, -1, 2], dtype=torch.int32, device=device)
    yield case(draw.integers(5, 9, 2), experts=3, expert_map=ranks)
    yield case(draw.integers(5, 7, 1), applied=True, activation="gelu_tanh")
