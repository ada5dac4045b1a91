"""Describes a package's source files without importing them, one at a time as they are asked for."""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

from fk_overlay.contract.release import Module, shortened
from fk_overlay.contract.syntax import (
    Assignment,
    Named,
    Scope,
    body_hash,
    members,
    parsed,
    signature,
    statements,
    without_noise,
)
from fk_overlay.core import Fingerprint
from fk_overlay.errors import ContractError

TESTS = frozenset({"test", "tests"})
"""Folders that no engine serves from."""


class Sources(Mapping[str, Module]):
    """The modules of some top packages below a folder, each read when it is first asked for.

    Asking for a file that does not parse raises :class:`fk_overlay.errors.ContractError`.
    """

    def __init__(self, root: Path, packages: Iterable[str]) -> None:
        found = (file for package in packages for file in sorted((root / package).rglob("*.py")))
        files = (file.relative_to(root) for file in found)
        self._files = {_dotted(file): root / file for file in files if not TESTS.intersection(file.parts)}
        self._read: dict[str, Module] = {}

    def __getitem__(self, name: str) -> Module:
        if name not in self._read:
            file = self._files[name]
            source = file.read_text(encoding="utf-8-sig")
            try:
                self._read[name] = describe(source, name, self._files, is_package=file.name == "__init__.py")
            except SyntaxError as error:
                raise ContractError(f"{file} does not parse ({error}); reinstall or download it again") from error
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)


def describe(source: str, name: str, modules: Collection[str], *, is_package: bool = False) -> Module:
    """What the module ``name`` defines and passes on. Functions inside of functions are left out: nothing can reach
    them to replace them.

    Args:
        modules: names of every module of the package, to tell ``package.module`` from ``module.name`` in an import.

    Raises:
        SyntaxError: it does not parse.
    """
    tree = parsed(source)
    lines = without_noise(source, tree)
    defined = dict(_definitions(tree))
    known = {**_imports(tree, name, is_package), **{own: f"{name}.{own}" for own in defined if "." not in own}}

    def place(expression: ast.expr, scope: str) -> str | None:
        """What a name written in a class (or the module, empty) stands for."""
        head, _, rest = ast.unparse(expression).partition(".")
        own = f"{scope}.{head}".lstrip(".")
        dotted = f"{name}.{own}" if own in defined else known.get(head, "")
        return _place(f"{dotted}.{rest}".rstrip("."), modules)

    places, bases, names = {}, {}, {own: _place(origin, modules) for own, origin in known.items()}
    for qualname, node in defined.items():
        scope = qualname.rpartition(".")[0]
        if isinstance(node, Assignment):
            value = node.value
            names[qualname] = place(value, scope) if isinstance(value, ast.Name | ast.Attribute) else None
            continue
        places[qualname] = shortened(Fingerprint(signature(node), body_hash(lines, node)))
        if isinstance(node, ast.ClassDef):
            bases[qualname] = tuple(filter(None, (place(base, scope) for base in node.bases)))
    return Module(
        places,
        {owner: inherited for owner, inherited in bases.items() if inherited},
        {own: origin for own, origin in names.items() if origin and own not in places},
    )


def _definitions(scope: Scope, prefix: str = "") -> Iterator[tuple[str, Named]]:
    for name, node in members(scope).items():
        yield prefix + name, node
        if isinstance(node, ast.ClassDef):
            yield from _definitions(node, f"{prefix}{name}.")


def _imports(tree: ast.Module, name: str, is_package: bool) -> dict[str, str]:
    """Local name -> absolute dotted path, for every import that runs when the module does."""
    found: dict[str, str] = {}
    for node in statements(tree):
        if isinstance(node, ast.Import):
            found.update((a.asname, a.name) if a.asname else (a.name.partition(".")[0],) * 2 for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = name.split(".")[: None if is_package else -1] if node.level else []
            source = ".".join([*above[: len(above) + 1 - node.level], *filter(None, [node.module])])
            found.update((a.asname or a.name, f"{source}.{a.name}") for a in node.names if a.name != "*")
    return found


def _place(dotted: str, modules: Collection[str]) -> str | None:
    """``package.module.Class.method`` as ``package.module:Class.method``; None for a module or another package."""
    head, tail = dotted, ""
    while head and head not in modules:
        head, _, last = head.rpartition(".")
        tail = f"{last}.{tail}".rstrip(".")
    return f"{head}:{tail}" if head and tail else None


def _dotted(file: Path) -> str:
    parts = file.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
