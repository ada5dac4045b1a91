"""One call of an oracle, by argument name, so that any tensor in it can be found, cast or replaced."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fk_overlay.core import Case
from fk_overlay.integrity.oracle import Oracle, as_tuple

if TYPE_CHECKING:
    from torch import Tensor

Call = dict[str, Any]
Change = Callable[[str, "Tensor"], "Tensor"]


def named(oracle: Oracle, case: Case) -> Call:
    """The case's arguments by the names that the oracle gives them, ``module`` included. Raises ValueError for a call
    that the oracle does not know."""
    try:
        return dict(inspect.signature(oracle.reference).bind(case.module, *case.args, **case.kwargs).arguments)
    except TypeError as error:
        raise ValueError(f"the oracle is called in another way: {error}") from error


def results_of(oracle: Oracle, call: Call) -> tuple[Any, ...]:
    return as_tuple(oracle.reference(**call))


def changed(value: Any, change: Change, path: str = "") -> Any:
    """A copy of ``value`` with ``change(path, tensor)`` in the place of every tensor.

    Looks into dictionaries, lists, tuples and stand-in modules; an engine's own modules stay as they are. Paths are
    dotted: ``module.weight``, ``x``.
    """
    import torch

    def inner(name: object, held: Any) -> Any:
        return changed(held, change, f"{path}.{name}".lstrip("."))

    if isinstance(value, torch.Tensor):
        return change(path, value)
    if isinstance(value, dict):
        return {name: inner(name, held) for name, held in value.items()}
    if isinstance(value, SimpleNamespace):
        return SimpleNamespace(**{name: inner(name, held) for name, held in vars(value).items()})
    if isinstance(value, list | tuple):
        return type(value)(inner(index, held) for index, held in enumerate(value))
    return value


def tensors(value: Any) -> dict[str, Tensor]:
    """Every tensor that :func:`changed` finds, by path."""
    found: dict[str, Tensor] = {}

    def note(path: str, tensor: Tensor) -> Tensor:
        found[path] = tensor
        return tensor

    changed(value, note)
    return found


def precise(call: Call) -> Call:
    """The same call in float64."""
    return {name: changed(value, _double, name) for name, value in call.items()}


def _double(path: str, tensor: Tensor) -> Tensor:
    return tensor.double() if tensor.is_floating_point() else tensor
