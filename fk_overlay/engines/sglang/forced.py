"""Forced decode inside SGLang: a request that carries ``fk_forced`` emits these tokens, not the model's choice.

The tokens pass through the ordinary decode path, and their log-probabilities are computed from the model's own logits.
SGLang's custom logit processors are not used: they need a server argument that changes the engine under measurement,
and they act before log-probabilities are taken, so that these would be those of a certain token. Speculative decoding
is not supported; the caller sees that from the tokens that come back.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from fk_overlay.engines.forced_slots import Slots
from fk_overlay.errors import SeamError

ARGUMENT = "fk_forced"
"""Key in ``sampling_params.custom_params`` of a request."""


class Forcing:
    """Fills the slots when a batch is formed, and replaces what was sampled for it. One for each scheduler process."""

    def __init__(self) -> None:
        self._slots: Slots | None = None

    def watch_batches(self, module: ModuleType) -> None:
        """Wrap ``SamplingBatchInfo.from_schedule_batch``, which sees every batch of new requests."""
        info = _class(module, "SamplingBatchInfo", "from_schedule_batch")
        formed = info.from_schedule_batch.__func__

        @functools.wraps(formed)
        def form(cls: type[Any], batch: Any, *args: Any, **kwargs: Any) -> Any:
            self.remember(batch)
            return formed(cls, batch, *args, **kwargs)

        info.from_schedule_batch = classmethod(form)

    def replace_samples(self, module: ModuleType) -> None:
        """Wrap ``ModelRunner.sample``."""
        runner = _class(module, "ModelRunner", "sample")
        sample = runner.sample

        @functools.wraps(sample)
        def replaced(owner: Any, logits_output: Any, forward_batch: Any) -> Any:
            if self._slots is None or getattr(owner, "is_draft_worker", False):
                return sample(owner, logits_output, forward_batch)
            logits = logits_output.next_token_logits
            raw = logits.clone() if forward_batch.return_logprob else None
            chosen = sample(owner, logits_output, forward_batch)
            return self.force(chosen, raw, logits_output, forward_batch)

        runner.sample = replaced

    def remember(self, batch: Any) -> None:
        """Give each request's slot its tokens, and every other slot of the batch none."""
        for request in batch.reqs:
            tokens = (request.sampling_params.custom_params or {}).get(ARGUMENT, ())
            if tokens and self._slots is None:
                self._slots = Slots(batch.req_to_token_pool.req_to_token.shape[0], batch.device)
            if self._slots is not None:
                self._slots.put(request.req_pool_idx, len(request.origin_input_ids), [int(token) for token in tokens])

    def force(self, chosen: Any, raw: Any, logits_output: Any, forward_batch: Any) -> Any:
        """``chosen`` with the forced tokens in place, and their log-probabilities in ``logits_output``.

        Args:
            chosen: [rows], what the sampler chose.
            raw: [rows, vocabulary], the logits before sampling, or None where no log-probability was asked for.
        """
        assert self._slots is not None
        rows = chosen.shape[0]
        decoding = forward_batch.forward_mode.is_decode()
        positions = forward_batch.positions if decoding else forward_batch.seq_lens - 1
        slots = forward_batch.req_pool_indices[:rows]
        tokens = self._slots.replace(chosen, slots, None, positions[:rows])
        if raw is not None and tokens is not chosen:
            logprobs = raw.float().log_softmax(dim=-1)
            logits_output.next_token_logprobs = logprobs.gather(-1, tokens.long().unsqueeze(-1)).squeeze(-1)
        return tokens


def _class(module: ModuleType, name: str, method: str) -> Any:
    found = getattr(module, name, None)
    if not hasattr(found, method):
        raise SeamError(
            f"forced decode does not know this SGLang: {module.__name__} has no {name}.{method}; use a release from "
            "0.5.17 to 0.5.23"
        )
    return found


def support() -> Mapping[str, Callable[[ModuleType], None]]:
    """What to do right after SGLang imported a module, by the module's name: all that forced decode needs."""
    forcing = Forcing()
    return {
        "sglang.srt.sampling.sampling_batch_info": forcing.watch_batches,
        "sglang.srt.model_executor.model_runner": forcing.replace_samples,
    }
