"""Forced decode in Model Runner V2's sampler, on a stand-in with the signatures of two releases."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from fk_overlay.engines.vllm import forced
from fk_overlay.errors import SeamError

torch = pytest.importorskip("torch")
torch.set_num_threads(1)

SLOTS, VOCABULARY = 4, 50


class State:
    """The part of vLLM's ``RequestState`` that counts."""

    def __init__(self) -> None:
        self.max_num_reqs = SLOTS
        self.device = torch.device("cpu")
        self.prompt_len = SimpleNamespace(np=np.zeros(SLOTS, dtype=np.int32))


def sampler_of_026() -> type[Any]:
    class Sampler:
        def __init__(self) -> None:
            self.req_states = State()
            self.added: list[int] = []

        def add_request(self, req_idx: int, prompt_len: int, sampling_params: Any) -> None:
            self.added.append(req_idx)

        def sample(
            self,
            logits: Any,
            expanded_idx_mapping: Any,
            idx_mapping_np: Any,
            pos: Any,
            input_ids: Any,
            expanded_local_pos: Any,
            return_logprobs: bool = False,
        ) -> Any:
            return logits.argmax(dim=-1), logits

    return Sampler


def sampler_of_032() -> type[Any]:
    class Sampler:
        def __init__(self) -> None:
            self.req_states = State()
            self.added: list[int] = []

        def add_request(self, req_idx: int, sampling_params: Any) -> None:
            self.added.append(req_idx)

        def sample(
            self,
            logits: Any,
            expanded_idx_mapping: Any,
            idx_mapping: Any,
            idx_mapping_np: Any,
            pos: Any,
            input_ids: Any,
            expanded_local_pos: Any,
            seq_lens_upper_bound_np: Any,
            return_logprobs: bool = False,
        ) -> Any:
            return logits.argmax(dim=-1), logits

    return Sampler


@pytest.fixture(params=[sampler_of_026, sampler_of_032], ids=["0.26", "0.32"])
def sampler(request: pytest.FixtureRequest) -> Any:
    kind = request.param()
    forced.force_v2_sampler(kind)
    return kind()


def add(sampler: Any, slot: int, prompt_len: int, tokens: list[int] | None) -> None:
    """As Model Runner V2 does: the request's state first, then the sampler."""
    sampler.req_states.prompt_len.np[slot] = prompt_len
    params = SimpleNamespace(extra_args={forced.ARGUMENT: tokens} if tokens else None)
    with_length = [prompt_len] if "prompt_len" in sampler.add_request.__wrapped__.__code__.co_varnames else []
    sampler.add_request(slot, *with_length, params)


def step(sampler: Any, slots: list[int], positions: list[int], own: int = 1) -> tuple[list[int], Any]:
    """One call of ``sample``; the model itself would always choose ``own``."""
    logits = torch.zeros(len(slots), VOCABULARY)
    logits[:, own] = 1.0
    mapping, known = (
        torch.tensor(slots, dtype=torch.int32),
        {
            "expanded_idx_mapping": torch.tensor(slots, dtype=torch.int32),
            "idx_mapping_np": np.unique(slots).astype(np.int32),
            "pos": torch.tensor(positions, dtype=torch.int64),
        },
    )
    names = sampler.sample.__wrapped__.__code__.co_varnames[2 : sampler.sample.__wrapped__.__code__.co_argcount - 1]
    sampled, rest = sampler.sample(logits, *(known.get(name, mapping) for name in names), return_logprobs=True)
    assert rest is logits, "log-probabilities are computed from the untouched logits"
    assert sampled.dtype == torch.int64
    return sampled.tolist(), logits


def test_the_tokens_come_one_a_step_and_then_the_models_own(sampler: Any) -> None:
    add(sampler, slot=2, prompt_len=5, tokens=[30, 31, 32])
    came = [step(sampler, [2], [position])[0][0] for position in (4, 5, 6, 7, 8)]
    assert came == [30, 31, 32, 1, 1]


def test_the_engine_still_adds_its_requests(sampler: Any) -> None:
    add(sampler, 2, 5, [30])
    add(sampler, 1, 5, None)
    assert sampler.added == [2, 1]


def test_chunks_of_a_prompt_are_not_forced(sampler: Any) -> None:
    add(sampler, 0, 10, [30, 31])
    assert [step(sampler, [0], [position])[0][0] for position in (3, 7, 8)] == [1, 1, 1]
    assert step(sampler, [0], [9])[0] == [30]


def test_a_preempted_request_goes_on_where_it_was(sampler: Any) -> None:
    add(sampler, 0, 5, [30, 31, 32])
    step(sampler, [0], [4])
    add(sampler, 3, 5, [30, 31, 32])
    assert step(sampler, [3], [6])[0] == [32], "its prompt is as long as before; its position tells the step"


def test_rows_are_told_apart_whatever_their_order(sampler: Any) -> None:
    add(sampler, 0, 3, [30, 31])
    add(sampler, 1, 7, None)
    add(sampler, 3, 9, [40, 41, 42, 43])
    assert step(sampler, [3, 1, 0], [8, 6, 2])[0] == [40, 1, 30]
    assert step(sampler, [0, 3], [3, 11])[0] == [31, 43]


def test_a_slot_forgets_its_former_request(sampler: Any) -> None:
    add(sampler, 0, 3, [30, 31, 32])
    add(sampler, 1, 3, [40])
    add(sampler, 0, 3, None)
    assert step(sampler, [0, 1], [2, 2])[0] == [1, 40]
    add(sampler, 0, 4, [33])
    assert [step(sampler, [0], [position])[0][0] for position in (3, 4)] == [33, 1]


def test_several_rows_of_one_request_take_successive_tokens(sampler: Any) -> None:
    add(sampler, 1, 3, [30, 31, 32])
    assert step(sampler, [1, 1, 1, 1], [2, 3, 4, 5])[0] == [30, 31, 32, 1]


def test_longer_tokens_keep_those_of_other_slots(sampler: Any) -> None:
    add(sampler, 0, 3, [30, 31])
    add(sampler, 1, 3, list(range(40, 48)))
    assert step(sampler, [0, 1], [3, 9])[0] == [31, 47]


def test_without_forced_requests_nothing_runs(sampler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    add(sampler, 0, 3, None)
    step(sampler, [0], [2])
    assert not hasattr(sampler, forced._HELD)
    add(sampler, 1, 3, [30])
    monkeypatch.setattr(torch, "where", lambda *_: pytest.fail("device work for a batch that is not forced"))
    assert step(sampler, [0], [3])[0] == [1]


def test_an_unknown_sampler_is_refused() -> None:
    class Sampler:
        def add_request(self, req_idx: int, sampling_params: Any) -> None: ...

        def sample(self, logits: Any, rows: Any) -> None: ...

    with pytest.raises(SeamError, match="no parameter expanded_idx_mapping, idx_mapping_np, pos"):
        forced.force_v2_sampler(Sampler)
