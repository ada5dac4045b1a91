"""Whether a kernel can be called in every way in which the engine may call what it replaces."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from inspect import Parameter
from typing import Any

from fk_overlay.errors import SeamError

BY_POSITION = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)


def parameters(function: Callable[..., Any], *, skip: int = 0) -> Sequence[Parameter]:
    """Parameters of a function without the first ``skip``. Raises :class:`SeamError` if Python cannot tell them."""
    try:
        return list(inspect.signature(function).parameters.values())[skip:]
    except (TypeError, ValueError) as error:
        raise SeamError(f"{function!r} does not tell its parameters ({error}); wrap it in a Python function") from error


def check(place: str, wanted: Sequence[Parameter], offered: Sequence[Parameter]) -> None:
    """Same names in the same order, same defaults. What a kernel has beyond that must be optional, and
    ``*args, **kwargs`` stand for all that it does not name.

    Raises:
        SeamError: there is a call that the original takes and the kernel does not; the message shows both.
    """
    if any(_unmet(wanted, offered)) or any(_surplus(wanted, offered)):
        raise SeamError(f"the kernel for {place} takes {_text(offered)}; the engine calls it with {_text(wanted)}")


def _unmet(wanted: Sequence[Parameter], offered: Sequence[Parameter]) -> Iterator[bool]:
    kinds = {parameter.kind for parameter in offered}
    by_name = {parameter.name: parameter for parameter in offered}
    for position, parameter in enumerate(wanted):
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            yield parameter.kind not in kinds
        elif parameter.kind is Parameter.KEYWORD_ONLY and parameter.name in by_name:
            yield not _serves(by_name[parameter.name], parameter)
        elif parameter.kind is Parameter.KEYWORD_ONLY:
            yield Parameter.VAR_KEYWORD not in kinds
        elif position < len(offered) and offered[position].kind in BY_POSITION:
            yield not _serves(offered[position], parameter)
        else:
            yield not {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD} <= kinds


def _surplus(wanted: Sequence[Parameter], offered: Sequence[Parameter]) -> Iterator[bool]:
    names = {parameter.name for parameter in wanted}
    for parameter in offered:
        optional = parameter.default is not parameter.empty
        yield not optional and parameter.name not in names and parameter.kind in (*BY_POSITION, Parameter.KEYWORD_ONLY)


def _serves(offered: Parameter, wanted: Parameter) -> bool:
    """Defaults are compared as they print: those of engines are numbers, names and None."""
    by_name_too = offered.kind is not Parameter.POSITIONAL_ONLY or wanted.kind is Parameter.POSITIONAL_ONLY
    same_default = wanted.default is wanted.empty or repr(wanted.default) == repr(offered.default)
    return offered.name == wanted.name and by_name_too and same_default


def _text(parameters: Sequence[Parameter]) -> str:
    bare = (parameter.replace(annotation=Parameter.empty) for parameter in parameters)
    return "(" + ", ".join(map(str, bare)) + ")"
