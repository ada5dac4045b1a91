"""Counts how often a replaced function is entered all the same, from wherever it is called.

The seam keeps the original for calls that ``supports`` refuses. A candidate that reaches it (``__wrapped__``, a
closure, the garbage collector) and calls it claims the baseline's work for its own. So the function object itself is
changed: its code counts, and goes on to a copy that nobody holds.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any

from fk_overlay.overlay.tally import Tally, counted

ENTERED = "_fk_overlay_entered_"


def count_entries(function: Any, tally: Tally) -> None:
    """Let every call of ``function`` be counted in ``tally``, as one that runs in Python or that Dynamo traces."""
    copy = FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__dict__.update(function.__dict__)
    function.__signature__ = inspect.signature(function)
    name = f"{ENTERED}{id(function)}"
    function.__globals__[name] = counted(copy, tally)
    function.__defaults__ = function.__kwdefaults__ = None  # the copy has them; the new code takes whatever comes
    function.__code__ = _code(name, function)


def behind(swapped: Any) -> Any:
    """The original that a seam wrapped; None if there is none."""
    held = swapped.__func__ if isinstance(swapped, staticmethod) else swapped
    original = getattr(held, "__wrapped__", None)
    return original if isinstance(original, FunctionType) else None


def _code(name: str, function: Any) -> Any:
    """Code that passes everything on to the global ``name``. It has the function's free variables, unused: a function
    takes only code with as many."""
    free = function.__code__.co_freevars
    mentioned = "\n".join(f"        {each}" for each in free) or "        pass"
    text = (
        f"def make({', '.join(free)}):\n def passed(*args, **kwargs):\n  if 0:\n{mentioned}\n"
        f"  return {name}(*args, **kwargs)\n return passed\n"
    )
    namespace: dict[str, Callable[..., Any]] = {}
    exec(compile(text, function.__code__.co_filename, "exec"), namespace)
    made: Any = namespace["make"](*free)
    return made.__code__.replace(
        co_name=function.__code__.co_name,
        co_qualname=function.__code__.co_qualname,
        co_firstlineno=function.__code__.co_firstlineno,
    )
