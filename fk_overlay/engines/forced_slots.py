"""The tokens that running requests are forced to emit, kept where an engine samples: on the device, by request slot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Slots:
    """The forced tokens of every request slot, on the device.

    Every write is queued on the current stream, as the sampler's own are: a step still in flight reads the slot's
    former request, even when the slot was given away meanwhile.
    """

    def __init__(self, slots: int, device: Any) -> None:
        import numpy
        import torch

        self._device = torch.device(device)
        self._live = numpy.zeros(slots, dtype=bool)
        self._prompt_len = torch.zeros(slots, dtype=torch.int64, device=device)
        self._length = torch.zeros(slots, dtype=torch.int64, device=device)
        self._tokens = torch.zeros((slots, 1), dtype=torch.int64, device=device)

    def put(self, slot: int, prompt_len: int, tokens: Sequence[int]) -> None:
        """A new request took ``slot``. No tokens: it is free."""
        if self._live[slot]:
            self._length[slot] = 0
        self._live[slot] = bool(tokens)
        if tokens:
            self._widen(len(tokens))
            self._tokens[slot, : len(tokens)].copy_(self._upload(tokens), non_blocking=True)
            self._prompt_len[slot] = prompt_len
            self._length[slot] = len(tokens)

    def replace(self, sampled: Any, slots: Any, slots_on_host: Any, positions: Any) -> Any:
        """``sampled`` with the forced tokens in place. No host synchronisation; no work when no row is forced.

        A row's logits belong to the token after ``positions``: the prompt's last position yields output token 0, and
        positions before it (chunked prefill) yield tokens that the engine throws away.

        Args:
            sampled: int64 [rows], the engine's choice.
            slots: [rows], the slot of each row.
            slots_on_host: numpy [requests], the slots in this batch; None where the engine keeps them on the device.
            positions: int64 [rows], position of the token that was fed.
        """
        if not self._live[... if slots_on_host is None else slots_on_host].any():
            return sampled
        import torch

        row = slots.long()
        step = positions - self._prompt_len[row] + 1
        within = (step >= 0) & (step < self._length[row])
        forced = self._tokens[row, step.clamp(0, self._tokens.shape[1] - 1)]
        return torch.where(within, forced.to(sampled.dtype), sampled)

    def _widen(self, width: int) -> None:
        import torch

        missing = width - self._tokens.shape[1]
        if missing > 0:
            self._tokens = torch.nn.functional.pad(self._tokens, (0, missing))

    def _upload(self, tokens: Sequence[int]) -> Any:
        import torch

        return torch.tensor(tokens, dtype=torch.int64, pin_memory=self._device.type == "cuda")
