"""The configuration of a Llama of which one part was recorded: engines name its parts and attributes alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.signature import Module
from fk_overlay.errors import EngineError

if TYPE_CHECKING:
    from transformers import LlamaConfig

MODEL = "LlamaForCausalLM"
CLASS = "transformers.models.llama.configuration_llama:LlamaConfig"
ATTENTION, LAYER = "models.llama:LlamaAttention", "models.llama:LlamaDecoderLayer"
ROTARY: Mapping[str, Mapping[str, Any]] = {
    "RotaryEmbedding": {"rope_type": "default"},
    "Llama3RotaryEmbedding": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
"""What makes an engine choose each class. The figures do not matter: the recorded table of angles takes its place."""


def attention_of(recipe: Module) -> str | None:
    """Dotted path of the recipe's first Llama attention with a dot at its end, empty if it is one; None if there is
    none."""
    if recipe.type.endswith(ATTENTION):
        return ""
    return next((f"{path}." for path, kind in recipe.parts.items() if kind.endswith(ATTENTION)), None)


def llama_config(recipe: Module) -> LlamaConfig:
    """Sizes are those of one rank, whatever the model was divided into.

    Raises:
        EngineError: there is no Llama attention in it, or one with a rotary embedding of another kind.
    """
    from transformers import LlamaConfig

    way = attention_of(recipe)
    rotary = recipe.parts.get(f"{way}rotary_emb", "").rpartition(":")[2]
    if way is None or rotary not in ROTARY:
        raise EngineError(f"{recipe.type} with the rotary embedding {rotary!r} is not rebuilt; use fk-overlay run")
    above = way.removesuffix("self_attn.")
    own, shapes = recipe.attributes, {each.name: each.shape for each in recipe.tensors}
    return LlamaConfig(
        architectures=[MODEL],
        hidden_size=own[f"{way}hidden_size"],
        num_attention_heads=own[f"{way}num_heads"],
        num_key_value_heads=own[f"{way}num_kv_heads"],
        head_dim=own[f"{way}head_dim"],
        max_position_embeddings=own[f"{way}max_position_embeddings"],
        rope_parameters={"rope_theta": 10000.0, **ROTARY[rotary]},
        attention_bias=f"{way}qkv_proj.bias" in shapes,
        mlp_bias=f"{above}mlp.gate_up_proj.bias" in shapes,
        intermediate_size=shapes.get(f"{above}mlp.down_proj.weight", (0, 1))[1],
        rms_norm_eps=own.get(f"{above}input_layernorm.variance_epsilon", 1e-6),
        vocab_size=shapes.get("lm_head.weight", shapes.get("model.embed_tokens.weight", (1,)))[0],
        num_hidden_layers=max(1, sum(kind.endswith(LAYER) for kind in recipe.parts.values())),
        tie_word_embeddings="lm_head.weight" not in shapes,
    )
