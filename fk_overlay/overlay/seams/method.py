"""The method seam: methods of the patch set on the engine's own class object.

Swapping methods in place reaches everything that holds the class (imports, subclasses, registries), which replacing the
class does not. It must happen before any instance is built: engines bind methods at construction.
"""

from __future__ import annotations

import functools
import inspect
from types import MethodType
from typing import Any

from fk_overlay.errors import SeamError
from fk_overlay.overlay.tally import Function, Tally, guarded


class OnInstances:
    """Stands for a static method that is patched: instances get the patch, the bare class keeps the original, since
    engines also call such methods without an instance and a patch may need one."""

    def __init__(self, patched: Function, original: Function) -> None:
        self.patched = patched
        self.original = original

    def __get__(self, instance: Any, owner: type | None = None) -> Function:
        return self.original if instance is None else MethodType(self.patched, instance)


def original(owner: type, member: str) -> Function:
    """The plain function behind a method that ``owner`` itself defines. Raises :class:`SeamError` if it defines none."""
    held = vars(owner).get(member)
    function = held.__func__ if isinstance(held, staticmethod | classmethod) else held
    if not inspect.isfunction(function):
        raise SeamError(f"{owner.__module__}.{owner.__qualname__} defines no method {member!r} of its own; correct the task's members")
    return function


def swap(owner: type, member: str, patch: type, tally: Tally) -> None:
    """Put ``patch``'s method for ``member`` (else its ``forward``) in the place of ``owner.member``.

    Raises:
        SeamError: the patch has no method for the member, or it cannot take what the original takes.
    """
    static = isinstance(vars(owner).get(member), staticmethod)
    function = original(owner, member)
    kernel = _kernel(patch, member)
    _check_parameters(function, kernel, static=static, place=f"{owner.__qualname__}.{member}")
    supports = getattr(patch, "supports", None)
    as_method: Function = _with_instance(function) if static else function
    patched = guarded(as_method, kernel, supports, tally)
    setattr(owner, member, OnInstances(patched, function) if static else patched)


def _with_instance(function: Function) -> Function:
    @functools.wraps(function)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return call


def _kernel(patch: type, member: str) -> Function:
    kernel = vars(patch).get(member, vars(patch).get("forward"))
    if not inspect.isfunction(kernel):
        raise SeamError(f"patch class {patch.__qualname__} has neither a method {member!r} nor 'forward'")
    return kernel


def _check_parameters(function: Function, kernel: Function, *, static: bool, place: str) -> None:
    """Every way to call the original must be a way to call the kernel: same names, in the same order, same defaults."""
    wanted = list(inspect.signature(function).parameters.values())[0 if static else 1 :]
    offered = list(inspect.signature(kernel).parameters.values())[1:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in offered):
        return
    missing = [
        parameter.name
        for position, parameter in enumerate(wanted)
        if position >= len(offered) or offered[position].name != parameter.name or _requires_more(parameter, offered[position])
    ]
    if missing:
        raise SeamError(f"the kernel for {place} takes {_names(offered)}; the engine calls it with {_names(wanted)}")


def _requires_more(wanted: inspect.Parameter, offered: inspect.Parameter) -> bool:
    return wanted.default is not wanted.empty and offered.default is offered.empty


def _names(parameters: list[inspect.Parameter]) -> str:
    return "(" + ", ".join(str(parameter).split(":")[0] for parameter in parameters) + ")"
