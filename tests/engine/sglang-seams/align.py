"""SGLang's function under a name of the pack's own, which the function seam leaves alone."""

from __future__ import annotations

from typing import Any

from sglang.srt.layers.moe.moe_runner.triton_utils.moe_align_block_size import moe_align_block_size as engine_align


def align(topk_ids: Any, block_size: int, num_experts: int, ignore_invalid_expert: bool = False) -> Any:
    return engine_align(topk_ids, block_size, num_experts, ignore_invalid_expert)
