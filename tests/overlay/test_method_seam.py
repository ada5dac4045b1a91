from __future__ import annotations

import inspect
import pickle
from typing import Any

import pytest
import torch

from fk_overlay.errors import SeamError
from fk_overlay.overlay.counters import Counters, Slot
from fk_overlay.overlay.seams import method
from fk_overlay.overlay.tally import Tally


class Negated:
    """A patch whose forward stands for every member."""

    def forward(self, x: int, by: int = 2) -> int:
        return -x * by


@pytest.fixture
def layer() -> type:
    """A fresh class for every test, as an engine would define it."""

    class Layer:
        def __init__(self) -> None:
            self.bound = self.forward

        def forward(self, x: int, by: int = 2) -> int:
            """Scales."""
            return x * by

        @staticmethod
        def static(x: int, by: int = 2) -> int:
            return x * by

        @classmethod
        def made(cls, x: int, by: int = 2) -> int:
            return x * by

        value = 3

    return Layer


def test_instances_get_the_kernel_and_are_counted(layer: Any, tally: Tally, counters: Counters) -> None:
    made_before = layer()
    method.swap(layer, "forward", Negated, tally)
    assert [layer().forward(1), layer().forward(1, by=5), made_before.forward(1)] == [-2, -5, -2]
    assert layer.forward(layer(), 1) == -2
    assert counters.get(tally.row, Slot.EAGER) == 4


def test_methods_that_an_engine_bound_keep_what_they_were_bound_to(layer: Any, tally: Tally) -> None:
    """vLLM's ``_forward_method`` is bound at construction, and SGLang's up to 0.5.17; so the overlay must
    come first."""
    made_before = layer()
    method.swap(layer, "forward", Negated, tally)
    assert made_before.bound(1) == 2
    assert layer().bound(1) == -2


def test_methods_that_an_engine_binds_at_the_first_call_need_the_overlay_before_it(tally: Tally) -> None:
    """SGLang's operators from 0.5.18 on: the class is searched for the platform's method, by name, and what was found
    is kept."""

    class Lazy:
        def __init__(self) -> None:
            self.method: Any = None

        def forward_cpu(self, x: int, by: int = 2) -> int:
            return x * by

        def forward(self, *args: Any) -> Any:
            if self.method is None:
                names = [name for owner in type(self).__mro__ for name in vars(owner) if name == "forward_cpu"]
                self.method = getattr(self, names[0])
            return self.method(*args)

    called, made = Lazy(), Lazy()
    assert called.forward(1) == 2
    method.swap(Lazy, "forward_cpu", Negated, tally)
    assert [called.forward(1), made.forward(1), Lazy().forward(1)] == [2, -2, -2]


def test_subclasses_inherit_the_kernel_unless_they_override(layer: Any, tally: Tally) -> None:
    class Inherits(layer): ...

    class Overrides(layer):
        def forward(self, x: int, by: int = 2) -> int:
            return int(super().forward(x, by)) + 100

    method.swap(layer, "forward", Negated, tally)
    assert Inherits().forward(1) == -2
    assert Overrides().forward(1) == 98


def test_the_kernel_sees_the_instance(layer: Any, tally: Tally) -> None:
    class Patch:
        def forward(self: Any, x: int, by: int = 2) -> int:
            return x + int(self.value)

    method.swap(layer, "forward", Patch, tally)
    assert layer().forward(1) == 4


def test_it_looks_like_the_original(layer: Any, tally: Tally) -> None:
    before = layer.forward
    method.swap(layer, "forward", Negated, tally)
    after = layer.forward
    assert inspect.signature(after) == inspect.signature(before)
    assert inspect.signature(layer().forward) == inspect.signature(layer().bound)
    assert (after.__name__, after.__qualname__, after.__doc__) == ("forward", before.__qualname__, "Scales.")
    assert after.__wrapped__ is before
    assert inspect.getsource(after) == inspect.getsource(before)


class Picklable:
    def forward(self, x: int, by: int = 2) -> int:
        return x * by


def test_instances_can_be_pickled(tally: Tally) -> None:
    original = Picklable.forward
    try:
        method.swap(Picklable, "forward", Negated, tally)
        assert pickle.loads(pickle.dumps(Picklable())).forward(1) == -2
    finally:
        Picklable.forward = original  # type: ignore[method-assign]


def test_a_method_named_like_the_member_wins_over_forward(layer: Any, tally: Tally) -> None:
    class Patch(Negated):
        def forward(self, x: int, by: int = 2) -> int:
            raise AssertionError

        def static(self, x: int, by: int = 2) -> int:
            return x + by

    method.swap(layer, "static", Patch, tally)
    assert layer().static(1) == 3


def test_what_supports_refuses_goes_to_the_original(layer: Any, tally: Tally, counters: Counters) -> None:
    class Patch(Negated):
        forward = Negated.forward

        def supports(self: Any, x: int, by: int = 2) -> bool:
            return isinstance(self, layer) and x > 0

    method.swap(layer, "forward", Patch, tally)
    assert [layer().forward(1), layer().forward(-1), layer().forward(x=0)] == [-2, -2, 0]
    assert counters.get(tally.row, Slot.EAGER) == 1
    assert counters.get(tally.row, Slot.FALLBACK) == 2


