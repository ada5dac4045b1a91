"""vLLM's paged cache and the batch that its attention layers read from the forward context, for calls one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.signature import Module
from fk_overlay.engines import sequences
from fk_overlay.engines.sequences import Step
from fk_overlay.engines.vllm.model_config import cache_of
from fk_overlay.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor


class VllmPages:
    """See :class:`fk_overlay.engines.workbench.Pages`. Block 0 stays free, as in the engine.

    Args:
        step: the largest call, which says how many blocks are needed.
    """

    def __init__(self, module: Any, recipe: Module, step: Step) -> None:
        import torch
        from vllm.config import get_current_vllm_config

        self._config = get_current_vllm_config()
        self._layers = {part.layer_name: part for part in module.modules() if hasattr(part, "layer_name")}
        layer = next(iter(self._layers.values()))
        if len({each.attn_backend for each in self._layers.values()}) > 1:
            raise EngineError(f"the layers of {recipe.type} have several attention backends; use fk-overlay run")
        cache = cache_of(recipe)
        self._device = next(module.parameters()).device
        self._tokens = cache.shape[2]
        self._blocks = [-(-span.end // self._tokens) for span in step]
        shape = (1 + sum(self._blocks), *cache.shape[1:])
        for each in self._layers.values():
            memory = torch.empty_strided(shape, cache.stride, dtype=getattr(torch, cache.dtype), device=self._device)
            each.kv_cache = memory.zero_()
        spec = layer.get_kv_cache_spec(self._config)
        builder = layer.attn_backend.get_builder_cls()
        self._builder = builder(spec, list(self._layers), self._config, self._device)
        self.renew(0)

    def renew(self, seed: int) -> None:
        import torch

        order = 1 + torch.randperm(sum(self._blocks), generator=torch.Generator().manual_seed(seed))
        self._table = torch.nn.utils.rnn.pad_sequence(order.split(self._blocks), batch_first=True).to(torch.int32)

    @contextmanager
    def at(self, step: Step) -> Iterator[None]:
        from vllm.forward_context import set_forward_context

        slots = self._slots(step).to(self._device)
        metadata = dict.fromkeys(self._layers, self._builder.build(0, self._common(step, slots)))
        places, count = dict.fromkeys(self._layers, slots), sequences.rows(step)
        with set_forward_context(metadata, self._config, num_tokens=count, slot_mapping=places):
            yield

    def _slots(self, step: Step) -> Tensor:
        import torch

        found = []
        for span in step:
            token = torch.arange(span.begin, span.end)
            block = self._table[span.sequence, token // self._tokens].long()
            found.append(block * self._tokens + token % self._tokens)
        return torch.cat(found)

    def _common(self, step: Step, slots: Tensor) -> Any:
        import torch
        from vllm.v1.attention.backend import CommonAttentionMetadata

        rows = torch.tensor([span.rows for span in step], dtype=torch.int32)
        starts = torch.nn.functional.pad(rows.cumsum(0, dtype=torch.int32), (1, 0))
        ends = torch.tensor([span.end for span in step], dtype=torch.int32)
        known = {field.name for field in fields(CommonAttentionMetadata)}
        later = {"seq_lens_cpu_upper_bound": ends, "is_prefilling": rows > 1}  # not in every release
        return CommonAttentionMetadata(
            query_start_loc=starts.to(self._device),
            query_start_loc_cpu=starts,
            seq_lens=ends.to(self._device),
            num_reqs=len(step),
            num_actual_tokens=int(starts[-1]),
            max_query_len=int(rows.max()),
            max_seq_len=int(ends.max()),
            block_table_tensor=self._table[[span.sequence for span in step]].to(self._device),
            slot_mapping=slots,
            **{name: value for name, value in later.items() if name in known},
        )
