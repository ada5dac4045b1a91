"""Finds a function or class in source files and describes it, without importing anything.

The description is the same on a laptop and in an engine process, from a wheel and from site-packages, under Python 3.11
and 3.12.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from fk_overlay.contract.search import elsewhere
from fk_overlay.contract.syntax import body_hash, first_line, own_names, parsed, reach, signature, without_noise
from fk_overlay.core import Fingerprint
from fk_overlay.errors import ContractError


class DefinitionNotFound(ContractError):
    """There is no such definition. ``moved`` lists the places in the same top package that define the name now."""

    def __init__(self, message: str, moved: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.moved = moved


@dataclass(frozen=True, slots=True)
class Definition:
    """A function or class as a source file has it.

    Attributes:
        place: ``package.module:Qualified.name``.
        lineno: first line, decorators included; ``end_lineno``: last line.
        signature: parameters and return annotation; of a class, those of its own ``__init__``.
        body: hash of decorators and statements, see :func:`fk_overlay.contract.syntax.body_hash`.
        source: the text as written, decorators included.
    """

    place: str
    file: Path
    lineno: int
    end_lineno: int
    signature: str
    body: str
    source: str

    @property
    def fingerprint(self) -> Fingerprint:
        return Fingerprint(self.signature, self.body)


def find(root: Path, place: str) -> Definition:
    """Describe ``place`` as the files below ``root`` define it.

    Args:
        root: folder that holds the top package: site-packages or an unpacked wheel.

    Raises:
        DefinitionNotFound: there is no such definition; the message says where one of that name lives now.
        ContractError: the file does not parse.
    """
    module, _, qualname = place.partition(":")
    file = _module_file(root, module)
    if file is None:
        raise _not_found(root, place, f"there is no module {module} below {root}")
    parsed = _parse(file, file.stat().st_mtime_ns)
    node = reach(parsed.tree, qualname)
    if node is None:
        raise _not_found(root, place, _missing(parsed.tree, file, qualname))
    first, last = first_line(node), node.end_lineno or node.lineno
    source = "".join(parsed.lines[first - 1 : last])
    return Definition(place, file, first, last, signature(node), body_hash(parsed.bare, node), source)


@dataclass(frozen=True, slots=True)
class _Parsed:
    tree: ast.Module
    lines: list[str]
    bare: list[str]


@lru_cache(maxsize=64)
def _parse(file: Path, modified: int) -> _Parsed:
    text = file.read_text(encoding="utf-8-sig")
    try:
        tree = parsed(text)
    except SyntaxError as error:
        raise ContractError(f"{file} does not parse ({error}); reinstall the engine") from error
    return _Parsed(tree, [f"{line}\n" for line in text.split("\n")], without_noise(text, tree))


def _module_file(root: Path, module: str) -> Path | None:
    base = root.joinpath(*module.split("."))
    candidates = (base.with_name(base.name + ".py"), base / "__init__.py")
    return next((path for path in candidates if path.is_file()), None)


def _missing(tree: ast.Module, file: Path, qualname: str) -> str:
    """How far the name can be followed, and what is there instead."""
    owner, _, member = qualname.rpartition(".")
    scope = reach(tree, owner) if owner else None
    if scope is None:
        return f"{file} defines no {qualname}"
    return f"{owner} in {file} has no {member} of its own, only {', '.join(own_names(scope)) or 'nothing'}"


def _not_found(root: Path, place: str, what: str) -> DefinitionNotFound:
    moved = elsewhere(root, place)
    hint = f"one is now at {' or '.join(moved)}: correct the task's target" if moved else "it is gone from this release"
    return DefinitionNotFound(f"{place}: {what}; {hint}", moved)
