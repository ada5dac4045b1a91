"""vLLM's Llama with a forward of its own that does the same."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from vllm.model_executor.models.llama import LlamaForCausalLM


class Llama(LlamaForCausalLM):
    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
    ) -> Any:
        return self.model(input_ids, positions, intermediate_tensors, inputs_embeds)
