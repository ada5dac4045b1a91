"""The function seam: a module-level function replaced in its module and in every module that imported it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from fk_overlay.errors import SeamError
from fk_overlay.overlay.aliases import replace_everywhere
from fk_overlay.overlay.tally import Tally, guarded


def swap(module: ModuleType, name: str, patch: Any, tally: Tally) -> list[str]:
    """Replace ``module.name`` by ``patch`` (a function, or a class with a static ``forward`` and ``supports``).

    Returns the names that were rewritten. Raises :class:`SeamError` if there is no such function.
    """
    function = vars(module).get(name)
    if not callable(function):
        raise SeamError(f"{module.__name__} has no function {name!r}; correct the task's path")
    kernel, supports = parts(patch)
    return replace_everywhere(function, guarded(function, kernel, supports, tally))


def parts(patch: Any) -> tuple[Callable[..., Any], Callable[..., bool] | None]:
    """The kernel and the ``supports`` of a patch that replaces a function. Raises :class:`SeamError` if it has no kernel."""
    if isinstance(patch, type):
        forward = getattr(patch, "forward", None)
        if not callable(forward):
            raise SeamError(f"patch class {patch.__qualname__} has no static method 'forward'")
        return forward, getattr(patch, "supports", None)
    return patch, getattr(patch, "supports", None)
