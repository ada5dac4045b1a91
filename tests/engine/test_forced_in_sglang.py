"""Forced decode in the real SGLang: it emits what it is told, by the ordinary decode path, and reports the model's own
log-probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from engine.real_engine import only, scenario, started

from fk_overlay.core import Request
from fk_overlay.engines.base import Engine, Session, Trace
from fk_overlay.plan import Plan
from fk_overlay.serving.engagement import gate

pytestmark = [pytest.mark.engine, only("sglang"), pytest.mark.timeout(400)]

LENGTH, LOGPROBS = 12, 5
PROMPTS = (tuple(range(20, 40)), tuple(range(100, 107)), tuple(range(200, 232)))
ASKED = [Request(index, prompt, LENGTH, logprobs=LOGPROBS) for index, prompt in enumerate(PROMPTS)]


@pytest.fixture(
    scope="module",
    params=[("tiny-llama", "offline"), ("tiny-llama", "server"), ("tiny-qwen3-moe", "offline")],
    ids="-".join,
)
def session(
    request: pytest.FixtureRequest, engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Session]:
    name, driver = request.param
    wanted = scenario(name, driver=driver)
    folder = tmp_path_factory.mktemp("launch")
    with started(engine, wanted, folder) as it:
        it.session.wait_ready(300)
        facts = it.session.facts()
        assert facts.kv_blocks == 4096
        config = gate(Plan.read(it.launch.plan), it.launch.receipts, facts.ranks)
        assert config["server.attention_backend"] == "torch_native"
        yield it.session


def traces(session: Session, requests: list[Request], concurrency: int = 8) -> tuple[Trace, ...]:
    workload = replace(scenario("tiny-llama").workloads[0], concurrency=concurrency)
    found = session.run(requests, workload, arrivals=None, timeout_s=60).traces
    assert [trace.error for trace in found] == [None] * len(requests)
    return found


@pytest.fixture(scope="module")
def free(session: Session) -> tuple[Trace, ...]:
    """What the model says when it is left alone."""
    return traces(session, ASKED)


def test_greedy_tokens_rank_first(free: tuple[Trace, ...]) -> None:
    for trace in free:
        assert len(trace.tokens) == len(trace.logprobs) == LENGTH
        assert trace.top1 == trace.tokens
        assert set(trace.ranks) == {1}
        assert min(trace.margins) >= 0


@pytest.mark.parametrize("concurrency", [8, 2, 1])
def test_its_own_tokens_have_their_own_log_probabilities(
    session: Session, free: tuple[Trace, ...], concurrency: int
) -> None:
    forced = [replace(request, forced=trace.tokens) for request, trace in zip(ASKED, free, strict=True)]
    for again, before in zip(traces(session, forced, concurrency), free, strict=True):
        assert again.tokens == before.tokens
        assert again.top1 == before.top1
        assert again.logprobs == pytest.approx(before.logprobs, abs=0.02)


def test_foreign_tokens_are_emitted_and_judged_by_the_model(session: Session, free: tuple[Trace, ...]) -> None:
    foreign = [
        replace(request, forced=tuple((token + 7) % 320 for token in trace.tokens))
        for request, trace in zip(ASKED, free, strict=True)
    ]
    found = traces(session, foreign)
    for request, trace in zip(foreign, found, strict=True):
        assert trace.tokens == request.forced
        assert min(trace.ranks) > 1
        assert max(trace.logprobs) < -1.0  # of the model's choice, not of a certainty


def test_the_model_has_read_what_it_was_made_to_say(session: Session, free: tuple[Trace, ...]) -> None:
    """After k forced tokens the next choice is the one after a prompt that ends in these tokens."""
    forced = tuple((token + 7) % 320 for token in free[0].tokens)
    (whole,) = traces(session, [replace(ASKED[0], forced=forced)])
    counts = range(1, LENGTH)
    prefixed = [Request(k, PROMPTS[0] + forced[:k], 1, logprobs=LOGPROBS) for k in counts]
    for k, trace in zip(counts, traces(session, prefixed), strict=True):
        assert trace.margins[0] < 0.1 or trace.tokens[0] == whole.top1[k]
        assert trace.margins[0] == pytest.approx(whole.margins[k], abs=0.1)


def test_a_batch_may_mix_forced_and_free_requests(session: Session, free: tuple[Trace, ...]) -> None:
    mixed = [ASKED[0], replace(ASKED[1], forced=tuple(reversed(free[1].tokens))), ASKED[2]]
    found = traces(session, mixed)
    assert [found[0].tokens, found[2].tokens] == [free[0].tokens, free[2].tokens]
    assert found[1].tokens == tuple(reversed(free[1].tokens))
