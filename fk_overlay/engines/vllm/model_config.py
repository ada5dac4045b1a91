"""vLLM's own configuration, set to a Llama of which one part was recorded: its attention layers ask for it."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from typing import Any

from fk_overlay.capture.signature import Argument, Module
from fk_overlay.engines.llama_config import MODEL, attention_of, llama_config
from fk_overlay.errors import EngineError

CACHE = "attn.kv_cache"


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

    ModelRegistry.register_model(MODEL, _registered())  # as a class, not by name: no process has to inspect it
    config, cache = get_current_vllm_config(), cache_of(recipe)
    with tempfile.TemporaryDirectory() as folder:
        llama_config(recipe).save_pretrained(folder)
        config.model_config = ModelConfig(model=folder, skip_tokenizer_init=True, dtype=cache.dtype)
    config.cache_config.block_size = cache.shape[2]


def served(recipe: Module) -> Module:
    """The recipe of a whole model with the class that is registered for its architecture now: a patch's, perhaps."""
    if not recipe.type.endswith(f":{MODEL}"):
        return recipe
    model = _registered()
    place = f"{model.__module__}:{model.__qualname__}"
    return replace(recipe, type=place, constructor=place)


def _registered() -> Any:
    from vllm.model_executor.models.registry import ModelRegistry

    return ModelRegistry.models[MODEL].load_model_cls()
