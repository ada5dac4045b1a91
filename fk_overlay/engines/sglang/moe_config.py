"""The configuration of a Qwen3-MoE of which one mixture block was recorded in SGLang."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fk_overlay.capture.signature import Module
from fk_overlay.errors import EngineError

if TYPE_CHECKING:
    from transformers import Qwen3MoeConfig

CLASS = "transformers.models.qwen3_moe.configuration_qwen3_moe:Qwen3MoeConfig"
BLOCK = "models.qwen3_moe:Qwen3MoeSparseMoeBlock"


def qwen3_moe_config(recipe: Module) -> Qwen3MoeConfig:
    """Sizes are those of one rank, whatever the model was divided into.

    Raises:
        EngineError: the recipe is of something else than a mixture block, or was recorded before routing was.
    """
    from transformers import Qwen3MoeConfig

    own, routing = recipe.attributes, "topk.topk_config."
    if not recipe.type.endswith(BLOCK) or f"{routing}top_k" not in own:
        raise EngineError(f"{recipe.type} with a configuration of Qwen3-MoE is not rebuilt; use fk-overlay run")
    return Qwen3MoeConfig(
        hidden_size=own["experts.hidden_size"],
        moe_intermediate_size=own["experts.intermediate_size_per_partition"],
        num_experts=own["experts.num_experts"],
        num_experts_per_tok=own[f"{routing}top_k"],
        norm_topk_prob=own[f"{routing}renormalize"],
    )
