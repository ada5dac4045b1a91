"""vLLM's ``LLM`` behind :mod:`fk_overlay.engines.offline.driver`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fk_overlay.core import Request
from fk_overlay.engines.drawing import drawing
from fk_overlay.engines.offline.driver import drive
from fk_overlay.engines.vllm.forced import ARGUMENT


class LlmDriver:
    """See :class:`fk_overlay.engines.offline.driver.Driver`."""

    def __init__(self, arguments: dict[str, Any]) -> None:
        from vllm import LLM

        self._engine = LLM(disable_log_stats=True, **arguments).llm_engine

    def kv_blocks(self) -> int | None:
        blocks: int | None = self._engine.vllm_config.cache_config.num_gpu_blocks
        return blocks

    def prepare(self, requests: Sequence[Request], concurrency: int) -> Callable[[], Sequence[Any]]:
        pending = [(request, _parameters(request)) for request in requests]
        return lambda: _closed_loop(self._engine, pending, concurrency)

    def output(self, request: Request, final: Any) -> dict[str, Any]:
        completion = final.outputs[0]
        answer: dict[str, Any] = {"tokens": list(completion.token_ids)}
        if completion.logprobs:
            pairs = zip(completion.token_ids, completion.logprobs, strict=True)
            steps = [_step(token, ranked) for token, ranked in pairs]
            for key, values in zip(("logprobs", "ranks", "top1", "margins"), zip(*steps, strict=True), strict=True):
                answer[key] = list(values)
        return answer

    def stop(self) -> None:
        self._engine.engine_core.shutdown()


def _closed_loop(engine: Any, pending: Sequence[tuple[Request, Any]], concurrency: int) -> list[Any]:
    """Keep ``concurrency`` requests in the engine until all are done. Returns the final output of each, in order."""
    waiting = iter(pending)
    finished: dict[int, Any] = {}
    in_flight = 0
    while len(finished) < len(pending):
        while in_flight < concurrency and (item := next(waiting, None)) is not None:
            request, parameters = item
            engine.add_request(str(request.index), {"prompt_token_ids": list(request.prompt)}, parameters)
            in_flight += 1
        for output in engine.step():
            if output.finished:
                finished[int(output.request_id.partition("-")[0])] = output
                in_flight -= 1
    return [finished[request.index] for request, _ in pending]


def _parameters(request: Request) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        **drawing(request),
        max_tokens=request.output_len,
        ignore_eos=True,
        detokenize=False,
        logprobs=request.logprobs or None,
        output_kind=RequestOutputKind.FINAL_ONLY,
        extra_args={ARGUMENT: list(request.forced)} if request.forced else None,
    )


def _step(token: int, ranked: dict[int, Any]) -> tuple[float, int, int, float]:
    """Log-probability and rank of the emitted token, the top token, and top minus second log-probability (nats)."""
    by_rank = {entry.rank: (candidate, entry.logprob) for candidate, entry in ranked.items()}
    top, second = by_rank[1], by_rank.get(2, by_rank[1])
    return ranked[token].logprob, ranked[token].rank, top[0], top[1] - second[1]


def main() -> None:
    drive(LlmDriver)


if __name__ == "__main__":
    main()
