"""A live function must be the one that its source file defines."""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import toy_package

from fk_overlay.contract.definition import Definition, find
from fk_overlay.contract.live import verify_live
from fk_overlay.errors import ContractError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return toy_package.make(tmp_path)


@pytest.fixture
def layers(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(root))
    yield importlib.import_module("toy.layers")
    for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
        del sys.modules[name]


def described(root: Path, qualname: str) -> tuple[str, Definition]:
    place = f"toy.layers:{qualname}"
    return place, find(root, place)


@pytest.mark.parametrize("qualname", ["Norm.forward", "Norm.native", "align", "fallback", "Norm"])
def test_untouched_functions_and_classes_pass(root: Path, layers: ModuleType, qualname: str) -> None:
    place, definition = described(root, qualname)
    live: Any = functools.reduce(getattr, qualname.split("."), layers)
    verify_live(place, live, definition)


def test_static_method_objects_and_bound_methods_pass(root: Path, layers: ModuleType) -> None:
    place, definition = described(root, "Norm.native")
    verify_live(place, vars(layers.Norm)["native"], definition)
    place, definition = described(root, "Norm.forward")
    verify_live(place, layers.Norm(3).forward, definition)


def test_another_function_is_refused_with_its_file(root: Path, layers: ModuleType) -> None:
    place, definition = described(root, "align")
    with pytest.raises(ContractError, match=r"<lambda> of .*test_contract_live\.py"):
        verify_live(place, lambda ids, size=4: ids, definition)


def test_another_function_of_the_same_file_is_refused(root: Path, layers: ModuleType) -> None:
    place, definition = described(root, "align")
    with pytest.raises(ContractError, match=r"fallback of .*layers\.py"):
        verify_live(place, layers.fallback, definition)


@pytest.mark.parametrize("qualname", ["align", "Norm.forward"])
def test_a_strangers_wrapper_is_refused_though_it_names_what_it_wraps(
    root: Path, layers: ModuleType, qualname: str
) -> None:
    place, definition = described(root, qualname)
    live: Any = functools.reduce(getattr, qualname.split("."), layers)

    @functools.wraps(live)
    def profiled(*args: Any) -> Any:
        return live(*args)

    with pytest.raises(ContractError, match=r"profiled of .*test_contract_live\.py"):
        verify_live(place, profiled, definition)


def test_a_library_wrapper_passes_only_where_the_source_has_a_decorator(root: Path, layers: ModuleType) -> None:
    place, definition = described(root, "align")
    with pytest.raises(ContractError, match="lru_cache"):
        verify_live(place, functools.lru_cache(layers.align), definition)


def test_a_class_with_a_foreign_method_is_refused(root: Path, layers: ModuleType) -> None:
    place, definition = described(root, "Norm")
    layers.Norm.forward = lambda self, x: x
    with pytest.raises(ContractError, match=r"toy\.layers:Norm\.forward is .*<lambda>"):
        verify_live(place, layers.Norm, definition)


def test_another_class_is_refused(root: Path, layers: ModuleType) -> None:
    place, definition = described(root, "Norm")
    with pytest.raises(ContractError, match="load no other plugin"):
        verify_live(place, dict, definition)


def test_what_is_no_function_is_refused(root: Path, layers: ModuleType) -> None:
    place, definition = described(root, "align")
    with pytest.raises(ContractError, match="is a dict"):
        verify_live(place, layers.TABLE, definition)


def test_torch_decorators_of_the_source_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "import torch\n\n\n@torch.inference_mode()\ndef quiet(x):\n    return x\n\n\n"
        "@torch.compile(dynamic=True, backend='eager')\ndef compiled(x):\n    return x\n"
    )
    root = toy_package.make(tmp_path, source)
    monkeypatch.syspath_prepend(str(root))
    layers = importlib.import_module("toy.layers")
    try:
        for qualname in ("quiet", "compiled"):
            place, definition = described(root, qualname)
            verify_live(place, getattr(layers, qualname), definition)
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "toy"]:
            del sys.modules[name]
