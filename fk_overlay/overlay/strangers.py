"""Which parts of the engine are no longer the engine's: functions and classes that its modules hold, but that were
written elsewhere.

A patch may replace what its task names and nothing else. What it sets beyond that (a scheduler's method, the sampler, a
metric) is found by looking at where the code of everything in the engine's loaded modules comes from. Code that is made
from a text has no file; it counts as a pack's where it sees the globals of a pack, or of nobody. What engines make that
way themselves is in the baseline's process too, with which the candidate's is compared.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FunctionType, MethodType, ModuleType
from typing import Any

OWN = str(Path(__file__).parents[1])
PACKS = "fk_pack_"
"""How packs are called as modules (:func:`fk_overlay.overlay.loader.package_name`)."""
TEXT = "<"
"""Code that was made from a text has a file name that begins like this, such as ``<string>``."""


def strangers(engine: str, packs: Iterable[Path], placed: Iterable[str]) -> list[str]:
    """``module:name`` of everything in the engine's modules that comes from a pack's folder or from a text.

    Args:
        engine: the engine's top package.
        packs: folders of the packs in this process.
        placed: what the overlay itself put in place, as ``module:qualname``.
    """
    folders = tuple(f"{folder}/" for folder in packs)
    allowed = set(placed)
    found = {
        f"{module}:{name}"
        for module, name, value in _held(engine)
        if f"{module}:{name}" not in allowed and _foreign(name, value, folders)
    }
    return sorted(found)


def _held(engine: str) -> Iterator[tuple[str, str, Any]]:
    """(module, dotted name, value) of module variables and of the attributes of classes that belong to the engine."""
    for module_name, module in list(sys.modules.items()):
        if module_name.partition(".")[0] != engine or not isinstance(module, ModuleType):
            continue
        for name, value in list(vars(module).items()):
            yield module_name, name, value
            if isinstance(value, type) and value.__module__ == module_name:
                yield from ((module_name, f"{name}.{member}", held) for member, held in list(vars(value).items()))


def _foreign(name: str, value: Any, folders: tuple[str, ...]) -> bool:
    code_file = _file(value)
    if code_file is None or code_file.startswith(OWN):
        return False
    made_from_text = code_file.startswith(TEXT) and not name.rpartition(".")[2].startswith("__")
    return code_file.startswith(folders) or (made_from_text and _home(value).startswith(PACKS))


def _file(value: Any) -> str | None:
    """The file that a callable's code comes from; None for what is neither a callable nor a class."""
    if isinstance(value, functools.partial | functools.partialmethod):
        return _file(value.func)
    if isinstance(value, staticmethod | classmethod | MethodType):
        return _file(value.__func__)
    if isinstance(value, property):
        return _file(value.fget)
    if isinstance(value, FunctionType):
        return value.__code__.co_filename
    owner = value if isinstance(value, type) else type(value)
    home = sys.modules.get(owner.__module__)
    return getattr(home, "__file__", None)


def _home(value: Any) -> str:
    """Name of the module whose globals a function sees; that of packs where it has none, as code run in a bare
    dictionary has."""
    function = inspect.unwrap(value.__func__) if isinstance(value, staticmethod | classmethod | MethodType) else value
    return str(getattr(function, "__globals__", {}).get("__name__", PACKS))
