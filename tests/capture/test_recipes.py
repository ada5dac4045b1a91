from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from desk import Norm

from fk_overlay.capture import recipes
from fk_overlay.capture.keeping import Room, store, take
from fk_overlay.capture.recipes import Recipes, remember_constructor


class Block(torch.nn.Module):
    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self.first, self.second = norm, norm
        self.kv_cache = torch.zeros(3)
        self.scale, self._private, self.name = 0.5, 1, "model.layers.0"


@pytest.fixture
def known(tmp_path: Path) -> Recipes:
    room = Room(1 << 20, 0)
    return Recipes(lambda call: store(take(call, 0, lambda path: True, room), tmp_path))


def test_layers_of_one_kind_share_a_recipe(known: Recipes) -> None:
    names = {known(Norm(4, layer_idx=number)) for number in range(3)}
    (module,) = known.found.values()
    assert names == set(known.found)
    assert module.instances == 3


@pytest.mark.parametrize("other", [Norm(5), Norm(4, eps=1e-5), torch.nn.LayerNorm(4)], ids=["size", "eps", "class"])
def test_what_makes_another_recipe(known: Recipes, other: torch.nn.Module) -> None:
    assert known(Norm(4)) != known(other)


def test_a_module_is_looked_at_once(known: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    norm = Norm(4)
    name = known(norm)
    monkeypatch.setattr(known, "_look", lambda module: pytest.fail("looked again"))
    assert known(norm) == name


def test_shared_modules_are_found_under_each_path(known: Recipes) -> None:
    module = known.found[known(Block(Norm(4)))]
    assert {tensor.name: tensor.storage for tensor in module.tensors} == {"first.weight": 0, "second.weight": 0}
    assert [tensor.name for tensor in module.held] == ["kv_cache"]
    assert {"scale": 0.5, "name": "model.layers.0"}.items() <= module.attributes.items()
    assert "_private" not in module.attributes


@dataclass
class Routing:
    top_k: int
    groups: int | None = None
    bias: torch.Tensor | None = None
    _private: int = 0


def routed(routing: Routing) -> torch.nn.Module:
    module = Norm(4)
    module.routing = routing
    return module


def test_what_lies_in_a_dataclass_is_known_too(known: Recipes) -> None:
    name = known(routed(Routing(2, bias=torch.zeros(2))))
    found = {path: value for path, value in known.found[name].attributes.items() if path.startswith("routing")}
    assert found == {"routing.top_k": 2, "routing.groups": None}
    assert known(routed(Routing(4))) != known(routed(Routing(8)))


def test_a_module_inside_itself_ends(known: Recipes) -> None:
    outer, inner = torch.nn.Module(), Norm(4)
    outer.inner, inner.outer = inner, outer
    assert set(known.found[known(outer)].parts) == {"inner"}


def test_the_digest_names_the_weights(known: Recipes, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = Norm(4), Norm(4, eps=1e-5)
    assert known.found[known(one)].digest == known.found[known(other)].digest
    changed = Norm(4, eps=1e-4)
    with torch.no_grad():
        changed.weight[0] = 7.0
    assert known.found[known(changed)].digest != known.found[known(one)].digest
    monkeypatch.setattr(recipes, "DIGEST_LIMIT", 15)
    assert known.found[known(Norm(4, eps=1e-3))].digest == ""


def test_constructors_are_remembered(known: Recipes) -> None:
    class Watched(Norm):
        def __init__(self, size: int, layer_idx: int = 0, eps: float = 1e-6) -> None:
            super().__init__(size, layer_idx, eps)

    class Child(Watched):
        def __init__(self) -> None:
            super().__init__(6, eps=0.5)

    signature = inspect.signature(Watched)
    remember_constructor(Watched)
    assert inspect.signature(Watched) == signature
    module = known.found[known(Child())]
    given: list[Any] = [(argument.name, argument.scalar, argument.keyword) for argument in module.init]
    assert given == [("size", 6, False), ("eps", 0.5, True)]
    assert module.constructor.endswith("Watched")
    assert module.type.endswith("Child")
