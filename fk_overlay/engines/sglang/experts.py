"""SGLang's fused experts (0.5.17 to 0.5.23): the function that its Triton runner calls for plain routing."""

from __future__ import annotations

import os
from collections.abc import Mapping

from torch import Tensor

from fk_overlay.engines.experts import overriding
from fk_overlay.engines.sglang import standins
from fk_overlay.errors import EngineError

standins.install()

from sglang.srt import server_args  # noqa: E402  the stand-ins must be there first
from sglang.srt.layers.moe.moe_runner import MoeRunnerConfig  # noqa: E402
from sglang.srt.layers.moe.moe_runner import triton_utils as fused  # noqa: E402
from sglang.srt.layers.moe.topk import StandardTopKOutput  # noqa: E402

FOLDER = "SGLANG_MOE_CONFIG_DIR"


class SglangExperts:
    """See :class:`fk_overlay.engines.experts.ExpertsKernel`. Its kernels ask the process's server arguments for
    switches, so they are set, to their defaults, for a model that is never loaded. It serves in place; out of place it
    would ask for a group of ranks, which a process that only calls kernels has not."""

    keeps_triton_version = False

    def __init__(self) -> None:
        server_args.set_global_server_args_for_scheduler(server_args.ServerArgs(model_path="dummy"))

    def file_name(self, experts: int, inter: int) -> str:
        name: str = fused.get_config_file_name(experts, inter, None)
        return name

    def baseline(self, w1: Tensor, w2: Tensor, top_k: int, tokens: int) -> Mapping[str, int]:
        """Raises :class:`EngineError` if somebody's own configurations would stand for the engine's."""
        if taken := os.environ.get(FOLDER):
            raise EngineError(f"{FOLDER}={taken} is set; unset it, the baseline is SGLang without tuned files")
        config: Mapping[str, int] = fused.try_get_optimal_moe_config(w1.shape, w2.shape, top_k, None, tokens)
        return config

    def run(
        self, hidden: Tensor, w1: Tensor, w2: Tensor, weights: Tensor, ids: Tensor, config: Mapping[str, int]
    ) -> Tensor:
        routed = StandardTopKOutput(weights, ids, weights)
        asked = MoeRunnerConfig(num_experts=w1.shape[0], num_local_experts=w1.shape[0], inplace=True)
        with overriding(fused, config):
            result: Tensor = fused.fused_experts(hidden, w1, w2, routed, asked)
        return result


EXPERTS = SglangExperts()