def test_an_error_in_supports_or_kernel_is_not_swallowed(layer: Any, tally: Tally) -> None:
    class Patch:
        def forward(self, x: int, by: int = 2) -> int:
            raise ZeroDivisionError

    method.swap(layer, "forward", Patch, tally)
    with pytest.raises(ZeroDivisionError):
        layer().forward(1)


# ------------------------------------------------------------------------------------------------ static methods


def test_static_methods_are_patched_on_instances_only(layer: Any, tally: Tally, counters: Counters) -> None:
    """vLLM calls ``SiluAndMul.forward_native(x)`` on the bare class, where a kernel would have no instance."""

    class Child(layer): ...

    method.swap(layer, "static", Negated, tally)
    assert [layer().static(1), layer().static(x=1, by=3), Child().static(1)] == [-2, -3, -2]
    assert [layer.static(1), layer.static(x=1, by=3), Child.static(1)] == [2, 3, 2]
    assert counters.get(tally.row, Slot.EAGER) == 3
    assert counters.get(tally.row, Slot.FALLBACK) == 0


def test_static_methods_hand_the_instance_to_the_kernel(layer: Any, tally: Tally) -> None:
    class Patch:
        def forward(self: Any, x: int, by: int = 2) -> int:
            return x + int(self.value)

        def supports(self: Any, x: int, by: int = 2) -> bool:
            return bool(self.value == 3 and x > 0)

    method.swap(layer, "static", Patch, tally)
    assert [layer().static(1), layer().static(-1)] == [4, -2]


def test_static_methods_look_like_the_original_on_instances(layer: Any, tally: Tally) -> None:
    before = inspect.signature(layer().static)
    method.swap(layer, "static", Negated, tally)
    assert inspect.signature(layer().static) == before
    assert layer().static.__name__ == "static"


# ------------------------------------------------------------------------------------------------ refusals


def test_class_methods_are_refused(layer: Any, tally: Tally) -> None:
    with pytest.raises(SeamError, match=r"Layer\.made is a class method"):
        method.swap(layer, "made", Negated, tally)
    assert layer.made(1) == 2


@pytest.mark.parametrize("member", ["value", "nowhere", "__init_subclass__"])
def test_members_that_the_class_does_not_define_are_refused(layer: Any, member: str, tally: Tally) -> None:
    with pytest.raises(SeamError, match=f"Layer.{member} is not defined there; correct the task's members"):
        method.swap(layer, member, Negated, tally)


def test_inherited_members_are_refused(layer: Any, tally: Tally) -> None:
    """They would be patched on one subclass only; the task must name the class that defines them."""

    class Child(layer): ...

    with pytest.raises(SeamError, match=r"Child\.forward is not defined there"):
        method.swap(Child, "forward", Negated, tally)


def test_a_patch_without_a_method_is_refused(layer: Any, tally: Tally) -> None:
    class Empty: ...

    with pytest.raises(SeamError, match="neither a method 'forward' nor 'forward'"):
        method.swap(layer, "forward", Empty, tally)


@pytest.mark.parametrize("member", ["forward", "static"])
def test_wrong_parameters_are_refused_in_words(layer: Any, member: str, tally: Tally) -> None:
    class Patch:
        def forward(self, x: int) -> int:
            return x

    before = vars(layer)[member]
    with pytest.raises(SeamError) as refused:
        method.swap(layer, member, Patch, tally)
    assert str(refused.value) == (
        f"the kernel for {layer.__qualname__}.{member} takes (x); the engine calls it with (x, by=2)"
    )
    assert vars(layer)[member] is before


def test_a_supports_with_other_parameters_is_refused(layer: Any, tally: Tally) -> None:
    class Patch(Negated):
        forward = Negated.forward

        @staticmethod
        def supports(x: int, by: int = 2) -> bool:
            return True

    with pytest.raises(SeamError, match=r"takes \(by=2\); the engine calls it with \(x, by=2\)"):
        method.swap(layer, "forward", Patch, tally)


def test_constructors_are_methods_like_others(tally: Tally, counters: Counters) -> None:
    class Base(torch.nn.Module):
        def __init__(self, size: int = 4) -> None:
            super().__init__()
            self.size = size

    class Child(Base):
        def __init__(self) -> None:
            super().__init__(size=8)

    class Patch:
        def __init__(self: Any, size: int = 4) -> None:
            torch.nn.Module.__init__(self)
            self.size = size + 1

    method.swap(Base, "__init__", Patch, tally)
    assert (Base().size, Child().size) == (5, 9)
    assert counters.get(tally.row, Slot.EAGER) == 2


def test_modules_still_call_their_hooks(tally: Tally) -> None:
    class Norm(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    class Patch:
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return -x

    method.swap(Norm, "forward", Patch, tally)
    norm, seen = Norm(), []
    norm.register_forward_hook(lambda module, args, out: seen.append(float(out)))
    assert float(norm(torch.tensor(2.0))) == -2.0
    assert seen == [-2.0]
