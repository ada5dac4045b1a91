"""Oracle of ``moe_topk_routing``: softmax or sigmoid scores, the best ``top_k`` of every token (arXiv:1701.06538).

vLLM returns weights in float32. The oracle computes and returns them in the dtype of the logits. Among equal scores the
lower expert wins; engines differ there, and the samples have no equal scores.
"""

from collections.abc import Iterator, Mapping
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, formulas
from fk_overlay.integrity.draw import Draw

UNUSED = ("hidden_states", "indices_type", "input_ids")


def reference(
    module: Any,
    hidden_states: Tensor,
    router_logits: Tensor,
    indices_type: torch.dtype | None,
    *,
    input_ids: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """hidden_states: [tokens, hidden]; router_logits: [tokens, experts] -> weights and expert ids [tokens, top_k].

    ``module`` has ``top_k``, ``renormalize`` and ``scoring_func``. Ids are of ``indices_type``, int32 for None.
    """
    weights, ids = formulas.route(
        router_logits, module.top_k, renormalize=module.renormalize, scoring=module.scoring_func
    )
    return weights, ids.to(indices_type or torch.int32)


def canonical(case: Case, results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Columns sorted by expert id, since which column an expert stands in is free. SGLang's third result is its
    argument, the logits."""
    weights, ids, *_ = results
    ids, order = ids.sort(dim=-1)
    return weights.gather(1, order), ids


def sglang(module: Any, hidden_states: Tensor, router_logits: Tensor, **asked: Any) -> Case:
    """``module.topk_config`` says how. Raises :class:`ValueError` where it, or the call, asks for more than the best
    ``top_k``."""
    config = module.topk_config
    special = (config.use_grouped_topk, config.num_fused_shared_experts, config.custom_routing_function)
    scaled = config.apply_routed_scaling_factor_on_output
    if any((*special, scaled)) or any(it is not None for it in (config.correction_bias, *asked.values())):
        raise ValueError("this oracle knows plain routing only: no groups, no bias, no shared experts, no padding")
    router = SimpleNamespace(top_k=config.top_k, renormalize=config.renormalize, scoring_func=config.scoring_func)
    return Case(router, (hidden_states, router_logits, None))


def cost(
    module: Any,
    hidden_states: Tensor,
    router_logits: Tensor,
    indices_type: torch.dtype | None,
    *,
    input_ids: Tensor | None = None,
) -> Cost:
    """Logits are read; weights in float32 and ids are written. Exponential, sum and division of every score."""
    chosen = router_logits.shape[0] * module.top_k
    itemsize = 4 if indices_type is None else indices_type.itemsize
    return Cost(costs.size(router_logits), chosen * (4 + itemsize), 3 * router_logits.numel())


def fresh(module: Any, arguments: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """Logits without ties in bfloat16, some experts more popular than others."""
    logits = arguments["router_logits"]
    tokens, experts = logits.shape
    draw = Draw(seed, torch.float64)
    scores = torch.stack([draw.shuffled(experts) for _ in range(tokens)]).double()
    order = (scores + draw.normal(experts, scale=experts / 8)).argsort(dim=-1).argsort(dim=-1)
    gap = min(0.25, 8 / experts)
    return {"router_logits": ((order - experts / 2) * gap).to(logits.device, logits.dtype)}


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Expert counts around a warp, one token, top-1, an expert that always wins; scores that no rounding reorders."""
    draw = Draw(seed, dtype, device)

    def case(tokens: int, experts: int, top_k: int, *, renormalize: bool, gap: float) -> Case:
        router = SimpleNamespace(top_k=top_k, renormalize=renormalize, scoring_func="softmax")
        return Case(router, (draw.normal(tokens, 8), draw.distinct(tokens, experts, gap=gap), None))

    yield case(7, 8, 2, renormalize=True, gap=0.25)
    yield case(1, 33, 4, renormalize=False, gap=0.125)
    yield case(65, 128, 8, renormalize=True, gap=0.0625)
    yield case(5, 16, 1, renormalize=False, gap=0.125)
    skewed = case(9, 8, 2, renormalize=True, gap=0.25)
    skewed.args[1][:, 3] += 8
    yield skewed
