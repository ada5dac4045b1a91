from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import pytest
import torch

from fk_overlay.capture.describe import Call, generalised, quick, rough
from fk_overlay.capture.signature import Argument, plain, revive_argument
from fk_overlay.capture.values import reach


class Activation(Enum):
    silu = "silu"


@dataclass
class Metadata:
    block_table: torch.Tensor
    max_seq_len: int


def look(**values: Any) -> tuple[tuple[object, ...], tuple[Argument, ...], Call]:
    call = Call(lambda module: type(module).__name__)
    named = [(name, False, value) for name, value in values.items()]
    return call.note(named), call.describe(named), call


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (64, 63, False),
        (65, 128, True),
        (128, 129, False),
        (-100, 100, False),
        (True, 1, False),
        (0.1, 0.10001, True),
        (0.1, 0.11, False),
        ("model.layers.3.attn", "model.layers.31.attn", True),
        ("silu", "gelu", False),
        (None, 0, False),
    ],
)
def test_scalars_are_generalised(one: Any, other: Any, alike: bool) -> None:
    assert (repr(generalised(one)) == repr(generalised(other))) is alike


def test_tensors_on_one_memory_have_its_number_and_their_place_in_it() -> None:
    qkv = torch.arange(48, dtype=torch.float32).reshape(2, 24)
    q, k, v = qkv.split([8, 8, 8], dim=-1)
    _, arguments, _ = look(k=k, other=torch.ones(2), v=v, q=q)
    by_name = {argument.name: argument for argument in arguments}
    assert {name: argument.storage for name, argument in by_name.items()} == {"k": 0, "other": 1, "v": 0, "q": 0}
    assert {name: by_name[name].offset for name in "qkv"} == {"q": 0, "k": 8, "v": 16}
    assert by_name["q"].stride == (24, 1)


def test_the_beginning_of_a_memory_does_not_count_beyond_alignment() -> None:
    pool = torch.zeros(100, dtype=torch.bfloat16)
    keys = [look(x=pool[start : start + 8])[0] for start in (0, 8, 16, 17)]
    assert keys[0] == keys[1] == keys[2] != keys[3]
    assert look(x=pool[17:25])[1][0].offset == 1


@pytest.mark.parametrize(
    ("change", "alike"),
    [
        (lambda x: x.clone(), True),
        (lambda x: x.t().contiguous().t(), False),
        (lambda x: x.double(), False),
        (lambda x: x[:1], False),
    ],
)
def test_what_tells_tensors_apart(change: Any, alike: bool) -> None:
    x = torch.ones(2, 4)
    assert (look(x=x)[0] == look(x=change(x))[0]) is alike
    assert (quick([x]) == quick([change(x)])) is alike


def test_one_tensor_given_twice_is_not_two() -> None:
    x = torch.ones(2)
    assert look(a=x, b=x)[0] != look(a=x, b=x.clone())[0]
    assert quick([x, x]) != quick([x, x.clone()])


def test_the_quick_key_tells_numbers_and_their_types_apart() -> None:
    assert len({quick([value]) for value in (1, 1.0, True, "1", None)}) == 5
    assert quick([[1]]) is None


def test_rough_keys_put_lengths_into_classes() -> None:
    keys = [rough(Metadata(torch.zeros(8, width), width * 16)) for width in (4, 7, 8)]
    assert keys[0] == keys[1] != keys[2]


def test_every_kind_survives_json() -> None:
    _, arguments, call = look(
        x=torch.ones(2, 1),
        sizes=(1, [2, None]),
        options={"top": 2},
        activation=Activation.silu,
        dtype=torch.bfloat16,
        device=torch.device("cpu"),
        metadata=Metadata(torch.ones(3), 7),
        layer=torch.nn.Identity(),
        strange=object(),
    )
    assert [argument.kind for argument in arguments] == [
        *("tensor", "sequence", "mapping", "symbol", "symbol", "device", "object", "module", "object")
    ]
    assert tuple(revive_argument(plain(argument)) for argument in arguments) == arguments
    assert reach(arguments[3].type) is Activation.silu
    assert reach(arguments[4].type) is torch.bfloat16
    assert set(call.tensors) == {"x", "metadata.block_table"}
    assert call.scalars == {"sizes.0": 1, "sizes.1.0": 2, "options.top": 2, "metadata.max_seq_len": 7}
