"""The process behind :mod:`fk_overlay.engines.vllm.offline`: builds the ``LLM``, runs what it is told, answers by
line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from typing import IO, Any

from fk_overlay.engines.processes import die_with_parent
from fk_overlay.engines.vllm.forced import ARGUMENT


def main() -> None:
    die_with_parent()
    answers = _own_stdout()
    orders = (json.loads(line) for line in sys.stdin)
    llm = _build(next(orders)["arguments"])
    _answer(answers, kv_blocks=llm.llm_engine.vllm_config.cache_config.num_gpu_blocks)
    for order in orders:
        _pass(llm, order, orders, answers)
    llm.llm_engine.engine_core.shutdown()


def _own_stdout() -> IO[str]:
    """The pipe for answers; what the engine prints goes to the log instead."""
    pipe = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return pipe


def _answer(answers: IO[str], **message: Any) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _build(arguments: dict[str, Any]) -> Any:
    from vllm import LLM

    return LLM(disable_log_stats=True, **arguments)


def _pass(llm: Any, order: dict[str, Any], orders: Iterator[dict[str, Any]], answers: IO[str]) -> None:
    pending = [(request, _parameters(request)) for request in order["requests"]]
    _answer(answers, loaded=len(pending))
    next(orders)
    finished = _closed_loop(llm.llm_engine, pending, order["concurrency"])
    _answer(answers, done=True)
    _answer(answers, outputs=[_output(request, finished[request["index"]]) for request, _ in pending])


def _closed_loop(engine: Any, pending: list[tuple[dict[str, Any], Any]], concurrency: int) -> dict[int, Any]:
    """Keep ``concurrency`` requests in the engine until all are done. Returns the final output of each, by index."""
    waiting = iter(pending)
    finished: dict[int, Any] = {}
    in_flight = 0
    while len(finished) < len(pending):
        while in_flight < concurrency and (item := next(waiting, None)) is not None:
            request, parameters = item
            engine.add_request(str(request["index"]), {"prompt_token_ids": request["prompt"]}, parameters)
            in_flight += 1
        for output in engine.step():
            if output.finished:
                finished[int(output.request_id.partition("-")[0])] = output
                in_flight -= 1
    return finished


def _parameters(request: dict[str, Any]) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=0.0,
        max_tokens=request["output_len"],
        ignore_eos=True,
        detokenize=False,
        logprobs=request["logprobs"] or None,
        output_kind=RequestOutputKind.FINAL_ONLY,
        extra_args={ARGUMENT: list(request["forced"])} if request["forced"] else None,
    )


def _output(request: dict[str, Any], output: Any) -> dict[str, Any]:
    completion = output.outputs[0]
    answer: dict[str, Any] = {"index": request["index"], "tokens": list(completion.token_ids)}
    if completion.logprobs:
        steps = [_step(token, ranked) for token, ranked in zip(completion.token_ids, completion.logprobs, strict=True)]
        for key, values in zip(("logprobs", "ranks", "top1", "margins"), zip(*steps, strict=True), strict=True):
            answer[key] = list(values)
    return answer


def _step(token: int, ranked: dict[int, Any]) -> tuple[float, int, int, float]:
    """Log-probability and rank of the emitted token, the top token, and top minus second log-probability (nats)."""
    by_rank = {entry.rank: (candidate, entry.logprob) for candidate, entry in ranked.items()}
    top, second = by_rank[1], by_rank.get(2, by_rank[1])
    return ranked[token].logprob, ranked[token].rank, top[0], top[1] - second[1]
