"""What a cache holds before a call: the same in parent and arm, other for every call, and whole for the oracle."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from fk_overlay.bench.history import History, positions
from fk_overlay.bench.inputs import Inputs, Ticket
from fk_overlay.capture.signature import Argument
from fk_overlay.capture.values import Values
from fk_overlay.engines.sequences import Step, step_of

STEP = step_of([4, 0, 1], [5, 3, 2])


def history(step: Step = STEP, tokens: int = 5) -> History:
    given = {"positions": torch.arange(tokens), "x": torch.randn(tokens, 8, generator=torch.Generator().manual_seed(1))}
    signature = [Argument(name, "tensor", shape=tuple(value.shape)) for name, value in given.items()]
    fresh = lambda arguments, seed: {"positions": positions(step, arguments["positions"])}  # noqa: E731
    return History(
        Inputs(Values(None, tuple(given.values()), {}), signature, ["positions"], [], fresh), step, "positions"
    )


def test_the_calls_before_and_the_call_make_up_the_sequences_that_the_oracle_gets() -> None:
    found, ticket = history(), Ticket(11)
    made = found.inputs.make(ticket)
    cache: dict[int, list[torch.Tensor]] = {}
    for step, call in (*found.calls(ticket), (STEP, made)):
        assert call.args[0].tolist() == [token for span in step for token in range(span.begin, span.end)]
        row = 0
        for span in step:
            cache.setdefault(span.sequence, []).append(call.args[1][row : row + span.rows])
            row += span.rows
    rows: list[int] = []
    for span, own, whole in found.whole(ticket, made, range(3)):
        rows += own
        assert torch.equal(whole.args[1][span.begin :], made.args[1][list(own)])
        assert whole.args[0].tolist() == list(range(span.end))
        assert torch.equal(whole.args[1], torch.cat(cache[span.sequence]))
    assert rows == list(range(5))


def test_only_the_chosen_sequences_are_given() -> None:
    found = history()
    given = found.whole(Ticket(1), found.inputs.make(Ticket(1)), {1})
    assert [(span.sequence, list(own)) for span, own, _ in given] == [(1, [1, 2, 3])]


def test_what_was_before_depends_on_the_past_alone() -> None:
    found = history()
    tickets = (Ticket(1, past=3), Ticket(1, past=4), Ticket(2, past=3, twist=5))
    prefill = [next(found.calls(ticket))[1].args[1] for ticket in tickets]
    assert not torch.equal(prefill[0], prefill[1])
    assert torch.equal(prefill[0], prefill[2])


def test_fewer_rows_have_the_history_of_theirs() -> None:
    found, ticket = history(), Ticket(3, rows=2)
    spans = [span for span, _, _ in found.whole(ticket, found.inputs.make(ticket), range(3))]
    assert [(span.sequence, span.end) for span in spans] == [(0, 5), (1, 1)]


def test_earlier_rows_are_not_those_of_the_call() -> None:
    found = history(step_of([5], [10]))
    made = found.inputs.make(Ticket(4))
    ((_, _, whole),) = found.whole(Ticket(4), made, [0])
    assert not torch.isin(whole.args[1][:5], made.args[1]).any()


def test_a_batch_of_other_rows_is_refused() -> None:
    with pytest.raises(ValueError, match="its batch has 5 tokens"):
        history(tokens=6)


def test_an_argument_that_does_not_say_which_token_is_refused() -> None:
    with pytest.raises(ValueError, match="x is \\(5, 8\\), not one number a token"):
        replace(history(), positions="x")
