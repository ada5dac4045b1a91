"""Finds every module that holds a function under a name of its own (``from x import f``) and gives it the new one.

Objects are told apart by identity. A function held elsewhere (a dict, a default argument, a bound method) keeps the old
one; contracts name places that are called by name.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any


def replace_everywhere(old: Any, new: Any, *, spare: str = "") -> list[str]:
    """Rebind ``old`` in every loaded module. Returns the names that were rewritten, as ``module:name``.

    Args:
        spare: top package that keeps ``old``: a kernel that falls back to what it replaces must not call itself.
    """
    rewritten = []
    for module_name, module in list(sys.modules.items()):
        if isinstance(module, ModuleType) and module_name.partition(".")[0] != spare:
            for name in [name for name, value in list(vars(module).items()) if value is old]:
                setattr(module, name, new)
                rewritten.append(f"{module_name}:{name}")
    return sorted(rewritten)
