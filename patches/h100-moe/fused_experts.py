"""vLLM's fused experts with one kernel less: the first product activates what it writes, and both take their tiles from
what was measured on this card. The sum is the engine's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .grouped import compile_cases, describable, opcheck_cases
from .tiles import tiles_for, why_none
from .where import on_device

__all__ = ["FusedExperts", "compile_cases", "opcheck_cases"]
DTYPES = (torch.bfloat16, torch.float16)


class FusedExperts:
    """Of vLLM's TritonExperts. Shapes and numbers of tokens that were not measured, or at which the engine's own
    kernels are as fast, quantised experts, LoRA, biases, clamped and other activations, and expert parallelism stay
    with the engine."""

    @staticmethod
    def supports(module: Any, *args: Any, **kwargs: Any) -> bool:
        return next(_reasons(module, *args, **kwargs), None) is None

    @staticmethod
    def why_not(module: Any, *args: Any, **kwargs: Any) -> str:
        return next(_reasons(module, *args, **kwargs))

    def apply(
        self: Any,
        output: Tensor,
        hidden_states: Tensor,
        w1: Tensor,
        w2: Tensor,
        topk_weights: Tensor,
        topk_ids: Tensor,
        activation: Any,
        global_num_experts: int,
        expert_map: Tensor | None,
        a1q_scale: Tensor | None,
        a2_scale: Tensor | None,
        workspace13: Tensor,
        workspace2: Tensor,
        expert_tokens_meta: Any,
        apply_router_weight_on_input: bool,
    ) -> None:
        from vllm.model_executor.layers.fused_moe import fused_moe

        tokens, top_k = topk_ids.shape
        experts, hidden, inner = w2.shape
        tiles = tiles_for(experts, hidden, inner, top_k, tokens)
        assert tiles is not None, "supports() knows"
        rows = {"BLOCK_SIZE_M": tiles.first.tile[0]}
        sorting = fused_moe._prepare_expert_assignment(topk_ids, rows, tokens, top_k, experts, None)
        described = [
            cut.described and describable(w, n, cut.tile)
            for w, n, cut in ((w1, inner, tiles.first), (w2, hidden, tiles.second))
        ]
        places = 0 if sorting[0] is None else len(sorting[0])
        packed = tiles.packed and described[1] and 0 < places * inner <= workspace13.numel()
        activated = part(workspace13, places if packed else tokens * top_k, inner)
        products = part(workspace2, tokens, top_k, hidden)
        product = torch.ops.fk_h100_moe.grouped
        weigh = None if apply_router_weight_on_input else topk_weights
        cut = tiles.first
        how = described[0], cut.joined, packed, tiles.early, cut.resident
        product(hidden_states, w1, activated, *sorting, None, top_k, list(cut.tile), True, *how)
        cut = tiles.second
        how = described[1], cut.joined, packed, tiles.early, cut.resident
        product(activated, w2, products.view(-1, hidden), *sorting, weigh, 1, list(cut.tile), False, *how)
        self.moe_sum(products, output)


def _reasons(
    module: Any,
    output: Tensor,
    hidden_states: Tensor,
    w1: Tensor,
    w2: Tensor,
    topk_weights: Tensor,
    topk_ids: Tensor,
    activation: Any,
    global_num_experts: int,
    expert_map: Tensor | None,
    a1q_scale: Tensor | None,
    a2_scale: Tensor | None,
    *scratch: Any,
    **more: Any,
) -> Iterator[str]:
    """Why a call is the engine's. What is asked later may take what was asked before for granted."""
    tensors = (hidden_states, w1, w2)
    kinds = {tensor.dtype for tensor in tensors}
    if not on_device(*tensors):
        yield "they are not on a GPU"
    if len(kinds) > 1 or hidden_states.dtype not in DTYPES:
        yield f"their dtypes are {', '.join(sorted(map(str, kinds)))}"
    if w1.shape[1] != 2 * w2.shape[2] or any(tensor.stride(-1) != 1 for tensor in tensors):
        yield "their weights are not gate and up projection in one, row by row"
    if activation.value != "silu":
        yield f"their activation is {activation.value}"
    if expert_map is not None:
        yield "they are spread over ranks"
    if a1q_scale is not None or a2_scale is not None or not unquantised(module, hidden_states.dtype):
        yield "they are quantised, have adapters or a bias, or a clamped activation"
    if tiles_for(*w2.shape, topk_ids.shape[1], len(hidden_states)) is None:
        yield why_none(*w2.shape, topk_ids.shape[1])


def unquantised(module: Any, dtype: torch.dtype) -> bool:
    """Whether the layer has plain weights: no scales, no adapters, no bias, no clamp. The clamp is kept with the
    activation since 0.30, with the quantisation before that."""
    quantisation = module.quant_config
    held = getattr(module, "activation_config", None)
    limit = held.clamp_limit if held is not None else quantisation.gemm1_clamp_limit
    plain = quantisation.config_name(dtype) is None and quantisation.quant_dtype is None
    return plain and limit is None and module.w1_bias is None and module._lora_context is None


def part(workspace: Tensor, *shape: int) -> Tensor:
    """The beginning of a workspace, in another shape."""
    size = torch.Size(shape).numel()
    return workspace.flatten()[:size].view(shape)
