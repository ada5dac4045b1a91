"""Modules built anew from what a capture knows of them."""

import pytest
import torch

from fk_overlay.capture.signature import Argument, Module
from fk_overlay.engines import rebuild
from fk_overlay.errors import EngineError

HERE = __name__


class Table(torch.nn.Module):
    def __init__(self, size: int) -> None:
        super().__init__()
        self.inner = torch.nn.ReLU()
        self.register_buffer("rows", torch.arange(size) * self.step())

    def step(self) -> int:
        return 1


class Stretched(Table):
    """Takes other arguments than its parent, and sets what the parent's constructor reads."""

    def __init__(self, size: int, factor: int) -> None:
        self.factor = factor
        super().__init__(size)

    def step(self) -> int:
        return self.factor


class Scaled(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = torch.tensor(1.0)  # neither a parameter nor a buffer


def recipe(kind: type, constructor: type, parts: dict[str, str], **attributes: int) -> Module:
    size = Argument("size", "scalar", scalar=3)
    named = {"type": f"{HERE}:{kind.__name__}", "constructor": f"{HERE}:{constructor.__name__}"}
    return Module(**named, init=(size,) if kind is not Scaled else (), attributes=attributes, parts=parts)


def test_a_subclass_with_parts_is_built_by_the_constructor_that_was_seen() -> None:
    module = rebuild.build(recipe(Stretched, Table, {"inner": "torch.nn.modules.activation:ReLU"}, factor=5), {})
    assert type(module) is Stretched
    assert module.rows.tolist() == [0, 5, 10]
    assert isinstance(module.inner, torch.nn.ReLU)


def test_a_subclass_without_parts_is_what_was_recorded_of_it() -> None:
    module = rebuild.build(recipe(Stretched, Table, {}, factor=5), {"rows": torch.ones(2)})
    assert module.factor == 5
    assert module.rows.tolist() == [1, 1]


def test_parts_of_a_module_whose_constructor_was_not_seen_cannot_be_made() -> None:
    with pytest.raises(EngineError, match="has parts and its constructor was not recorded"):
        rebuild.build(Module(f"{HERE}:Table", parts={"inner": "torch.nn.modules.activation:ReLU"}), {})


def test_a_tensor_that_is_a_plain_attribute_stays_one() -> None:
    module = rebuild.build(recipe(Scaled, Scaled, {}), {"scale": torch.tensor(200.0)})
    assert float(module.scale) == 200
    assert not list(module.parameters())
