"""Makes sure that what runs in an engine process is what its source files say, before it is replaced.

A function that somebody else has wrapped or replaced already (a profiler, another plugin) would make the comparison one
against an unknown baseline.
"""

from __future__ import annotations

import ast
import os
import sys
import textwrap
from collections.abc import Iterator
from types import CodeType
from typing import Any

from fk_overlay.contract.definition import Definition
from fk_overlay.contract.syntax import Function
from fk_overlay.errors import ContractError

INNER = ("__wrapped__", "__func__", "_torchdynamo_orig_callable", "fn", "func")
"""Where decorators keep what they decorate: functools, bound and static methods, torch.compile, triton.jit, partial."""

DECORATING = frozenset({"torch", "triton"}) | sys.stdlib_module_names
"""Packages whose decorators engines use on their own functions."""


def verify_live(place: str, live: Any, definition: Definition) -> None:
    """Check that ``live`` is the function or class that ``definition`` describes.

    If the source decorates it, wrappers of the engine's own package, torch, triton and the standard library may be
    around it.

    Raises:
        ContractError: it is another function, or a stranger's wrapper is around it; the message names the file that it
            came from.
    """
    if isinstance(live, type):
        _verify_class(place, live, definition)
        return
    *wrappers, core = _layers(live)
    code = getattr(core, "__code__", None)
    if not isinstance(code, CodeType):
        raise ContractError(
            f"{place}: the live object is a {type(core).__qualname__}, not a function; correct its seam"
        )
    source = (os.path.realpath(definition.file), definition.lineno)
    if (os.path.realpath(code.co_filename), code.co_firstlineno) != source:
        raise _foreign(place, core, definition)
    allowed = DECORATING | {_package(place)} if _node(definition).decorator_list else frozenset[str]()
    for wrapper in wrappers:
        if _home(wrapper) not in allowed:
            raise _foreign(place, wrapper, definition)


def _verify_class(place: str, live: type, definition: Definition) -> None:
    """A class decorator may replace methods, so each must come from the engine's package, not from its own lines."""
    if f"{live.__module__}:{live.__qualname__}" != place:
        raise ContractError(f"{place} is {live.__module__}:{live.__qualname__} in this process; load no other plugin")
    for node in _node(definition).body:
        held = vars(live).get(node.name) if isinstance(node, Function) else None
        *wrappers, core = _layers(held)
        strange = [layer for layer in wrappers if _home(layer) not in DECORATING | {_package(place)}]
        if isinstance(getattr(core, "__code__", None), CodeType) and _home(core) != _package(place):
            strange.append(core)
        if strange:
            raise _foreign(f"{place}.{node.name}", strange[0], definition)


def _layers(live: Any) -> Iterator[Any]:
    """``live`` and what it wraps, outermost first."""
    seen: set[int] = set()
    while id(live) not in seen:
        seen.add(id(live))
        yield live
        live = next((getattr(live, name) for name in INNER if hasattr(live, name)), live)


def _home(layer: Any) -> str:
    """Top package that a wrapper was written in; that of its type for one that is no Python function."""
    name = getattr(layer, "__globals__", {}).get("__name__") or type(layer).__module__
    return _package(str(name))


def _package(dotted: str) -> str:
    return dotted.partition(":")[0].partition(".")[0]


def _node(definition: Definition) -> Any:
    return ast.parse(textwrap.dedent(definition.source)).body[0]


def _foreign(place: str, layer: Any, definition: Definition) -> ContractError:
    code = getattr(layer, "__code__", None)
    what = f"{code.co_qualname} of {code.co_filename}:{code.co_firstlineno}" if code else repr(layer)
    return ContractError(
        f"{place} is {what} in this process, not what {definition.file}:{definition.lineno} defines; "
        "load no other plugin or patch that touches it"
    )
