from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from desk import Desk

from fk_overlay.capture.signal import State
from fk_overlay.capture.signature import Argument, Module, Moments
from fk_overlay.capture.store import Case
from fk_overlay.capture.values import drawn_by, reach, stand_in
from fk_overlay.errors import FileError


def recorded(desk: Desk, *args: Any, **kwargs: Any) -> Case:
    watch = desk.watch("toy:f", values=("a", "b", "c"))
    function = desk.recorder.recording(watch, "toy:f", lambda a=None, b=None, c=None, **more: None, None, method=False)
    desk.say(State.RECORDING)
    function(*args, **kwargs)
    (case,) = desk.finish().cases
    return case


DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float8_e4m3fn, torch.int64, torch.int32, torch.bool]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    "view",
    [lambda x: x, lambda x: x.t(), lambda x: x[1:, ::2], lambda x: x[:, 1], lambda x: x[:0], lambda x: x[0, 0]],
    ids=["whole", "transposed", "strided", "column", "empty", "scalar"],
)
def test_tensors_come_back_bit_by_bit(desk: Desk, dtype: torch.dtype, view: Any) -> None:
    base = torch.randint(0, 2, (4, 6)).to(dtype)
    given = view(base)
    values = recorded(desk, given).values()
    (made,) = values.args
    assert values.drawn == ()
    assert (made.dtype, made.shape, made.stride()) == (given.dtype, given.shape, given.stride())
    assert torch.equal(made.to(torch.float32), given.to(torch.float32))


def test_memory_overlaps_as_it_did(desk: Desk) -> None:
    qkv = torch.arange(48, dtype=torch.float32).reshape(2, 24)
    q, _, v = qkv.split([8, 8, 8], dim=-1)
    case = recorded(desk, v, b=q, c=qkv)
    values = case.values()
    values.args[0].zero_()
    assert torch.equal(values.kwargs["c"][:, :16], qkv[:, :16])
    assert values.kwargs["c"][:, 16:].abs().sum() == 0
    assert torch.equal(values.kwargs["b"], q)
    assert torch.equal(case.values().args[0], v)  # loaded anew


def test_the_rest_comes_back_as_it_was(desk: Desk) -> None:
    given = {"sizes": (1, [2, None]), "dtype": torch.bfloat16, "flag": False, "options": {"x": 0.25}}
    case = recorded(desk, 700, **given)
    values = case.values()
    assert (values.args, values.kwargs) == ((700,), given)
    assert case.replayable


def test_an_object_of_the_engine_makes_a_case_that_cannot_be_replayed(desk: Desk) -> None:
    assert not recorded(desk, object()).replayable


def test_values_that_were_not_kept_are_drawn_alike(desk: Desk) -> None:
    desk.budget_bytes = 0
    case = recorded(desk, torch.full((64, 64), 3.0) + torch.randn(64, 64) * 0.1, torch.tensor([5, 9]))
    first, second = case.values(), case.values()
    assert first.drawn == ("a", "b")
    assert torch.equal(first.args[0], second.args[0])
    assert first.args[0].mean() == pytest.approx(3.0, abs=0.02)
    assert first.args[0].std() == pytest.approx(0.1, rel=0.1)
    assert set(first.args[1].tolist()) <= set(range(5, 10))


def test_the_caller_may_draw(desk: Desk) -> None:
    desk.budget_bytes = 0
    asked = []

    def draw(path: str, argument: Argument, moments: Moments | None) -> torch.Tensor:
        asked.append((path, argument.dtype, moments is not None))
        return torch.full(argument.shape, 7.0)

    values = recorded(desk, torch.zeros(2)).values(draw=draw)
    assert asked == [("a", "float32", True)]
    assert torch.equal(values.args[0], torch.full((2,), 7.0))


def test_drawing_depends_on_case_and_path_only() -> None:
    argument = Argument("x", "tensor", shape=(8,), stride=(1,), dtype="float32", device="cpu", storage=0)
    one, other = drawn_by("a"), drawn_by("b")
    assert torch.equal(one("x", argument, None), drawn_by("a")("x", argument, None))
    assert not torch.equal(one("x", argument, None), one("y", argument, None))
    assert not torch.equal(one("x", argument, None), other("x", argument, None))


def test_stand_ins_have_lists_of_layers() -> None:
    kind = "torch.nn.modules.container:ModuleList"
    parts = {"layers": kind, "layers.0": "m:L", "layers.0.mlp": "m:M", "layers.1": "m:L", "layers.1.mlp": "m:M"}
    made = stand_in(Module("m:Model", parts=parts, attributes={"layers.1.mlp.eps": 2.0, "size": 3}), {})
    assert made.size == 3
    assert [hasattr(layer.mlp, "eps") for layer in made.layers] == [False, True]


def test_a_name_that_is_gone_is_an_error() -> None:
    with pytest.raises(FileError, match="not here"):
        reach("enum:NoSuchThing")


def test_a_file_cannot_choose_what_is_called(desk: Desk) -> None:
    case = recorded(desk, ("exit 7", 1))
    (pair,) = case.signature
    assert case.values().args == (("exit 7", 1),)
    with pytest.raises(FileError, match="calls os:system a sequence"):
        replace(case, signature=(replace(pair, type="os:system"),)).values()
