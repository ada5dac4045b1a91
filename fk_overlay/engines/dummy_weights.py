"""Random weights under which a model's output means something.

``load_format=dummy`` of vLLM and SGLang draws every weight from ±0.001: all logits come out equal, and no error in a
kernel can be seen. Here weights have the scale of a freshly initialised GPT-2 (std 0.02, projections back into the
residual stream divided by sqrt(2 * layers); Radford et al. 2019, section 2.3), norms are 1, and the output head is the
input embedding moved by one row: the likeliest token after i is i + 1, with a log-probability that every layer has a
share in.

The engines also draw the same on every rank: under tensor parallelism each token then has a twin of the same logit in
every other rank's part of the vocabulary, and parts that change places change nothing. Here a rank's parts are its own.
"""

from __future__ import annotations

import functools
import math
from typing import Any

SEED = 20260
STD = 0.02
INTO_RESIDUAL = ("o_proj", "down_proj", "w2_weight", "dense", "c_proj")
TOP_LOGIT = 10.0
"""What the likeliest token's logit is aimed at: near ln(vocabulary), so that its probability is neither 0 nor 1."""
PARTS = ("tp_size", "ep_size", "moe_tp_size", "moe_ep_size")
"""What modules of vLLM and SGLang, or the ``moe_config`` of their experts, call the number of ranks that share them."""


def draw(model: Any, rank: int = 0) -> None:
    """Fill the floating-point parameters of ``model`` in place, the same way in every process of the same ``rank`` of
    tensor parallelism; those that every rank holds whole, the same way on all."""
    import torch

    @functools.cache
    def generator_of(seed: int, device: torch.device) -> torch.Generator:
        return torch.Generator(device).manual_seed(seed)

    layers = max(1, sum(name.endswith("input_layernorm.weight") for name, _ in model.named_parameters()))
    embedding = None
    for name, parameter in model.named_parameters():
        if parameter.is_meta or not parameter.is_floating_point() or parameter.itemsize < 2:
            continue
        data = parameter.data
        owner = model.get_submodule(name.rpartition(".")[0])
        generator = generator_of(SEED + 1 + rank if shared_out(owner) else SEED, data.device)
        if data.ndim < 2:
            data.fill_(0.0 if name.endswith("bias") else 1.0)
        elif "embed_tokens" in name:
            data.normal_(0.0, 1.0, generator=generator)
            embedding = data
        elif "lm_head" in name and embedding is not None and embedding.shape == data.shape:
            data.copy_(embedding.roll(1, dims=0)).mul_(_head_scale(data.shape[1]))
        else:
            shrink = math.sqrt(2 * layers) if any(part in name for part in INTO_RESIDUAL) else 1.0
            data.normal_(0.0, STD / shrink, generator=generator)


def shared_out(module: Any) -> bool:
    """Whether each rank holds a part of the module's weights. vLLM's replicated layers have a ``tp_size``, too."""
    if any("Replicated" in kind.__name__ for kind in type(module).__mro__):
        return False
    holders = module, getattr(module, "moe_config", None)
    return any((getattr(holder, name, 1) or 1) > 1 for holder in holders for name in PARTS)


def _head_scale(hidden: int) -> float:
    """The final hidden state is normalised and about half of it, by amplitude, is still the token's embedding."""
    return TOP_LOGIT / (0.5 * hidden)
