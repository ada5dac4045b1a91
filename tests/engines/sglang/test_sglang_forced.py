"""Forced decode in SGLang's scheduler, on stand-ins with the signatures of its releases."""

from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from fk_overlay.engines.sglang import forced
from fk_overlay.errors import SeamError

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

SLOTS, VOCABULARY = 6, 20


class SamplingBatchInfo:
    @classmethod
    def from_schedule_batch(cls, batch: Any, vocab_size: int) -> tuple[type, int]:
        return cls, vocab_size


class ModelRunner:
    is_draft_worker = False

    def sample(self, logits_output: Any, forward_batch: Any) -> Any:
        """SGLang divides logits in place, and leaves log-probabilities of what it sampled."""
        logits_output.next_token_logits.div_(2.0)
        chosen = logits_output.next_token_logits.argmax(-1)
        logits_output.next_token_logprobs = logits_output.next_token_logits.log_softmax(-1).max(-1).values
        return chosen


@pytest.fixture
def engine() -> Any:
    info, runner = ModuleType("sampling_batch_info"), ModuleType("model_runner")
    info.SamplingBatchInfo = type("SamplingBatchInfo", (), dict(vars(SamplingBatchInfo)))  # type: ignore[attr-defined]
    runner.ModelRunner = type("ModelRunner", (), dict(vars(ModelRunner)))  # type: ignore[attr-defined]
    hooks = forced.support()
    hooks["sglang.srt.sampling.sampling_batch_info"](info)
    hooks["sglang.srt.model_executor.model_runner"](runner)
    return SimpleNamespace(info=info.SamplingBatchInfo, runner=runner.ModelRunner())


def request(slot: int, prompt: int, tokens: tuple[int, ...] = ()) -> Any:
    params = SimpleNamespace(custom_params={forced.ARGUMENT: list(tokens)} if tokens else None)
    return SimpleNamespace(req_pool_idx=slot, origin_input_ids=[0] * prompt, sampling_params=params)


def admit(engine: Any, *requests: Any) -> Any:
    pool = SimpleNamespace(req_to_token=torch.zeros(SLOTS, 8))
    batch = SimpleNamespace(reqs=list(requests), req_to_token_pool=pool, device="cpu")
    return engine.info.from_schedule_batch(batch, VOCABULARY)


def step(engine: Any, slots: list[int], positions: list[int], *, decode: bool = True, logprob: bool = False) -> Any:
    """One step over requests whose likeliest token is 0. ``positions``: of the token that was fed."""
    logits = torch.zeros(len(slots), VOCABULARY)
    logits[:, 0] = 3.0
    output = SimpleNamespace(next_token_logits=logits, next_token_logprobs=None)
    at = torch.tensor(positions)
    batch = SimpleNamespace(
        req_pool_indices=torch.tensor(slots),
        positions=at if decode else torch.arange(99),
        seq_lens=at + 1,
        forward_mode=SimpleNamespace(is_decode=lambda: decode),
        return_logprob=logprob,
    )
    return engine.runner.sample(output, batch).tolist(), output


def test_the_wrapped_class_method_still_is_one(engine: Any) -> None:
    assert admit(engine, request(0, 4)) == (engine.info, VOCABULARY)


def test_a_prompt_and_every_step_yield_the_forced_tokens_and_then_the_models_own(engine: Any) -> None:
    admit(engine, request(2, 4, (7, 8)), request(3, 4))
    assert step(engine, [2, 3], [3, 3], decode=False)[0] == [7, 0]
    assert step(engine, [2, 3], [4, 4])[0] == [8, 0]
    assert step(engine, [3, 2], [5, 5])[0] == [0, 0], "no token is left to force"


def test_log_probabilities_are_the_models_before_sampling_touched_the_logits(engine: Any) -> None:
    admit(engine, request(1, 2, (5, 6)))
    _, output = step(engine, [1], [1], decode=False, logprob=True)
    raw = torch.zeros(VOCABULARY)
    raw[0] = 3.0
    assert output.next_token_logprobs[0].item() == pytest.approx(raw.log_softmax(-1)[5].item(), abs=1e-6)


def test_a_slot_that_is_taken_by_an_ordinary_request_is_free_again(engine: Any) -> None:
    admit(engine, request(1, 2, (5, 6)))
    admit(engine, request(1, 2))
    assert step(engine, [1], [2])[0] == [0]


def test_without_a_forced_request_nothing_is_touched(engine: Any) -> None:
    admit(engine, request(1, 2))
    tokens, output = step(engine, [1], [2], logprob=True)
    assert tokens == [0]
    assert output.next_token_logprobs.shape == (1,)


def test_a_draft_model_is_left_alone(engine: Any) -> None:
    admit(engine, request(1, 2, (5, 6)))
    engine.runner.is_draft_worker = True
    assert step(engine, [1], [2])[0] == [0]


def test_an_unknown_release_is_refused() -> None:
    for hook in forced.support().values():
        with pytest.raises(SeamError, match=r"0\.5\.17 to 0\.5\.23"):
            hook(ModuleType("changed"))
