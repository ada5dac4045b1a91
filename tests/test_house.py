"""The rules by which the package is laid out, read from its syntax trees."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pytest

from fk_overlay.engines.base import engine_names

CHECKOUT = Path(__file__).parents[1]
PACKAGE = CHECKOUT / "fk_overlay"

FLOORS = (
    {"core", "errors"},
    {"contract", "stats", "lineage", "catalog", "packs", "plan", "environment", "stacks", "tuned"},
    {"engines", "overlay", "capture", "profiling", "scoring", "integrity"},
    {"serving", "compose", "bench", "report", "audit", "mini", "tuning"},
    {"cli"},
)
"""Rooms from the bottom up. A room imports from its own floor and from those below."""

EXCEPTIONS = {("entry", "overlay")}
"""The entry point stands beside the house: it opens the overlay's door, and nobody imports it."""

FORBIDDEN = {("overlay", "engines")}
"""On one floor: an engine's adapter knows the overlay, the overlay knows only the protocol that adapters fulfil."""

HEAVY = {"torch", "vllm", "sglang", "triton", "transformers", "safetensors", "mlflow", "pandas", "matplotlib", "jinja2"}
"""Imported where they are used: ``fk-overlay --help`` must work on a laptop, and start at once."""

INSIDE_ENGINES = re.compile(r"^fk_overlay\.(engines\.\w+\.|mini\.)")
"""Modules that are only ever loaded beside the engine that they are for."""


@dataclass(frozen=True)
class Module:
    path: Path

    @cached_property
    def name(self) -> str:
        parts = self.path.relative_to(CHECKOUT).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @cached_property
    def room(self) -> str:
        return (*self.name.split("."), "")[1]

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"))

    def __str__(self) -> str:
        return str(self.path.relative_to(CHECKOUT))


MODULES = [Module(path) for path in sorted(PACKAGE.rglob("*.py"))]
NAMES = {module.name for module in MODULES}


def imports(node: ast.AST) -> Iterator[str]:
    """Modules that one statement imports; of ``from package import module`` the module."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in NAMES else str(node.module)


def everywhere(module: Module) -> set[str]:
    return {name for node in ast.walk(module.tree) for name in imports(node)}


def at_the_top(module: Module) -> set[str]:
    """What is imported when the module is: not in functions, not for type checkers, not when it is the main script."""
    found: set[str] = set()
    pending: list[ast.AST] = list(module.tree.body)
    while pending:
        node = pending.pop()
        condition = ast.unparse(node.test) if isinstance(node, ast.If) else ""
        skipped = "TYPE_CHECKING" in condition or "__main__" in condition
        if not skipped and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            found.update(imports(node))
            pending += ast.iter_child_nodes(node)
    return found


def floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def test_there_is_something_to_check() -> None:
    assert {"fk_overlay.overlay.activate", "fk_overlay.engines.vllm.host", "fk_overlay.cli.main"} <= NAMES
    assert len(MODULES) > 50


def test_every_room_has_its_floor() -> None:
    rooms = {module.room for module in MODULES} - {"", "entry"}
    assert rooms <= set.union(*FLOORS)


def test_imports_go_one_way() -> None:
    wrong = []
    for module in MODULES:
        for name in sorted(everywhere(module)):
            top, _, rest = name.partition(".")
            room = rest.partition(".")[0]
            if top != "fk_overlay" or not room or (module.room, room) in EXCEPTIONS or room == module.room:
                continue
            outside = "entry" in (room, module.room) or (module.room, room) in FORBIDDEN
            if outside or (module.room and floor(room) > floor(module.room)):
                wrong.append(f"{module} imports {name}")
    assert wrong == []


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = {module.name: at_the_top(module) & NAMES for module in MODULES}
    done: set[str] = set()

    def walk(name: str, way: tuple[str, ...]) -> list[str]:
        if name in way:
            return [" -> ".join((*way[way.index(name) :], name))]
        if name in done:
            return []
        found = [circle for each in sorted(graph[name]) for circle in walk(each, (*way, name))]
        done.add(name)
        return found

    assert [circle for name in sorted(graph) for circle in walk(name, ())] == []


def test_shared_modules_import_nothing_heavy_at_the_top() -> None:
    wrong = []
    for module in MODULES:
        if not INSIDE_ENGINES.match(module.name):
            heavy = {name for name in at_the_top(module) if name.partition(".")[0] in HEAVY}
            wrong += [f"{module} imports {name}" for name in sorted(heavy)]
    assert wrong == []


def engine_literals(tree: ast.Module) -> Iterator[ast.Constant]:
    """Names of engines in code; the default of a parameter is not code that tells engines apart."""
    defaults = {
        default
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        for default in (*node.args.defaults, *node.args.kw_defaults)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in engine_names() and node not in defaults:
            yield node


def test_only_adapters_tell_engines_apart() -> None:
    """What differs between engines is in their adapters and in the tasks' targets; the entry points name themselves."""
    wrong = [
        f"{module}:{node.lineno}"
        for module in MODULES
        if module.room not in ("engines", "entry")
        for node in engine_literals(module.tree)
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ('if engine == "vllm": f()', 1),
        ('TABLE = {"vllm": 1, "sglang": 2}', 2),
        ('match engine:\n    case "sglang": f()', 1),
        ('def verb(engine: str = "vllm", *, other: str = "sglang"): ...', 0),
        ('"""Speaks of vllm."""', 0),
    ],
)
def test_the_rule_for_engine_names_itself(source: str, count: int) -> None:
    assert len(list(engine_literals(ast.parse(source)))) == count


