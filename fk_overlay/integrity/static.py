"""Reads a pack's source without running it and says what a kernel has no business doing.

A text that wants to hide will hide: nothing here proves a pack harmless, and no verdict rests on it. It tells a
reviewer where to look (``review``), what is worth knowing (``telemetry``), and what no kernel needs (``block``).
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from fk_overlay import packs
from fk_overlay.engines.base import engine_names
from fk_overlay.integrity.known_names import CALLS, GUARDED_ROOTS, IMPORTS, MENTIONS, SHADOWED, SUFFIXES

Level = Literal["telemetry", "review", "block"]
LONG_TEXT = 400
"""A string without any blank that is this long is data, not words."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a file does. ``rule`` names it, ``detail`` is the code or name in question."""

    level: Level
    rule: str
    file: str
    line: int
    detail: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.level}: {self.rule}: {self.detail}"


def scan_pack(folder: Path) -> list[Finding]:
    """Everything found in the files of a pack, most serious first."""
    found: list[Finding] = []
    for path in packs.files(folder):
        name = path.relative_to(folder).as_posix()
        found += _scan_name(name)
        if path.suffix == ".py":
            found += scan(path.read_bytes(), name)
    order = ("block", "review", "telemetry")
    return sorted(found, key=lambda finding: (order.index(finding.level), finding.file, finding.line))


def scan(source: bytes | str, file: str) -> list[Finding]:
    """Everything found in one Python source. Comments and names carry no weight: only what the code does is looked
    at."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return [Finding("block", "unreadable", file, getattr(error, "lineno", 0) or 0, str(error))]
    names = _imported_names(tree)
    found = [Finding(level, rule, file, line, text) for level, rule, line, text in _everything(tree, names)]
    return list(dict.fromkeys(found))


Hit = tuple[Level, str, int, str]
Names = Mapping[str, str]
"""Local name -> dotted path that it was imported from."""


def _scan_name(name: str) -> Iterator[Finding]:
    """What a file's name alone says: data that runs when it is read, libraries, modules that hide behind known
    names."""
    path = Path(name)
    if rule := SUFFIXES.get(path.suffix):
        yield Finding(rule[0], rule[1], name, 0, path.suffix)
    for part in (*path.parent.parts, path.stem):
        if part in SHADOWED | _engines() and path.suffix == ".py":
            yield Finding("block", "shadows a known module", name, 0, part)


@cache
def _engines() -> frozenset[str]:
    return frozenset(engine_names())


def _imported_names(tree: ast.AST) -> dict[str, str]:
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update({alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names})
    return names


def _everything(tree: ast.AST, names: Names) -> Iterator[Hit]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _imports(node)
        elif isinstance(node, ast.Call):
            yield from _calls(node, names)
        elif isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
            yield from _assignments(node, names)
        elif isinstance(node, ast.ExceptHandler):
            yield from _handlers(node)
        elif isinstance(node, ast.Constant):
            yield from _texts(node)
        elif isinstance(node, ast.Attribute | ast.Name):
            yield from _mentions(node, names)


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[Hit]:
    relative = isinstance(node, ast.ImportFrom) and node.level
    modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
    for module in [] if relative else modules:
        if rule := _longest(module, IMPORTS):
            yield rule[0], rule[1], node.lineno, module


def _calls(node: ast.Call, names: Names) -> Iterator[Hit]:
    path = _path(node.func, names)
    literal = all(isinstance(argument, ast.Constant) for argument in node.args[:1])
    if path in ("exec", "eval", "compile", "__import__", "importlib.import_module"):
        yield ("review" if literal else "block"), "runs or imports a computed text", node.lineno, path
    elif path == "torch.load" and not _true(node, "weights_only"):
        yield "block", "runs code when it reads data", node.lineno, path
    elif path in ("setattr", "delattr") and node.args:
        yield from _patched(node.args[0], node.lineno, names)
    elif rule := CALLS.get(path) or CALLS.get("." + path.rpartition(".")[2]):
        yield rule[0], rule[1], node.lineno, path


def _assignments(node: ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete, names: Names) -> Iterator[Hit]:
    targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [node.target]
    for target in targets:
        inside = target.value if isinstance(target, ast.Subscript) else target
        if isinstance(inside, ast.Attribute):
            yield from _patched(inside if isinstance(target, ast.Subscript) else inside.value, node.lineno, names)
            if inside.attr in ("__code__", "__globals__", "__class__", "__defaults__"):
                yield "block", "rewrites a function or an object's class", node.lineno, ast.unparse(inside)


def _patched(owner: ast.expr, line: int, names: Names) -> Iterator[Hit]:
    """A change of something that was imported from elsewhere."""
    path = _path(owner, names)
    if path.partition(".")[0] in GUARDED_ROOTS | _engines() and _root(owner) in names:
        yield "block", "changes a module that is not its own", line, path


def _handlers(node: ast.ExceptHandler) -> Iterator[Hit]:
    broad = node.type is None or ast.unparse(node.type) in ("Exception", "BaseException")
    if broad and not any(isinstance(inner, ast.Raise) for inner in ast.walk(node)):
        yield "telemetry", "goes on after any error", node.lineno, "except"


def _texts(node: ast.Constant) -> Iterator[Hit]:
    value = node.value
    if isinstance(value, str | bytes) and len(value) >= LONG_TEXT and len(value.split()) == 1:
        yield "review", "carries a long text without blanks", node.lineno, f"{len(value)} characters"
    if isinstance(value, str) and value.startswith("/proc"):
        yield "block", "looks into other processes or into memory", node.lineno, value


def _mentions(node: ast.Attribute | ast.Name, names: Names) -> Iterator[Hit]:
    path = _path(node, names)
    if rule := MENTIONS.get(path):
        yield rule[0], rule[1], node.lineno, path


def _path(node: ast.expr, names: Names) -> str:
    """The dotted path of a name or attribute, imports resolved; empty for anything else."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        inner = _path(node.value, names)
        return f"{inner}.{node.attr}" if inner else f".{node.attr}"
    return ""


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _longest(module: str, rules: Mapping[str, tuple[Level, str]]) -> tuple[Level, str] | None:
    parts = module.split(".")
    return next((rules[".".join(parts[:n])] for n in range(len(parts), 0, -1) if ".".join(parts[:n]) in rules), None)


def _true(node: ast.Call, keyword: str) -> bool:
    return any(
        each.arg == keyword and isinstance(each.value, ast.Constant) and each.value.value for each in node.keywords
    )
