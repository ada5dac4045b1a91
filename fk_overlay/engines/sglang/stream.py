"""Reads SGLang's streamed ``/generate``, as disjoint segments (``incremental_streaming_output``)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fk_overlay.engines.http.stream import Stream

Entry = Sequence[Any]
"""Log-probability, token, text."""


class Generation(Stream):
    """See :class:`fk_overlay.engines.http.stream.Stream`; the body is :func:`generate_body`'s."""

    def wanted(self) -> int | None:
        sampling = self._body["sampling_params"]
        return int(sampling["max_new_tokens"]) if sampling.get("ignore_eos") else None

    def _take(self, event: Mapping[str, Any]) -> None:
        said = event["meta_info"]
        self._counted = said["completion_tokens"]
        tokens = event["output_ids"]
        self._arrived(tokens)
        if self._body.get("return_logprob") and tokens:
            for own, highest in zip(said["output_token_logprobs"], said["output_top_logprobs"], strict=True):
                self._ranked(*ranked(own, highest))


def ranked(own: Entry, highest: Sequence[Entry]) -> tuple[float, int, int, float]:
    """Log-probability and rank of the emitted token, the top token, and top minus second log-probability (nats).

    ``highest`` are the highest entries, highest first; one more than their number stands for every rank outside. Of
    equal log-probabilities the emitted token goes first.
    """
    logprob, token = own[0], own[1]
    rank = 1 + sum(entry[0] > logprob for entry in highest)
    return logprob, rank, token if rank == 1 else highest[0][1], highest[0][0] - highest[1][0]
