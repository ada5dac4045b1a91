"""vLLM's fused experts with one kernel less: the first product activates what it writes. For many tokens both products
take their weights by bulk copies; for few the second stays the engine's own. Sorting and sum are the engine's, or those
of whatever pack has taken their place."""

from __future__ import annotations

from typing import Any

import torch
import triton.language as tl
from torch import Tensor

from .grouped import INTERPRETED, compile_cases, describable, opcheck_cases, tiles_of

__all__ = ["FusedExperts", "compile_cases", "opcheck_cases"]
DTYPES = {torch.bfloat16: tl.bfloat16, torch.float16: tl.float16}
ROWS = 256
"""Rows of an expert from which arithmetic, and not the memory bus, is what its products wait for: each row is one
operation for a byte of bfloat16 weights, and an H100 has 790 TFLOP/s for 3.0 TB/s."""


class FusedExperts:
    """Of vLLM's TritonExperts. Quantised experts, LoRA, biases, clamped and other activations, and expert parallelism
    stay with the engine."""

    @staticmethod
    def supports(
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
    ) -> bool:
        tensors = (hidden_states, w1, w2)
        where = INTERPRETED or all(tensor.is_cuda for tensor in tensors)
        kind = hidden_states.dtype in DTYPES and len({tensor.dtype for tensor in tensors}) == 1
        shape = w1.shape[1] == 2 * w2.shape[2] and all(tensor.stride(-1) == 1 for tensor in tensors)
        plain = activation.value == "silu" and a1q_scale is None and a2_scale is None and expert_map is None
        return where and kind and shape and plain and unquantised(module, hidden_states.dtype)

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
        from vllm.model_executor.layers.fused_moe import fused_moe as engine

        tokens, top_k = topk_ids.shape
        experts, hidden, inner = w2.shape
        config = engine.try_get_optimal_moe_config(w1.size(), w2.size(), top_k, None, tokens)
        sorted_pairs, owners, used = engine._prepare_expert_assignment(topk_ids, config, tokens, top_k, experts, None)
        activated = part(workspace13, tokens * top_k, inner)
        first, second = tiles_of(config, gated=True), tiles_of(config, gated=False)
        busy = tokens * top_k >= ROWS * experts
        described = busy and describable(w1, inner, first) and describable(w2, hidden, second)
        sorting = sorted_pairs, owners, used
        product = torch.ops.fk_h100_moe_fused.grouped
        product(hidden_states, w1, activated, *sorting, None, first, True, described)
        products = part(workspace2, tokens, top_k, hidden)
        if described:
            scale = None if apply_router_weight_on_input else topk_weights
            product(activated, w2, products.view(-1, hidden), *sorting, scale, second, False, True)
        else:
            engine.invoke_fused_moe_triton_kernel(
                activated,
                w2,
                products,
                None,
                None,
                topk_weights,
                sorted_pairs,
                owners,
                used,
                not apply_router_weight_on_input,
                1,
                config,
                compute_type=DTYPES[hidden_states.dtype],
                use_fp8_w8a8=False,
                use_int8_w8a8=False,
                use_int8_w8a16=False,
                use_int4_w4a16=False,
                per_channel_quant=False,
            )
        self.moe_sum(products, output)


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
