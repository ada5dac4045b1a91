"""Loads a patch's file as a module of its pack, so that it can import its neighbours, and checks its hash first."""

from __future__ import annotations

import hashlib
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from fk_overlay.errors import PackError
from fk_overlay.plan import Swap


def package_name(swap: Swap) -> str:
    """Name under which the pack is importable in this process; two versions of one pack never share it."""
    return f"fk_pack_{swap.pack.replace('-', '_')}_{swap.pack_digest[:8]}"


def load(swap: Swap) -> Any:
    """The patch's class or function.

    Raises:
        PackError: the file changed since the plan was made, does not import, or has no such symbol.
    """
    module = load_module(swap)
    if not hasattr(module, swap.symbol) and getattr(module.__spec__, "_initializing", False):
        raise PackError(
            f"{swap.file} imports {swap.target.module} before it defines {swap.symbol!r}, which is needed the moment "
            "that module is there; import it inside the function, or give each patch a file of its own"
        )
    if not hasattr(module, swap.symbol):
        raise PackError(f"{swap.file} defines no {swap.symbol!r}, the symbol that {swap.pack_folder}/pack.toml names")
    return getattr(module, swap.symbol)


def load_module(swap: Swap) -> ModuleType:
    """The module of the patch's file. Raises :class:`PackError` if the file changed since the plan was made."""
    if hashlib.sha256(swap.file.read_bytes()).hexdigest() != swap.sha256:
        raise PackError(f"{swap.file} changed since the run was planned; start the run again")
    name = swap.file.relative_to(swap.pack_folder).with_suffix("").as_posix().replace("/", ".")
    return module_of(swap.pack_folder, package_name(swap), name)


def module_of(folder: Path, package: str, name: str) -> ModuleType:
    """A pack's file ``name`` as a module of ``package``, beside its neighbours in ``folder``."""
    if package not in sys.modules:
        module = ModuleType(package)
        module.__path__ = [str(folder)]
        sys.modules[package] = module
    return importlib.import_module(f"{package}.{name}")
