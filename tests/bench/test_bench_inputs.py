"""Inputs from a secret number: the same on both sides, new for every call, laid out as they were captured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from fk_overlay.bench.inputs import Inputs, Ticket
from fk_overlay.capture.signature import Argument
from fk_overlay.capture.values import Values


def argument(name: str, value: Any) -> Argument:
    if isinstance(value, torch.Tensor):
        return Argument(name, "tensor", shape=tuple(value.shape), dtype=str(value.dtype).removeprefix("torch."))
    return Argument(name, "scalar", scalar=value)


def inputs(steering: tuple[str, ...] = (), poisoned: tuple[str, ...] = (), fresh: Any = None, **given: Any) -> Inputs:
    signature = [argument(name, value) for name, value in given.items()]
    return Inputs(Values(None, tuple(given.values()), {}), signature, steering, poisoned, fresh)


def test_the_same_ticket_makes_the_same_values_in_another_process_whatever_its_default_dtype() -> None:
    given = {"x": torch.randn(5, 8), "ids": torch.arange(5), "by": 2}
    one = inputs(**given).make(Ticket(7))
    torch.set_default_dtype(torch.bfloat16)
    try:
        other = inputs(**given).make(Ticket(7))
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(value, other.tensors[path]) for path, value in one.tensors.items())
    assert one.args[2] == 2


def test_every_ticket_makes_others_and_the_captured_ones_stay() -> None:
    x = torch.randn(5, 8)
    before = x.clone()
    made = inputs(x=x)
    seen = {made.make(Ticket(seed)).args[0].sum().item() for seed in range(20)}
    assert len(seen) >= 10
    assert torch.equal(x, before)


def test_tensors_overlap_as_they_did() -> None:
    memory = torch.randn(4, 12)
    made = inputs(query=memory[:, :8], key=memory[:, 8:]).make(Ticket(3))
    query, key = made.args
    assert query.stride() == key.stride() == (12, 1)
    assert query.untyped_storage().data_ptr() == key.untyped_storage().data_ptr()
    assert key.data_ptr() - query.data_ptr() == 8 * 4


def test_values_keep_scale_and_range() -> None:
    made = inputs(x=torch.randn(100, 100) * 5 + 3, ids=torch.randint(10, 20, (1000,)))
    for seed in range(4):
        x, ids = made.make(Ticket(seed)).args
        assert x.mean() == pytest.approx(3, abs=0.5)
        assert x.std() == pytest.approx(5, rel=0.1)
        assert 10 <= int(ids.min()) <= int(ids.max()) < 20


def test_a_near_duplicate_differs_in_a_few_elements() -> None:
    made = inputs(x=torch.randn(100, 100))
    one, other = made.make(Ticket(5)).args[0].clone(), made.make(Ticket(5, twist=9)).args[0]
    assert 1 <= int((one != other).sum()) <= 10


@pytest.mark.parametrize("where", [-1, 12])
def test_writing_beside_an_argument_shows(where: int) -> None:
    made = inputs(x=torch.randn(3, 4), ids=torch.arange(3))
    before = made.make(Ticket(1))
    x = before.args[0]
    assert before.overrun() == []
    beside = torch.empty(0).set_(x.untyped_storage(), x.storage_offset() + where, (1,), (1,))
    beside += 1
    assert before.overrun() == ["x"]
    assert made.make(Ticket(2)).overrun() == []
    made.spoil(Ticket(2))
    assert made.make(Ticket(3, reuse=True)).overrun() == []


def test_memory_may_be_used_again_with_other_values() -> None:
    made = inputs(x=torch.randn(4, 4))
    one = made.make(Ticket(1)).args[0]
    address, values = one.data_ptr(), one.clone()
    again = made.make(Ticket(2, reuse=True)).args[0]
    assert again.data_ptr() == address
    assert again is one, "or a cache by identity would only be found out by chance"
    assert not torch.equal(again, values)
    assert made.make(Ticket(3)).args[0] is not one


def test_what_a_kernel_did_to_a_tensor_object_is_undone_before_its_next_use() -> None:
    made = inputs(x=torch.randn(4, 4))
    one = made.make(Ticket(1)).args[0]
    one.data = torch.zeros(2, dtype=torch.float64)
    again, fresh = made.make(Ticket(2, reuse=True)), made.make(Ticket(2))
    assert torch.equal(again.args[0], fresh.args[0])
    assert again.overrun() == []


def test_rows_may_be_fewer_where_all_tensors_share_them() -> None:
    made = inputs(x=torch.randn(7, 3), residual=torch.randn(7, 3))
    assert made.rows == 7
    assert [each.shape for each in made.make(Ticket(1, rows=2)).args] == [(2, 3), (2, 3)]
    assert inputs(x=torch.randn(7, 3), tokens=7).rows == 0
    assert inputs(x=torch.randn(7, 3), y=torch.randn(3, 7)).rows == 0


def test_what_steers_the_work_is_put_in_another_order_and_stays_valid() -> None:
    ids = torch.stack([torch.randperm(50)[:4] for _ in range(9)])
    made = inputs(ids=ids, steering=("ids",)).make(Ticket(2)).args[0]
    assert sorted(map(tuple, made.tolist())) == sorted(map(tuple, ids.tolist()))


def test_a_task_may_draw_what_steers_the_work_itself() -> None:
    def fresh(arguments: Any, seed: int) -> dict[str, torch.Tensor]:
        return {"ids": torch.full_like(arguments["ids"], seed)}

    assert inputs(ids=torch.zeros(3, dtype=torch.int32), fresh=fresh).make(Ticket(6)).args[0].tolist() == [6, 6, 6]


def test_both_sides_draw_the_same_whatever_dtype_a_model_has_made_the_default() -> None:
    def fresh(arguments: Any, seed: int) -> dict[str, torch.Tensor]:
        return {"x": torch.rand(4, generator=torch.Generator().manual_seed(seed))}

    made = inputs(x=torch.randn(4), fresh=fresh)
    parents = made.make(Ticket(6)).args[0]
    torch.set_default_dtype(torch.bfloat16)
    try:
        arms = made.make(Ticket(6)).args[0]
        assert torch.get_default_dtype() == torch.bfloat16
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.equal(arms, parents)


def test_what_is_only_written_to_holds_the_poison() -> None:
    made = inputs(out=torch.zeros(3, 2), x=torch.randn(3, 2), poisoned=("out",))
    assert made.make(Ticket(1)).args[0].isnan().all()
    assert (made.make(Ticket(1, poison=1.5)).args[0] == 1.5).all()


def test_the_inputs_of_a_call_that_is_over_are_overwritten() -> None:
    made = inputs(x=torch.randn(6, 6))
    ticket = Ticket(11)
    held = made.make(ticket).args[0]
    before = held.clone()
    made.spoil(replace(ticket, seed=77))
    assert not torch.equal(held, before)
