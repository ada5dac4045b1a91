"""Oracle of ``topk_topp_sampling``: top-k, then nucleus (arXiv:1904.09751), as a mask on logits.

Kept are the k largest logits of a row (all that equal the k-th), and of those the smallest set of largest probabilities
whose sum reaches p, at least one. Equal logits at the edge of the nucleus may be kept or not; the samples have none.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs
from fk_overlay.integrity.draw import Draw

INFINITE = True
DRAWN = ("sglang",)
SMALL = 1e-4
"""A probability beside which rounding may matter."""


def reference(module: None, logits: Tensor, k: Tensor | None, p: Tensor | None) -> Tensor:
    """logits: [rows, vocabulary]; k: [rows] of int, or None; p: [rows] of float, or None -> masked logits.

    ``module`` is None: the target is a function.
    """
    ordered, order = logits.sort(dim=-1, descending=True)
    if k is not None:
        threshold = ordered.gather(1, k.long().unsqueeze(1) - 1)
        ordered = ordered.masked_fill(ordered < threshold, float("-inf"))
    if p is not None:
        probabilities = ordered.softmax(dim=-1)
        before = probabilities.cumsum(dim=-1) - probabilities
        share = p.to(logits.dtype).unsqueeze(1)
        outside = (before >= share) & (share < 1)
        outside[:, 0] = False
        ordered = ordered.masked_fill(outside, float("-inf"))
    return ordered.new_empty(ordered.shape).scatter_(1, order, ordered)


def sglang(
    module: None,
    probs: Tensor,
    top_ks: Tensor,
    top_ps: Tensor,
    min_ps: Tensor,
    need_min_p_sampling: bool,
    sampling_seed: Tensor | None,
    positions: Tensor,
) -> Case:
    """probs: [rows, vocabulary]; top_ks, top_ps, min_ps: [rows]. A token is drawn from what is left.

    The nucleus is that of all tokens, not of the top k alone, and may exceed p by nothing: a token whose likelier ones
    sum to p is in. Both filters keep so many of the likeliest, so the smaller number of them is the k of the oracle.

    Raises:
        ValueError: a seed decides the draw, or min-p filters too.
    """
    if sampling_seed is not None:
        raise ValueError("a request's seed decides the draw; send requests without seeds")
    if need_min_p_sampling:
        raise ValueError("min-p is not judged; send requests without it")
    ordered, _ = probs.double().sort(dim=-1, descending=True)
    nucleus = (ordered.cumsum(dim=-1) - ordered <= top_ps.double().unsqueeze(1)).sum(dim=-1)
    kept = nucleus.minimum(top_ks.clamp(max=probs.shape[-1])).int()
    return Case(None, (probs.double().log(), kept, None))


def fresh(module: None, arguments: Mapping[str, Any], seed: int) -> dict[str, Tensor]:
    """Half of the rows are captured ones in another order, sharper or flatter; half are normal: a model that is sure of
    its tokens leaves nothing to draw. Each p lies where no rounding decides.

    Drawn where the arguments lie: a batch of logits has tens of millions.
    """
    masks = "logits" in arguments
    values, k_name, p_name = ("logits", "k", "p") if masks else ("probs", "top_ks", "top_ps")
    scores = arguments[values] if masks else arguments[values].log()
    generator = torch.Generator(scores.device).manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, device=scores.device)

    order = torch.randperm(len(scores), generator=generator, device=scores.device)
    power, wide = uniform(len(scores), 1) + 0.5, uniform(len(scores), 1) < 0.5
    normal = torch.randn(scores.shape, generator=generator, device=scores.device)
    captured = scores.float()[order]
    drawn = torch.where(wide, (2 * power * normal).masked_fill(captured.isinf(), -torch.inf), power * captured)
    drawn = (drawn + 0.001 * normal).to(scores.dtype)  # no two alike
    filters = {name: arguments[name][order] for name in (k_name, p_name) if arguments[name] is not None}
    if p_name in filters:
        filtered = reference(None, drawn.double(), filters.get(k_name), None) if masks else drawn.double()
        p = filters[p_name]
        filters[p_name] = torch.where(p < 1, _between(filtered, uniform(len(scores))).to(p), p)
    return {values: drawn if masks else drawn.softmax(dim=-1), **filters}


def _between(logits: Tensor, where: Tensor) -> Tensor:
    """For each row a sum of its largest probabilities and half of the next one, which is no small one; ``where`` from 0
    to 1 says which."""
    chances = logits.softmax(dim=-1)
    chances = chances.topk(min(int(1 / SMALL), chances.shape[-1])).values  # more cannot be above it
    last = (where * (chances > SMALL).sum(dim=-1)).long().unsqueeze(1)
    return (chances.cumsum(dim=-1) - chances / 2).gather(1, last).squeeze(1)


def cost(module: None, logits: Tensor, k: Tensor | None, p: Tensor | None) -> Cost:
    """Logits are read and written; exponential, sum, division and comparison of every one."""
    return Cost(costs.size(logits, k, p), costs.size(logits), 4 * logits.numel())


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Either filter, both, switched off in some rows, one row, k of one, tokens that a grammar has masked already."""
    draw = Draw(seed, dtype, device)
    k = (draw.integers(30, 9) + 1).int()
    p = draw.uniform(9, low=0.2, high=0.95)
    p[2] = 1
    yield Case(None, (draw.normal(9, 97, scale=2.0), k, p))
    yield Case(None, (draw.normal(9, 131, scale=2.0), k, None))
    yield Case(None, (draw.normal(9, 64, scale=2.0), None, p))
    yield Case(None, (draw.normal(1, 50, scale=2.0), k[:1], p[:1]))
    off = k.clone()
    off[::2] = 97
    off[1] = 1
    yield Case(None, (draw.normal(9, 97, scale=2.0), off, p))
    masked = draw.normal(9, 97, scale=2.0)
    masked[:, ::3] = float("-inf")
    yield Case(None, (masked, k, p))
