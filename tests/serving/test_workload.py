import json
from dataclasses import asdict, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fk_overlay.core import Request, Sampling, Workload
from fk_overlay.errors import UsageError
from fk_overlay.serving.workload import digest, make_requests, poisson_arrivals

LOAD = Workload("chat", requests=40, input_len=32, output_len=8)


def test_a_seed_and_a_name_decide_the_requests() -> None:
    first = make_requests(LOAD, vocab_size=1000, seed=7)
    assert digest(first) == digest(make_requests(LOAD, vocab_size=1000, seed=7))
    other_seed = make_requests(LOAD, vocab_size=1000, seed=8)
    other_name = make_requests(Workload("code", 40, 32, 8), vocab_size=1000, seed=7)
    assert len({digest(first), digest(other_seed), digest(other_name)}) == 3
    assert not {request.prompt for request in first} & {request.prompt for request in other_name}


def test_the_requests_stay_the_same_in_every_release() -> None:
    assert digest(make_requests(LOAD, vocab_size=1000, seed=7)) == "8ce7367c19b9026f"


def test_how_tokens_are_drawn_is_part_of_the_load() -> None:
    drawn = make_requests(replace(LOAD, sampling=Sampling(0.8, top_k=20)), vocab_size=1000, seed=7)
    assert {request.sampling for request in drawn} == {Sampling(0.8, 20, 1.0)}
    assert digest(drawn) != digest(make_requests(LOAD, vocab_size=1000, seed=7))


def test_a_request_comes_back_from_json_as_it_was() -> None:
    request = Request(3, (1, 2), 8, forced=(5,), logprobs=2, sampling=Sampling(0.5, 10, 0.9))
    assert Request.revived(json.loads(json.dumps(asdict(request)))) == request
    plain = Request(0, (1,), 4)
    assert Request.revived(json.loads(json.dumps(asdict(plain)))) == plain


def test_lengths_are_exact_and_special_ids_are_avoided() -> None:
    requests = make_requests(LOAD, vocab_size=40, seed=0, reserved=range(30))
    assert {len(request.prompt) for request in requests} == {32}
    assert {request.output_len for request in requests} == {8}
    assert {token for request in requests for token in request.prompt} == set(range(30, 40))
    assert [request.index for request in requests] == list(range(40))
    assert len({request.prompt for request in requests}) == 40


@given(st.floats(0.0, 0.9), st.integers(0, 1000))
def test_lengths_vary_within_the_ratio(ratio: float, seed: int) -> None:
    load = Workload("varied", 20, 10, 20, range_ratio=ratio)
    for request in make_requests(load, vocab_size=1000, seed=seed):
        assert int(10 * (1 - ratio)) <= len(request.prompt) <= 10 * (1 + ratio) + 1
        assert int(20 * (1 - ratio)) <= request.output_len <= 20 * (1 + ratio) + 1


def test_lengths_do_vary() -> None:
    requests = make_requests(Workload("varied", 40, 100, 100, range_ratio=0.5), vocab_size=1000, seed=0)
    assert len({len(request.prompt) for request in requests}) > 10
    assert len({request.output_len for request in requests}) > 10


@pytest.mark.parametrize("vocab_size", [3, 4, 12])
def test_a_vocabulary_too_small_for_unique_prompts_is_refused(vocab_size: int) -> None:
    with pytest.raises(UsageError, match="do not make 40 different prompts"):
        make_requests(Workload("tiny", 40, 1, 1), vocab_size=vocab_size, seed=0)


def test_short_prompts_are_unique_too() -> None:
    requests = make_requests(Workload("short", 40, 1, 1), vocab_size=83, seed=0)
    assert len({request.prompt for request in requests}) == 40


def test_arrivals_are_a_poisson_process_of_exactly_the_rate() -> None:
    moments = poisson_arrivals(2000, 50.0, seed=1)
    gaps = [late - early for early, late in zip([0.0, *moments], moments, strict=False)]
    assert moments[-1] == pytest.approx(2000 / 50.0)
    assert min(gaps) > 0
    mean = sum(gaps) / len(gaps)
    spread = (sum((gap - mean) ** 2 for gap in gaps) / len(gaps)) ** 0.5
    assert spread == pytest.approx(mean, rel=0.1), "the standard deviation of an exponential is its mean"
    assert moments == poisson_arrivals(2000, 50.0, seed=1) != poisson_arrivals(2000, 50.0, seed=2)


@pytest.mark.parametrize(("count", "rate"), [(0, 1.0), (5, 0.0), (5, -1.0)])
def test_an_open_loop_needs_requests_and_a_rate(count: int, rate: float) -> None:
    with pytest.raises(UsageError, match="is no load"):
        poisson_arrivals(count, rate, seed=0)