def test_no_module_is_called_after_nothing() -> None:
    vague = {"utils", "util", "common", "helpers", "helper", "misc", "base_utils"}
    assert [str(module) for module in MODULES if module.path.stem in vague] == []
    assert [str(path) for path in PACKAGE.rglob("*") if path.is_dir() and path.name in vague] == []


def broad(handler: ast.expr | None) -> bool:
    names = {node.id for node in ast.walk(handler) if isinstance(node, ast.Name)} if handler else {"BaseException"}
    return bool(names & {"Exception", "BaseException"})


def ends(statements: list[ast.stmt]) -> bool:
    """Whether a handler cannot be left but by an error or the end of the process."""
    last = statements[-1]
    if isinstance(last, ast.If):
        return ends(last.body) and bool(last.orelse) and ends(last.orelse)
    return isinstance(last, ast.Raise) or ast.unparse(last).startswith("os._exit(")


def test_no_broad_except_goes_on() -> None:
    wrong = []
    for module in MODULES:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ExceptHandler) and broad(node.type) and not ends(node.body):
                wrong.append(f"{module}:{node.lineno}")
            if (
                isinstance(node, ast.Call)
                and ast.unparse(node.func).endswith("suppress")
                and any(map(broad, node.args))
            ):
                wrong.append(f"{module}:{node.lineno}")
    assert wrong == []


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(module) for module in MODULES if module.tree.body and not ast.get_docstring(module.tree)]
    assert silent == []


def test_nothing_is_left_for_later() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b|NotImplementedError")
    assert [str(module) for module in MODULES if marks.search(module.path.read_text())] == []


@pytest.mark.parametrize(
    ("source", "offends"),
    [
        ("try: f()\nexcept Exception: pass", True),
        ("try: f()\nexcept: pass", True),
        ("try: f()\nexcept (ValueError, BaseException): print()", True),
        ("try: f()\nexcept Exception:\n    print()\n    raise", False),
        ("try: f()\nexcept Exception as e:\n    raise ValueError from e", False),
        ("try: f()\nexcept ValueError: pass", False),
    ],
)
def test_the_rule_for_handlers_itself(source: str, offends: bool) -> None:
    (handler,) = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ExceptHandler))
    assert (broad(handler.type) and not ends(handler.body)) is offends
