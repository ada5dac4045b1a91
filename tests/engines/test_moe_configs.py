"""Lookups of fused-MoE configurations, told apart by whether a pack answered."""

from __future__ import annotations

import functools
import sys
from types import ModuleType
from typing import Any

import pytest

from fk_overlay.engines.moe_configs import watch_lookups
from fk_overlay.errors import ContractError
from fk_overlay.tuned import Tuned

OURS, THEIRS = {1: {"BLOCK": 16}}, {1: {"BLOCK": 64}}
FILES = {"E=8": OURS, "E=16": THEIRS}


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A module that looks up as engines do: each answer is kept, and a lookup may lead to another one."""
    module: Any = ModuleType("moe_lookups")
    module.named = 0

    def get_config_file_name(experts: int, down: bool = False) -> str:
        module.named += 1
        return f"E={experts}{'_down' if down else ''}"

    @functools.lru_cache
    def get_moe_configs(experts: int, down: bool = False) -> Any:
        if experts < 0:
            return None
        name = module.get_config_file_name(experts, down)
        return module.get_moe_configs(experts) if down else FILES.get(name)

    module.get_config_file_name, module.get_moe_configs = get_config_file_name, get_moe_configs
    monkeypatch.setitem(sys.modules, "moe_lookups", module)
    return module


def watched(engine: Any) -> list[tuple[str, bool]]:
    asked: list[tuple[str, bool]] = []
    watch_lookups(engine, {"E=8": Tuned(OURS)}, lambda file, found: asked.append((file, found)))
    return asked


def test_only_what_the_pack_holds_is_found_and_every_file_is_named(engine: Any) -> None:
    asked = watched(engine)
    assert [engine.get_moe_configs(experts) for experts in (8, 16, 32)] == [OURS, THEIRS, None]
    assert asked == [("E=8", True), ("E=16", False), ("E=32", False)]


def test_an_answer_that_the_engine_has_kept_is_a_lookup_too(engine: Any) -> None:
    asked = watched(engine)
    for _ in range(3):
        engine.get_moe_configs(8)
        engine.get_moe_configs(32)
    assert asked == [("E=8", True), ("E=32", False)] * 3
    assert engine.named == 2


def test_a_lookup_that_leads_to_another_is_named_after_what_it_wanted(engine: Any) -> None:
    asked = watched(engine)
    assert engine.get_moe_configs(8, down=True) == OURS
    assert asked == [("E=8", True), ("E=8_down", True)]


def test_an_engine_that_wants_no_file_is_told_by_its_arguments(engine: Any) -> None:
    asked = watched(engine)
    engine.get_moe_configs(-1, down=True)
    assert asked == [("no file for -1, down=True", False)]


def test_a_release_that_looks_up_elsewhere_is_refused(engine: Any) -> None:
    del engine.get_config_file_name
    with pytest.raises(ContractError, match="moe_lookups has no 'get_config_file_name'"):
        watched(engine)
