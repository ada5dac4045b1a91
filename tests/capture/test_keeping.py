from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fk_overlay.capture import keeping
from fk_overlay.capture.describe import Call
from fk_overlay.capture.keeping import Held, Reservoir, Room, moments, take


def noted(**tensors: torch.Tensor) -> Call:
    call = Call(lambda module: "")
    call.note([(name, False, tensor) for name, tensor in tensors.items()])
    return call


def test_every_call_is_equally_likely_to_be_kept() -> None:
    """Chi-squared with 19 degrees of freedom: 99.9 % lie below 43.8."""
    counts: Counter[int] = Counter()
    for seed in range(2000):
        reservoir = Reservoir(3, f"{seed}")
        for call in range(20):
            place = reservoir.place(call)
            if place is not None:
                reservoir.put(place, Held(call), Room(0, 0))
        counts.update(held.call for held in reservoir.held)
    expected = 2000 * 3 / 20
    assert sum((counts[call] - expected) ** 2 / expected for call in range(20)) < 43.8


def test_the_same_seed_draws_the_same_calls() -> None:
    one, two = Reservoir(2, "a"), Reservoir(2, "a")
    assert [one.place(call) for call in range(50)] == [two.place(call) for call in range(50)]


def test_room_is_given_back_by_what_is_replaced() -> None:
    room, reservoir = Room(200, 0), Reservoir(1, "a")
    for _ in range(5):
        held = take(noted(x=torch.ones(16)), 0, lambda path: True, room)
        assert held.memory
        reservoir.put(0, held, room)
    assert room.wanted == 200 - 64


def test_what_steers_the_work_goes_first() -> None:
    room = Room(wanted=64, ordinary=16)
    held = take(noted(x=torch.ones(16), ids=torch.ones(8, dtype=torch.int64)), 0, lambda path: path == "ids", room)
    assert set(held.memory) == {"storage.1"}
    assert set(held.moments) == {"x"}


def test_memory_that_several_share_is_kept_once() -> None:
    qkv = torch.arange(24.0)
    held = take(noted(q=qkv[:8], k=qkv[8:16]), 0, lambda path: True, Room(1000, 0))
    assert list(held.memory) == ["storage.0"]
    assert torch.equal(held.memory["storage.0"].view(torch.float32), qkv[:16])


def test_nothing_larger_than_the_limit_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "LARGEST", 63)
    assert take(noted(x=torch.ones(16)), 0, lambda path: True, Room(1000, 1000)).memory == {}


def test_a_slice_of_a_large_memory_costs_what_it_reaches() -> None:
    pool = torch.arange(10_000, dtype=torch.float32)
    held = take(noted(x=pool[5000:5004]), 0, lambda path: True, Room(16, 0))
    assert torch.equal(held.memory["storage.0"].view(torch.float32), pool[5000:5004])


def test_moments_leave_out_what_is_not_finite() -> None:
    found = moments(torch.tensor([1.0, 3.0, float("nan"), float("inf")]))
    assert (found.mean, found.std, found.low, found.high) == (2.0, 1.0, 1.0, 3.0)
    assert moments(torch.zeros(0)) == moments(torch.tensor([float("nan")])) == keeping.Moments(0.0, 0.0, 0.0, 0.0)


def test_moments_look_at_a_part_of_a_large_tensor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "LOOKED_AT", 8)
    assert moments(torch.arange(100.0).reshape(25, 4)).high == 7.0


def test_equal_content_is_one_file(tmp_path: Path) -> None:
    names = {
        keeping.store(take(noted(x=torch.ones(4)), call, lambda path: True, Room(99, 0)), tmp_path).file
        for call in range(3)
    }
    (path,) = tmp_path.iterdir()
    assert names == {path.stem}
    assert torch.equal(load_file(path)["storage.0"].view(torch.float32), torch.ones(4))
