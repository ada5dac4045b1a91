"""The function seam: a module-level function replaced in its module and in every module that imported it."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

from fk_overlay.errors import SeamError
from fk_overlay.overlay.aliases import replace_everywhere
from fk_overlay.overlay.seams.parameters import check, parameters
from fk_overlay.overlay.tally import Tally, guarded, refusal


def swap(module: ModuleType, name: str, patch: Any, tally: Tally, *, pack: str = "") -> list[str]:
    """Replace ``module.name`` by ``patch`` (a function, or a class with a static ``forward`` and ``supports``).

    Args:
        pack: package of the patch, whose modules keep the original.

    Returns the names that were rewritten. Raises :class:`SeamError` if there is no such function, or the patch cannot
    take what it takes.
    """
    function = vars(module).get(name)
    if not callable(function):
        raise SeamError(f"{module.__name__} has no function {name!r}; correct the task's path")
    kernel, supports, why_not = kernel_of(patch), *refusal(patch)
    for each in filter(None, (kernel, supports, why_not)):
        check(f"{module.__name__}:{name}", parameters(function), parameters(each))
    return replace_everywhere(function, guarded(function, kernel, supports, tally, why_not=why_not), spare=pack)


def kernel_of(patch: Any) -> Callable[..., Any]:
    """The kernel of a patch that replaces a function. Raises :class:`SeamError` if it has none."""
    kernel: Any = getattr(patch, "forward", None) if isinstance(patch, type) else patch
    if not callable(kernel):
        raise SeamError(f"patch class {patch.__qualname__} has no static method 'forward'")
    return kernel  # type: ignore[no-any-return]
