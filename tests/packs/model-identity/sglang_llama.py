"""SGLang's Llama with a forward of its own that does the same on the last pipeline rank."""

from __future__ import annotations

from typing import Any

from sglang.srt.models.llama import LlamaForCausalLM
from torch import Tensor


class Llama(LlamaForCausalLM):
    def forward(
        self,
        input_ids: Tensor,
        positions: Tensor,
        forward_batch: Any,
        input_embeds: Tensor | None = None,
        get_embedding: bool = False,
        pp_proxy_tensors: Any = None,
    ) -> Any:
        hidden = self.model(input_ids, positions, forward_batch, input_embeds, pp_proxy_tensors=pp_proxy_tensors)
        return self.logits_processor(input_ids, hidden, self.lm_head, forward_batch)
