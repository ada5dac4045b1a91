"""Draws that follow the oracle's distributions, and the ways in which they may not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from fk_overlay.integrity.distribution import SIGNIFICANCE, Draws

torch.set_num_threads(1)
CALLS, ROWS, VOCABULARY = 150, 32, 50
Sampler = Callable[[Tensor], Tensor]


def drawn(sample: Sampler, calls: int = CALLS, seed: int = 0) -> Draws:
    """The sampler's draws from fresh rows of logits, a third of which may not be drawn."""
    torch.manual_seed(seed)
    draws = Draws()
    for _ in range(calls):
        logits = torch.randn(ROWS, VOCABULARY, dtype=torch.float64) * 2
        logits[:, ::3] = float("-inf")
        assert draws.add(sample(logits), logits) == ""
    return draws


def multinomial(logits: Tensor) -> Tensor:
    return torch.multinomial(logits.softmax(dim=-1), 1).view(-1)


def inverse(logits: Tensor, uniform: Tensor) -> Tensor:
    """Where the sum of the chances passes a number."""
    total = logits.softmax(dim=-1).cumsum(dim=-1)
    return torch.searchsorted(total, uniform * total[:, -1:]).view(-1)


@pytest.mark.parametrize("seed", range(20))
def test_draws_from_the_oracles_distributions_pass(seed: int) -> None:
    draws = drawn(multinomial, seed=seed)
    assert len(draws) == CALLS * ROWS
    assert draws.why() == ""


def test_another_way_to_draw_passes() -> None:
    draws = drawn(lambda logits: inverse(logits, torch.rand(ROWS, 1, dtype=torch.float64)))
    assert draws.why() == ""


STATE = torch.Generator()
WRONG: dict[str, Sampler] = {
    "the likeliest": lambda logits: logits.argmax(dim=-1),
    "sharper": lambda logits: multinomial(logits / 0.85),
    "flatter": lambda logits: multinomial(logits * 0.85),
    "one number for all rows": lambda logits: inverse(logits, torch.rand(1, dtype=torch.float64).expand(ROWS, 1)),
    "one number for two rows": lambda logits: inverse(
        logits, torch.rand(ROWS // 2, dtype=torch.float64).repeat_interleave(2).unsqueeze(1)
    ),
    "one number for all rows, the likeliest first": lambda logits: (
        logits.sort(descending=True).indices.gather(
            1,
            inverse(logits.sort(descending=True).values, torch.rand(1, dtype=torch.float64).expand(ROWS, 1)).unsqueeze(
                1
            ),
        )
    ).view(-1),
    "the same numbers in every call": lambda logits: inverse(
        logits, torch.rand(ROWS, 1, dtype=torch.float64, generator=STATE.manual_seed(3))
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_others_are_told(what: str) -> None:
    draws = drawn(WRONG[what])
    assert draws.chance() < SIGNIFICANCE
    assert "do not follow the oracle's distributions" in draws.why()


def test_draws_of_a_model_that_is_sure_tell_nothing() -> None:
    sure = Draws()
    for _ in range(CALLS):
        logits = torch.randn(ROWS, VOCABULARY, dtype=torch.float64)
        logits[:, 7] += 15
        assert sure.add(logits.argmax(dim=-1), logits) == ""
    assert sure.why() == ""
    assert "too few to judge by" in sure.blind()


@pytest.mark.parametrize("lead", [5.0, 7.0, 9.0])
def test_draws_that_tell_something_tell_the_likeliest_from_drawn_ones(lead: float) -> None:
    torch.manual_seed(1)
    greedy = Draws()
    while not len(greedy) or greedy.blind():
        logits = torch.randn(ROWS, VOCABULARY, dtype=torch.float64)
        logits[:, 7] += lead
        greedy.add(logits.argmax(dim=-1), logits)
    assert greedy.why()


def test_few_draws_say_little() -> None:
    assert Draws().blind() == ""
    assert Draws().chance() == 1.0
    assert drawn(WRONG["sharper"], calls=2).why() == ""


@pytest.mark.parametrize(
    ("tokens", "why"),
    [
        (torch.tensor([0, 1]), "1 of 2 tokens have no chance"),
        (torch.tensor([1, 3]), "outside of the vocabulary of 3"),
        (torch.tensor([1, -1]), "outside of the vocabulary of 3"),
        (torch.tensor([1.0, 2.0]), "torch.float32 of shape (2,) instead of one token for each of 2 rows"),
        (torch.tensor([[1], [2]]), "of shape (2, 1) instead of one token"),
    ],
)
def test_what_cannot_be_drawn_is_refused_and_not_counted(tokens: Tensor, why: str) -> None:
    draws = Draws()
    logits = torch.tensor([[float("-inf"), 0.0, 1.0]]).expand(2, 3)
    assert why in draws.add(tokens, logits)
    assert len(draws) == 0
