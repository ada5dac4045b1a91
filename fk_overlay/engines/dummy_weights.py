"""Random weights under which a model's output means something.

``load_format=dummy`` of vLLM and SGLang draws every weight from ±0.001: all logits come out equal, and no error in a
kernel can be seen. Here weights have the scale of a freshly initialised GPT-2 (std 0.02, projections back into the
residual stream divided by sqrt(2 * layers); Radford et al. 2019, section 2.3), norms are 1, and the output head is the
input embedding moved by one row: the likeliest token after i is i + 1, with a log-probability that every layer has a
share in.
"""

from __future__ import annotations

import math
from typing import Any

SEED = 20260
STD = 0.02
INTO_RESIDUAL = ("o_proj", "down_proj", "w2_weight", "dense", "c_proj")
TOP_LOGIT = 10.0
"""What the likeliest token's logit is aimed at: near ln(vocabulary), so that its probability is neither 0 nor 1."""


def draw(model: Any) -> None:
    """Fill the floating-point parameters of ``model`` in place, the same way in every process of the same rank."""
    import torch

    layers = max(1, sum(name.endswith("input_layernorm.weight") for name, _ in model.named_parameters()))
    generator: torch.Generator | None = None
    embedding = None
    for name, parameter in model.named_parameters():
        if parameter.is_meta or not parameter.is_floating_point() or parameter.itemsize < 2:
            continue
        if generator is None or generator.device != parameter.device:
            generator = torch.Generator(parameter.device).manual_seed(SEED)
        data = parameter.data
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


def _head_scale(hidden: int) -> float:
    """The final hidden state is normalised and about half of it, by amplitude, is still the token's embedding."""
    return TOP_LOGIT / (0.5 * hidden)
