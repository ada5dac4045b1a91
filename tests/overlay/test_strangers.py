"""Whose code an engine's symbols are."""

from __future__ import annotations

import functools
import sys
from abc import abstractmethod
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from fk_overlay.overlay.last_look import ask
from fk_overlay.overlay.receipts import Receipt, processes
from fk_overlay.overlay.strangers import strangers

ENGINE = "strange_toy"
SOURCE = """
class Scheduler:
    def schedule(self):
        return 1

    @staticmethod
    def order():
        return 2

def sample():
    return 3

LIMIT = 4
"""
PATCH = """
def patched(*args):
    return 0

class Patched:
    def __call__(self):
        return 0
"""


def loaded(name: str, path: Path, source: str) -> ModuleType:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(source)
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    exec(compile(source, str(path), "exec"), vars(module))
    return module


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Any]:
    yield loaded(ENGINE, tmp_path / "engine" / "core.py", SOURCE)
    del sys.modules[ENGINE]


@pytest.fixture
def patch(tmp_path: Path) -> Iterator[Any]:
    yield loaded("fk_pack_strange", tmp_path / "pack" / "kernel.py", PATCH)
    del sys.modules["fk_pack_strange"]


def seen(tmp_path: Path, *placed: str) -> list[str]:
    return strangers(ENGINE, [tmp_path / "pack"], placed)


def test_an_engine_that_nobody_touched_has_no_strangers(engine: Any, patch: Any, tmp_path: Path) -> None:
    assert seen(tmp_path) == []


def test_functions_methods_classes_and_wrappers_are_found(engine: Any, patch: Any, tmp_path: Path) -> None:
    engine.Scheduler.schedule = patch.patched
    engine.Scheduler.order = staticmethod(patch.patched)
    engine.sample = functools.partial(patch.patched, 1)
    engine.new, engine.called = patch.Patched, patch.Patched()
    names = ("Scheduler.order", "Scheduler.schedule", "called", "new", "sample")
    assert seen(tmp_path) == [f"{ENGINE}:{name}" for name in names]


def test_a_body_that_was_exchanged_is_found(engine: Any, patch: Any, tmp_path: Path) -> None:
    engine.sample.__code__ = patch.patched.__code__
    assert seen(tmp_path) == [f"{ENGINE}:sample"]


@pytest.mark.parametrize("seen_globals", [{}, {"__name__": "fk_pack_strange"}])
def test_code_that_a_pack_made_from_a_text_is_found(engine: Any, tmp_path: Path, seen_globals: dict[str, Any]) -> None:
    exec("def sample(): return 5", seen_globals)
    engine.sample = seen_globals["sample"]
    assert seen(tmp_path) == [f"{ENGINE}:sample"]


def test_what_an_engine_makes_itself_is_no_stranger(engine: Any, tmp_path: Path) -> None:
    engine.Pair = namedtuple("Pair", "left right")
    engine.abstractmethod = abstractmethod
    exec("def made(): return 5", vars(engine))
    assert seen(tmp_path) == []


def test_what_the_overlay_placed_is_no_stranger(engine: Any, patch: Any, tmp_path: Path) -> None:
    engine.sample = patch.patched
    assert seen(tmp_path, f"{ENGINE}:sample") == []


def test_asking_waits_for_nobody_who_offered_nothing(tmp_path: Path) -> None:
    Receipt(tmp_path, role="worker", engine="toy", version="1", places=0)
    ask(tmp_path, timeout_s=30)
    (process,) = processes(tmp_path)
    assert "last_look" not in process


def test_asking_gives_up_on_a_process_that_does_not_answer(tmp_path: Path) -> None:
    Receipt(tmp_path, role="worker", engine="toy", version="1", places=0).say(last_look="offered")
    ask(tmp_path, timeout_s=0.2)
    assert processes(tmp_path)[0]["last_look"] == "offered"
