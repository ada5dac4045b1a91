import pytest

from fk_overlay.core import Request, Sampling
from fk_overlay.engines.vllm.protocol import completion_body
from fk_overlay.errors import UsageError


def test_a_plain_request_asks_for_nothing_that_costs() -> None:
    body = completion_body("tiny", Request(0, (1, 2), 8))
    assert (body["model"], body["prompt"], body["max_tokens"]) == ("tiny", [1, 2], 8)
    assert body["temperature"] == 0.0
    assert body["ignore_eos"]
    assert body["stream"]
    assert body["return_token_ids"]
    assert not {"logprobs", "vllm_xargs", "min_tokens"} & body.keys()


def test_a_request_says_how_its_tokens_are_drawn() -> None:
    body = completion_body("tiny", Request(0, (1, 2), 8, sampling=Sampling(0.7, top_k=20, top_p=0.9)))
    assert (body["temperature"], body["top_k"], body["top_p"]) == (0.7, 20, 0.9)


def test_a_forced_request_carries_its_tokens() -> None:
    body = completion_body("tiny", Request(0, (1, 2), 2, forced=(5, 6), logprobs=4))
    assert body["vllm_xargs"] == {"fk_forced": [5, 6]}
    assert body["logprobs"] == 4
    assert body["return_tokens_as_token_ids"]


def test_one_log_probability_has_no_margin() -> None:
    with pytest.raises(UsageError, match="two log-probabilities"):
        completion_body("tiny", Request(0, (1,), 1, logprobs=1))
