"""vLLM's fused experts (0.26 to 0.33): the function whose launches ``TritonExperts.apply`` repeats one by one."""

from __future__ import annotations

import os
from collections.abc import Mapping

from torch import Tensor
from vllm.model_executor.layers import fused_moe as package
from vllm.model_executor.layers.fused_moe import fused_moe

from fk_overlay.engines.experts import overriding
from fk_overlay.errors import EngineError

FOLDER = "VLLM_TUNED_CONFIG_FOLDER"


class VllmExperts:
    """See :class:`fk_overlay.engines.experts.ExpertsKernel`."""

    keeps_triton_version = True

    def file_name(self, experts: int, inter: int) -> str:
        name: str = fused_moe.get_config_file_name(experts, inter, None)
        return name

    def baseline(self, w1: Tensor, w2: Tensor, top_k: int, tokens: int) -> Mapping[str, int]:
        """Raises :class:`EngineError` if somebody's own configurations would stand for the engine's."""
        if taken := os.environ.get(FOLDER):
            raise EngineError(f"{FOLDER}={taken} is set; unset it, the baseline is vLLM without tuned files")
        config: Mapping[str, int] = fused_moe.try_get_optimal_moe_config(w1.shape, w2.shape, top_k, None, tokens)
        return config

    def run(
        self, hidden: Tensor, w1: Tensor, w2: Tensor, weights: Tensor, ids: Tensor, config: Mapping[str, int]
    ) -> Tensor:
        with overriding(package, config):
            result: Tensor = fused_moe.fused_experts(hidden, w1, w2, weights, ids)
        return result


EXPERTS = VllmExperts()
