"""Oracle of ``llama`` (arXiv:2302.13971): embedded tokens to normalised hidden states, from which logits are taken.

One sequence, all of it in one prefill, on one rank.
"""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from fk_overlay.core import Case, Cost
from fk_overlay.integrity import costs, llama, standins
from fk_overlay.integrity.draw import Draw


def reference(
    module: Any,
    input_ids: Tensor,
    positions: Tensor,
    intermediate_tensors: Any = None,
    inputs_embeds: Tensor | None = None,
) -> Tensor:
    """input_ids, positions: [tokens]; inputs_embeds: [tokens, hidden], used instead of ids -> hidden [tokens, hidden].

    Raises:
        ValueError: ``intermediate_tensors`` is given; this oracle knows no pipeline stages.
    """
    if intermediate_tensors is not None:
        raise ValueError("this oracle knows whole models only; judge llama with pipeline_parallel_size = 1")
    inner = module.model
    x = inner.embed_tokens.weight[input_ids.long()] if inputs_embeds is None else inputs_embeds
    return llama.model(inner, positions, x)


def sglang(module: Any, *args: Any, **kwargs: Any) -> Case:
    """Raises ValueError: what comes back there is no hidden states."""
    raise ValueError("SGLang's model returns logits, this oracle hidden states; judge it with fk-overlay run")


def cost(
    module: Any,
    input_ids: Tensor,
    positions: Tensor,
    intermediate_tensors: Any = None,
    inputs_embeds: Tensor | None = None,
) -> Cost:
    """Rows of the embedding table and all other weights are read; the last hidden states, keys and values are
    written."""
    inner, tokens = module.model, positions.numel()
    table = inner.embed_tokens.weight
    rows = tokens * table.shape[1] * table.itemsize
    layers = sum((costs.layer(each, tokens) for each in inner.layers), Cost(rows, rows + tokens * kept(module)))
    return layers + costs.norm(tokens * table.shape[1], inner.norm.weight, added=True)


def kept(module: Any) -> int:
    """Keys and values of one token in the caches of all layers, in bytes."""
    return sum(costs.kept(each.self_attn) for each in module.model.layers)


def samples(seed: int, dtype: torch.dtype, device: str = "cpu") -> Iterator[Case]:
    """Two layers; repeated tokens, one token, ready-made embeddings."""
    draw = Draw(seed, dtype, device)

    def model(hidden: int, inner: int, heads: int, kv_heads: int) -> SimpleNamespace:
        return SimpleNamespace(
            model=SimpleNamespace(
                embed_tokens=SimpleNamespace(weight=draw.normal(80, hidden)),
                layers=[standins.llama_layer(draw, hidden, inner, heads, kv_heads) for _ in range(2)],
                norm=standins.rms_norm(draw, hidden),
            )
        )

    positions = draw.shuffled(64).sort().values
    yield Case(model(48, 72, 4, 2), (draw.integers(80, 17), positions[:17]))
    yield Case(model(40, 33, 2, 1), (draw.integers(80, 1), positions[:1]))
    yield Case(model(32, 48, 4, 2), (draw.integers(5, 33), positions[:33]))
    yield Case(model(32, 40, 2, 2), (None, positions[:9]), {"inputs_embeds": draw.normal(9, 32)})
