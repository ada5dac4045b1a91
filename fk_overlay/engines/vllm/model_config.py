"""vLLM's configuration of a Llama of which one part was recorded, as far as that part and its attention ask for it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.signature import Argument, Module
from fk_overlay.errors import EngineError

if TYPE_CHECKING:
    from transformers import LlamaConfig

MODELS = "vllm.model_executor.models.llama:"
MODEL = "LlamaForCausalLM"
ATTENTION = f"{MODELS}LlamaAttention"
CACHE = "attn.kv_cache"
ROTARY: Mapping[str, Mapping[str, Any]] = {
    "vllm.model_executor.layers.rotary_embedding.base:RotaryEmbedding": {"rope_type": "default"},
    "vllm.model_executor.layers.rotary_embedding.llama3_rope:Llama3RotaryEmbedding": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}
"""What makes vLLM choose each class. The figures do not matter: the recorded table of angles is put in its place."""


def attention_of(recipe: Module) -> str | None:
    """Dotted path of the recipe's first Llama attention with a dot at its end, empty if it is one; None if there is
    none."""
    if recipe.type == ATTENTION:
        return ""
    return next((f"{path}." for path, kind in recipe.parts.items() if kind == ATTENTION), None)


def cache_of(recipe: Module) -> Argument:
    """The cache of the first attention as it was when the model served: [blocks, kv_heads, tokens a block, 2 *
    head_size].

    Raises:
        EngineError: it has another layout.
    """
    found = next((each for each in recipe.held if each.name.endswith(CACHE)), None)
    heads = recipe.attributes.get(f"{attention_of(recipe)}num_kv_heads")
    if found is None or len(found.shape) != 4 or found.shape[1] != heads or found.stride[0] < max(found.stride):
        raise EngineError(
            f"the cache of {recipe.type} is {found.shape if found else 'not recorded'}, not [blocks, heads, tokens, "
            "values]; judge it with fk-overlay run"
        )
    return found


def set_model(recipe: Module) -> None:
    """Let vLLM's current configuration be that of a model with this part and of a cache with the recorded blocks.

    Raises:
        EngineError: the configuration cannot be told from the part.
    """
    from vllm.config import ModelConfig, get_current_vllm_config
    from vllm.model_executor.models.registry import ModelRegistry

    model = _registered()
    ModelRegistry.register_model(MODEL, model)  # as a class and not by name: vLLM needs no process to inspect it
    config = get_current_vllm_config()
    with tempfile.TemporaryDirectory() as folder:
        llama_config(recipe).save_pretrained(folder)
        config.model_config = ModelConfig(model=folder, skip_tokenizer_init=True, dtype=cache_of(recipe).dtype)
    config.cache_config.block_size = cache_of(recipe).shape[2]


def served(recipe: Module) -> Module:
    """The recipe of a whole model with the class that is registered for its architecture now: a patch's, perhaps."""
    if recipe.type != f"{MODELS}{MODEL}":
        return recipe
    model = _registered()
    place = f"{model.__module__}:{model.__qualname__}"
    return replace(recipe, type=place, constructor=place)


def llama_config(recipe: Module) -> LlamaConfig:
    """Sizes are those of one rank, whatever the model was divided into."""
    from transformers import LlamaConfig

    way = attention_of(recipe)
    assert way is not None
    above = way.removesuffix("self_attn.")
    own, shapes = recipe.attributes, {each.name: each.shape for each in recipe.tensors}
    rotary = recipe.parts.get(f"{way}rotary_emb", "")
    if rotary not in ROTARY:
        raise EngineError(f"{recipe.type} has the rotary embedding {rotary}, which is not rebuilt; use fk-overlay run")
    layers = sum(kind == f"{MODELS}LlamaDecoderLayer" for kind in recipe.parts.values())
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
        num_hidden_layers=max(1, layers),
        tie_word_embeddings="lm_head.weight" not in shapes,
    )


def _registered() -> Any:
    from vllm.model_executor.models.registry import ModelRegistry

    return ModelRegistry.models[MODEL].load_model_cls()
