from __future__ import annotations

from typing import Any

import pytest
import torch

from fk_overlay.errors import SeamError
from fk_overlay.overlay.seams.parameters import check, parameters


def engine(x: Any, residual: Any = None, *, eps: float = 1e-6) -> Any: ...
def engine_variadic(x: Any, *rest: Any, **options: Any) -> Any: ...
def engine_positional(x: Any, y: Any, /) -> Any: ...


def same(x: Any, residual: Any = None, *, eps: float = 1e-6) -> Any: ...
def by_position_too(x: Any, residual: Any = None, eps: float = 1e-6) -> Any: ...
def more_optional(x: Any, residual: Any = None, *, eps: float = 1e-6, fast: bool = True) -> Any: ...
def required_made_optional(x: Any = None, residual: Any = None, *, eps: float = 1e-6) -> Any: ...
def everything(*args: Any, **kwargs: Any) -> Any: ...
def rest_by_name(x: Any, residual: Any = None, **kwargs: Any) -> Any: ...


@pytest.mark.parametrize(
    "kernel", [same, by_position_too, more_optional, required_made_optional, everything, rest_by_name]
)
def test_takes_every_call_of_the_engine(kernel: Any) -> None:
    check("place", parameters(engine), parameters(kernel))


def missing(x: Any, residual: Any = None) -> Any: ...
def renamed(y: Any, residual: Any = None, *, eps: float = 1e-6) -> Any: ...
def swapped(residual: Any, x: Any = None, *, eps: float = 1e-6) -> Any: ...
def other_default(x: Any, residual: Any = None, *, eps: float = 1e-5) -> Any: ...
def default_lost(x: Any, residual: Any, *, eps: float = 1e-6) -> Any: ...
def more_required(x: Any, residual: Any = None, *, eps: float = 1e-6, fast: bool) -> Any: ...
def by_name_only(x: Any, *, residual: Any = None, eps: float = 1e-6) -> Any: ...
def nameless(x: Any, residual: Any = None, /, *, eps: float = 1e-6) -> Any: ...
def positional_rest_only(*args: Any) -> Any: ...
def named_rest_only(x: Any, **kwargs: Any) -> Any: ...


@pytest.mark.parametrize(
    "kernel",
    [
        missing,
        renamed,
        swapped,
        other_default,
        default_lost,
        more_required,
        by_name_only,
        nameless,
        positional_rest_only,
        named_rest_only,
    ],
)
def test_refuses_what_would_break_or_differ_in_some_call(kernel: Any) -> None:
    with pytest.raises(SeamError):
        check("place", parameters(engine), parameters(kernel))


def test_the_message_shows_both_sides_without_annotations() -> None:
    with pytest.raises(SeamError) as refused:
        check("Norm.forward", parameters(engine), parameters(renamed))
    assert str(refused.value) == (
        "the kernel for Norm.forward takes (y, residual=None, *, eps=1e-06); "
        "the engine calls it with (x, residual=None, *, eps=1e-06)"
    ).replace("*, ", "")


def test_variadic_originals_need_variadic_kernels() -> None:
    check("place", parameters(engine_variadic), parameters(everything))
    check("place", parameters(engine_variadic), parameters(engine_variadic))
    with pytest.raises(SeamError):
        check("place", parameters(engine_variadic), parameters(rest_by_name))


def test_positional_only_parameters() -> None:
    def normal(x: Any, y: Any) -> Any: ...
    def one(x: Any) -> Any: ...

    check("place", parameters(engine_positional), parameters(normal))
    with pytest.raises(SeamError):
        check("place", parameters(engine_positional), parameters(one))


def test_what_is_bound_does_not_count() -> None:
    def method(self: Any, x: Any, residual: Any = None, *, eps: float = 1e-6) -> Any: ...

    check("place", parameters(engine), parameters(method, skip=1))
    with pytest.raises(SeamError):
        check("place", parameters(engine), parameters(method))


def test_a_torch_operator_takes_whatever_it_is_given() -> None:
    check("place", parameters(engine), parameters(torch.ops.aten.add.Tensor))


def test_a_builtin_that_tells_nothing_must_be_wrapped() -> None:
    with pytest.raises(SeamError, match="wrap it in a Python function"):
        parameters(torch._C._nn.silu)
