"""What an arm says is a stranger's claim: it is parsed, checked, and refused when it cannot be meant."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from fk_overlay.bench.channel import LONGEST, ParentEnd
from fk_overlay.bench.returned import Outbox, hear, tell
from fk_overlay.errors import ArmFailed

Ask = Callable[..., Any]


@pytest.fixture
def ends() -> Iterator[tuple[ParentEnd, int, int]]:
    """The parent's end, and what an arm reads from and writes to."""
    there_read, there_write = os.pipe()
    here_read, here_write = os.pipe()
    with os.fdopen(there_write, "wb", buffering=0) as writes, os.fdopen(here_read, "rb") as reads:
        yield ParentEnd(writes, reads), there_read, here_write
    os.close(there_read)
    os.close(here_write)


def answering(read: int, write: int, answer: Callable[[dict[str, Any]], bytes]) -> threading.Thread:
    thread = threading.Thread(target=lambda: os.write(write, answer(json.loads(os.read(read, LONGEST)))))
    thread.start()
    return thread


def test_an_answer_comes_with_the_time_it_took(ends: tuple[ParentEnd, int, int]) -> None:
    end, read, write = ends
    thread = answering(read, write, lambda asked: json.dumps({"nonce": asked["nonce"], "x": 1}).encode() + b"\n")
    answer, took = end.ask("secret", {"do": "go"}, 5.0)
    thread.join()
    assert answer == {"x": 1}
    assert 0 < took < 5


@pytest.mark.parametrize(
    "answer",
    [b"not json\n", b"[1]\n", b'{"nonce": "guessed"}\n', b'{"x": 1}\n', b"x" * (LONGEST + 2)],
)
def test_an_answer_to_something_else_is_forged(ends: tuple[ParentEnd, int, int], answer: bytes) -> None:
    end, read, write = ends
    thread = threading.Thread(target=lambda: _write_all(read, write, answer), daemon=True)
    thread.start()
    with pytest.raises(ArmFailed) as failure:
        end.ask("secret", {"do": "go"}, 5.0)
    assert (failure.value.state, failure.value.guard) == ("invalid", "g.outproc")


def _write_all(read: int, write: int, data: bytes) -> None:
    os.read(read, LONGEST)
    while data:
        data = data[os.write(write, data[: 1 << 15]) :]


def test_whoever_speaks_before_being_asked_is_not_believed(ends: tuple[ParentEnd, int, int]) -> None:
    end, _, write = ends
    os.write(write, b'{"nonce": "secret"}\n')
    with pytest.raises(ArmFailed, match="before it was asked"):
        end.ask("secret", {"do": "go"}, 5.0)


def test_silence_is_a_hang(ends: tuple[ParentEnd, int, int]) -> None:
    with pytest.raises(ArmFailed) as failure:
        ends[0].ask("secret", {"do": "go"}, 0.05)
    assert failure.value.state == "hung"


# ------------------------------------------------------------------------------------------------ results


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox", 1 << 16)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool])
def test_a_result_arrives_as_it_was(outbox: Outbox, dtype: torch.dtype) -> None:
    value = (torch.arange(24).reshape(4, 6) % 2).to(dtype).T
    heard = hear(tell(value, outbox, {}), outbox)
    assert heard.value is not None
    assert torch.equal(heard.value, value)
    assert (heard.shape, heard.stride) == ((6, 4), (1, 6))


def test_a_result_that_was_heard_cannot_be_changed_any_more(outbox: Outbox) -> None:
    heard = hear(tell(torch.ones(8), outbox, {}), outbox)
    outbox.clear()
    outbox.put(torch.zeros(8))
    assert heard.value is not None
    assert heard.value.tolist() == [1.0] * 8


def test_a_result_in_an_arguments_memory_says_so(outbox: Outbox) -> None:
    x = torch.randn(4, 4)
    assert hear(tell(x[1:], outbox, {"x": x}), outbox).alias == "x"
    assert hear(tell(x.clone(), outbox, {"x": x}), outbox).alias == ""


def test_what_is_no_plain_tensor_is_not_even_read(outbox: Outbox) -> None:
    class Lazy(torch.Tensor):
        pass

    for value in (None, 3, torch.ones(2).as_subclass(Lazy)):
        heard = hear(tell(value, outbox, {}), outbox)
        assert heard.value is None
        assert not heard.is_tensor


def test_attributes_of_a_result_show(outbox: Outbox) -> None:
    value = torch.ones(2)
    value.double = lambda: "later"  # type: ignore[method-assign]
    assert "double" in hear(tell(value, outbox, {}), outbox).odd


@pytest.mark.parametrize(
    "changed",
    [
        {"begin": 1 << 20},
        {"begin": "x"},
        {"shape": [-1, 4]},
        {"shape": [1 << 40]},
        {"stride": [1]},
        {"dtype": "load"},
        {"shape": None},
    ],
)
def test_a_description_that_none_can_have_is_forged(outbox: Outbox, changed: dict[str, Any]) -> None:
    said = {**tell(torch.ones(2, 4), outbox, {}), **changed}
    with pytest.raises(ArmFailed) as failure:
        hear(said, outbox)
    assert failure.value.guard == "g.outproc"


def test_a_result_without_room_is_none(outbox: Outbox) -> None:
    assert hear(tell(torch.ones(1 << 16), outbox, {}), outbox).value is None
