"""SGLang's pools of keys and values and the batch that its modules are given, for calls one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fk_overlay.capture.signature import Module
from fk_overlay.engines import sequences
from fk_overlay.engines.sequences import Step
from fk_overlay.errors import EngineError

if TYPE_CHECKING:
    from torch import Tensor


class SglangPages:
    """See :class:`fk_overlay.engines.workbench.Pages`. Slot 0 and request 0 stay free, as in the engine.

    Args:
        step: the largest call, which says how many slots are needed.

    Raises:
        EngineError: the attention backend is another than ``torch_native``; the others ask for a whole engine.
    """

    def __init__(self, module: Any, recipe: Module, step: Step) -> None:
        from sglang.srt.layers.attention.torch_native_backend import TorchNativeAttnBackend
        from sglang.srt.mem_cache.memory_pool import MHATokenToKVPool, ReqToTokenPool
        from sglang.srt.server_args import get_global_server_args

        backend = get_global_server_args().attention_backend
        if backend != "torch_native":
            raise EngineError(f"{recipe.type} needs a running engine for {backend}; judge it with fk-overlay run")
        layers = [part for part in module.modules() if hasattr(part, "tp_k_head_num")]
        weight = next(module.parameters())
        self._device, self._slots = str(weight.device), sum(span.end for span in step)
        pools = {"device": self._device, "enable_memory_saver": False}
        self._requests = ReqToTokenPool(len(step), max(span.end for span in step), **pools)
        cache = MHATokenToKVPool(
            self._slots,
            1,
            dtype=weight.dtype,
            head_num=layers[0].tp_k_head_num,
            head_dim=layers[0].head_dim,
            layer_num=1 + max(layer.layer_id for layer in layers),
            **pools,
        )
        runner = SimpleNamespace(device=self._device, req_to_token_pool=self._requests, token_to_kv_pool=cache)
        self._backend = TorchNativeAttnBackend(runner)
        self._ends = [span.end for span in step]
        self.renew(0)

    def renew(self, seed: int) -> None:
        import torch

        order = 1 + torch.randperm(self._slots, generator=torch.Generator().manual_seed(seed))
        for request, slots in enumerate(order.split(self._ends), start=1):
            self._requests.req_to_token[request, : len(slots)] = slots.to(self._device, torch.int32)

    @contextmanager
    def at(self, step: Step) -> Iterator[Any]:
        from sglang.srt.model_executor.forward_context import ForwardContext, forward_context

        batch = self._batch(step)
        self._backend.init_forward_metadata(batch)
        with forward_context(ForwardContext(attn_backend=self._backend)):
            yield batch

    def _batch(self, step: Step) -> Any:
        """Decoding if every sequence has one token that is not its first, else an extension."""
        import torch
        from sglang.srt.model_executor.forward_batch_info import ForwardBatch, ForwardMode

        rows, begins, ends = ([getattr(span, name) for span in step] for name in ("rows", "begin", "end"))
        decoding = all(span.rows == 1 and span.begin for span in step)
        requests = [1 + span.sequence for span in step]
        slots = [self._requests.req_to_token[1 + span.sequence, span.begin : span.end] for span in step]
        return ForwardBatch(
            forward_mode=ForwardMode.DECODE if decoding else ForwardMode.EXTEND,
            batch_size=len(step),
            input_ids=self._numbers([0] * sum(rows)),
            req_pool_indices=self._numbers(requests),
            seq_lens=self._numbers(ends),
            seq_lens_cpu=torch.tensor(ends),
            seq_lens_sum=sum(ends),
            out_cache_loc=torch.cat(slots).long(),
            positions=self._numbers(sequences.positions(step)),
            num_token_non_padded_cpu=sum(rows),
            **({} if decoding else self._extension(rows, begins)),
        )

    def _extension(self, rows: list[int], begins: list[int]) -> dict[str, Any]:
        import torch

        return {
            "extend_num_tokens": sum(rows),
            "extend_seq_lens": self._numbers(rows, torch.int32),
            "extend_prefix_lens": self._numbers(begins, torch.int32),
            "extend_start_loc": self._numbers([0, *accumulate(rows[:-1])], torch.int32),
            "extend_seq_lens_cpu": rows,
            "extend_prefix_lens_cpu": begins,
        }

    def _numbers(self, values: list[int], dtype: Any = None) -> Tensor:
        import torch

        return torch.tensor(values, dtype=dtype or torch.int64, device=self._device)
