from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from fk_overlay.errors import SeamError
from fk_overlay.overlay.aliases import replace_everywhere
from fk_overlay.overlay.counters import Counters, Slot
from fk_overlay.overlay.seams import function
from fk_overlay.overlay.tally import Tally


def double(x: int, by: int = 2) -> int:
    """Doubles."""
    return x * by


def faster(x: int, by: int = 2) -> int:
    return -x * by


class Modules:
    """Modules that exist for one test."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def add(self, name: str, **names: Any) -> ModuleType:
        module = ModuleType(name)
        vars(module).update(names)
        sys.modules[name] = module
        self.names.append(name)
        return module


@pytest.fixture
def modules() -> Iterator[Modules]:
    made = Modules()
    yield made
    for name in made.names:
        del sys.modules[name]


def test_every_module_that_holds_the_function_gets_the_new_one(modules: Modules) -> None:
    original = lambda x: x  # noqa: E731
    home = modules.add("toy_home", f=original)
    renamed = modules.add("toy_renamed", g=original, h=original, other=3)
    copy = modules.add("toy_equal", f=lambda x: x)
    new = object()
    assert replace_everywhere(original, new) == ["toy_home:f", "toy_renamed:g", "toy_renamed:h"]
    assert home.f is renamed.g is renamed.h is new
    assert copy.f is not new
    assert renamed.other == 3


def test_identity_decides_not_equality(modules: Modules) -> None:
    class Loud:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("nobody may be compared")

        __hash__ = None  # type: ignore[assignment]

    modules.add("toy_loud", value=Loud(), zero=0)
    assert replace_everywhere(object(), None) == []


def test_entries_of_sys_modules_that_are_no_modules_are_left_alone(modules: Modules) -> None:
    modules.names.append("toy_lazy")
    sys.modules["toy_lazy"] = None  # type: ignore[assignment]
    held = object()
    home = modules.add("toy_home", f=held)
    replace_everywhere(held, 1)
    assert home.f == 1


def test_imports_before_and_after_reach_the_kernel(modules: Modules, tally: Tally, counters: Counters) -> None:
    home = modules.add("toy_home", double=double)
    before = modules.add("toy_before", twice=home.double)
    assert function.swap(home, "double", faster, tally, pack=__name__) == ["toy_before:twice", "toy_home:double"]
    after = modules.add("toy_after", double=home.double)
    assert [home.double(3), before.twice(3), after.double(3, by=5)] == [-6, -6, -15]
    assert counters.get(tally.row, Slot.EAGER) == 3
    assert counters.get(tally.row, Slot.FALLBACK) == 0
    assert home.double.__name__ == "double"
    assert home.double.__doc__ == "Doubles."


def test_held_elsewhere_stays_as_it_is(modules: Modules, tally: Tally) -> None:
    original = lambda x: x  # noqa: E731
    home = modules.add("toy_home", f=original, table={"f": original})
    function.swap(home, "f", lambda x: -x, tally)
    assert home.f(1) == -1
    assert home.table["f"](1) == 1


def test_a_class_brings_a_static_forward_and_supports(modules: Modules, tally: Tally, counters: Counters) -> None:
    class Patch:
        @staticmethod
        def forward(x: int) -> int:
            return -x

        @staticmethod
        def supports(x: int) -> bool:
            return x > 0

    home = modules.add("toy_home", f=lambda x: x)
    function.swap(home, "f", Patch, tally)
    assert [home.f(1), home.f(-1), home.f(x=2)] == [-1, -1, -2]
    assert counters.get(tally.row, Slot.EAGER) == 2
    assert counters.get(tally.row, Slot.FALLBACK) == 1


def test_a_function_may_carry_its_supports(modules: Modules, tally: Tally, counters: Counters) -> None:
    def kernel(x: int) -> int:
        return -x

    kernel.supports = lambda x: False  # type: ignore[attr-defined]
    home = modules.add("toy_home", f=lambda x: x)
    function.swap(home, "f", kernel, tally)
    assert home.f(1) == 1
    assert counters.get(tally.row, Slot.FALLBACK) == 1


def test_a_kernel_may_fall_back_to_what_it_replaces(modules: Modules, tally: Tally) -> None:
    """``from engine import f`` in the pack's own module goes on meaning the engine's f, not the kernel itself."""
    home = modules.add("toy_home", f=lambda x: x)
    pack = modules.add("fk_pack_toy_1234", f=home.f)
    exec("def kernel(x):\n    return 100 + f(x)", vars(pack))
    assert function.swap(home, "f", pack.kernel, tally, pack="fk_pack_toy_1234") == ["toy_home:f"]
    assert home.f(1) == 101


@pytest.mark.parametrize("name", ["missing", "number"])
def test_only_functions_are_swapped(name: str, modules: Modules, tally: Tally) -> None:
    home = modules.add("toy_home", number=3)
    with pytest.raises(SeamError, match=f"toy_home has no function '{name}'"):
        function.swap(home, name, faster, tally)


def test_a_class_without_forward_is_refused(modules: Modules, tally: Tally) -> None:
    home = modules.add("toy_home", f=lambda x: x)
    with pytest.raises(SeamError, match="has no static method 'forward'"):
        function.swap(home, "f", type("Patch", (), {}), tally)


def test_a_forward_that_wants_an_instance_is_refused(modules: Modules, tally: Tally) -> None:
    class Patch:
        def forward(self, x: int) -> int:
            return -x

    home = modules.add("toy_home", f=lambda x: x)
    with pytest.raises(SeamError, match=r"takes \(self, x\); the engine calls it with \(x\)"):
        function.swap(home, "f", Patch, tally)
    assert home.f(1) == 1


def test_supports_must_take_the_same_call(modules: Modules, tally: Tally) -> None:
    def kernel(x: int) -> int:
        return -x

    kernel.supports = lambda tensor: True  # type: ignore[attr-defined]
    home = modules.add("toy_home", f=lambda x: x)
    with pytest.raises(SeamError, match=r"takes \(tensor\)"):
        function.swap(home, "f", kernel, tally)
