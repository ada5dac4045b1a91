"""The method seam: methods of the patch set on the engine's own class object.

Swapping methods in place reaches everything that holds the class (imports, subclasses, registries), which replacing the
class does not. It must happen before any instance is built: engines bind methods at construction.
"""

from __future__ import annotations

import functools
import inspect
from typing import Any

from fk_overlay.errors import SeamError
from fk_overlay.overlay.seams.parameters import check, parameters
from fk_overlay.overlay.tally import Function, Tally, guarded, refusal


def original(owner: type, member: str) -> Function:
    """The plain function behind a method that ``owner`` itself defines. Raises :class:`SeamError` if it defines
    none."""
    held = vars(owner).get(member)
    function = held.__func__ if isinstance(held, staticmethod) else held
    if not inspect.isfunction(function):
        what = (
            "is a class method, which no patch can stand for"
            if isinstance(held, classmethod)
            else "is not defined there"
        )
        raise SeamError(f"{owner.__module__}:{owner.__qualname__}.{member} {what}; correct the task's members")
    return function


def swap(owner: type, member: str, patch: type, tally: Tally) -> None:
    """Put ``patch``'s method for ``member`` (else its ``forward``) in the place of ``owner.member``.

    Raises:
        SeamError: the patch has no method for the member, or it cannot take what the original takes.
    """
    static = isinstance(vars(owner).get(member), staticmethod)
    function = original(owner, member)
    kernel, supports, why_not = _kernel(patch, member), *refusal(patch)
    for each in filter(None, (kernel, supports, why_not)):
        check(f"{owner.__qualname__}.{member}", parameters(function, skip=0 if static else 1), parameters(each, skip=1))
    replaced = _as_method(function) if static else function
    patched = guarded(replaced, kernel, supports, tally, why_not=why_not)
    setattr(owner, member, _on_instances(owner, function, patched) if static else patched)


def _as_method(function: Function) -> Function:
    """A static method that takes an instance, and does without it."""

    @functools.wraps(function)
    def as_method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return as_method


def _on_instances(owner: type, function: Function, patched: Function) -> Function:
    """A static method called on an instance goes to the kernel, with the instance. Called on the bare class it goes to
    the original, since a kernel may need the instance. A plain function, since Dynamo traces no descriptor of ours."""
    me = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)

    @functools.wraps(function)
    def either(*args: Any, **kwargs: Any) -> Any:
        on_instance = args and isinstance(args[0], owner)
        return patched(*args, **kwargs) if on_instance else function(*args, **kwargs)

    signature = inspect.signature(function)
    either.__signature__ = signature.replace(parameters=[me, *signature.parameters.values()])  # type: ignore[attr-defined]
    return either


def _kernel(patch: type, member: str) -> Function:
    kernel = vars(patch).get(member, vars(patch).get("forward"))
    if not inspect.isfunction(kernel):
        raise SeamError(f"patch class {patch.__qualname__} has neither a method {member!r} nor 'forward'")
    return kernel
