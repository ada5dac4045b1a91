"""What a parsed source file says about a name: where it is defined, with which parameters, with which body."""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections.abc import Iterator

Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Function = ast.FunctionDef | ast.AsyncFunctionDef
Assignment = ast.Assign | ast.AnnAssign
Named = Function | ast.ClassDef | Assignment

UNKNOWN_SIGNATURE = "(*args, **kwargs)"
"""Signature of what has none of its own: a class that inherits its constructor, a value."""


ACCESSORS = frozenset({"getter", "setter", "deleter"})

_TEXT_OR_COMMENT = re.compile(
    r"""
    (?P<quotes>\"{3}|'{3}) (?:\\.|.)*? (?P=quotes)
    | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
    | \#[^\n]*
    """,
    re.DOTALL | re.VERBOSE,
)
"""String literals, so that a ``#`` in one is not taken for a comment. A tokenizer would be fifty times slower."""


def parsed(source: str) -> ast.Module:
    """The syntax tree of an engine's file, without the compiler's advice on its style.

    Raises:
        SyntaxError: it does not parse.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(source)


def reach(module: ast.Module, qualname: str) -> Named | None:
    """The node of a dotted name, by the rules of :func:`members`."""
    node: ast.Module | Named | None = module
    for name in qualname.split("."):
        node = members(node).get(name) if isinstance(node, Scope) else None
    return None if isinstance(node, ast.Module) else node


def own_names(node: ast.AST) -> list[str]:
    """Functions and classes that a scope defines directly."""
    names = [child.name for child in ast.iter_child_nodes(node) if isinstance(child, Function | ast.ClassDef)]
    return list(dict.fromkeys(names))


def first_line(node: Named) -> int:
    """Line of the first decorator, else of the definition: the ``co_firstlineno`` of the compiled function."""
    return min([node.lineno, *(decorator.lineno for decorator in _decorators(node))])


def signature(node: Named) -> str:
    """Parameters and return annotation with normal spacing and quotes; of a class, those of its own ``__init__``."""
    if isinstance(node, ast.ClassDef):
        constructor = members(node).get("__init__")
        return signature(constructor) if isinstance(constructor, Function) else UNKNOWN_SIGNATURE
    if isinstance(node, Assignment):
        return UNKNOWN_SIGNATURE
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return " ".join(f"({ast.unparse(node.args)}){returns}".split())


def without_noise(source: str, tree: ast.Module) -> list[str]:
    """The lines of a source file, comments and docstrings cut out."""
    text = _TEXT_OR_COMMENT.sub(lambda found: "" if found.group().startswith("#") else found.group(), source)
    lines = [f"{line}\n" for line in text.split("\n")]
    for scope in _scopes(tree):
        if ast.get_docstring(scope, clean=False) is not None:
            text_node = scope.body[0]
            first, last = text_node.lineno - 1, (text_node.end_lineno or text_node.lineno) - 1
            head = lines[first].encode()[: text_node.col_offset].decode()
            rest = _from(lines[last], text_node.end_col_offset or 0)
            lines[first : last + 1] = [head + rest, *[""] * (last - first)]
    return lines


def body_hash(lines: list[str], node: Named) -> str:
    """First 16 hex digits of the SHA-256 of decorators and statements, without docstrings, blank lines, trailing space
    and common indentation.

    Taken over text, since what ``ast.dump`` and ``ast.unparse`` print differs between versions of Python. A function's
    parameters stay out: they are the signature's business. The head of a class (its bases) is part of its body.

    Args:
        lines: of the whole file, from :func:`without_noise`.
    """
    last = node.end_lineno or node.lineno
    blocks = [lines[first_line(node) - 1 : last]]
    if isinstance(node, Function):
        blocks = [lines[each.lineno - 1 : each.end_lineno or each.lineno] for each in node.decorator_list]
        blocks.append(_statements(lines, node.body[0], last))
    text = "".join(map(_plain, blocks))
    return hashlib.sha256(f"{type(node).__name__}\n{text}".encode()).hexdigest()[:16]


def members(scope: Scope) -> dict[str, Named]:
    """Every name that a scope defines, in ``if``, ``try`` and ``with`` too, but not in other scopes.

    The last definition of a name counts, but no assignment hides a function or class: engines assign another one of
    that name on some platforms. Overloads, the setters of a property, bare annotations and what only type checkers see
    define nothing.
    """
    found: dict[str, Named] = {}
    for node in statements(scope):
        if isinstance(node, Function | ast.ClassDef):
            if not _adds_to_another(node):
                found[node.name] = node
        elif isinstance(node, Assignment):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target] if node.value else []
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            found.update((name, node) for name in names if not isinstance(found.get(name), Function | ast.ClassDef))
    return found


def statements(scope: Scope) -> Iterator[ast.stmt]:
    """The statements that run in a scope, in order, those of ``if``, ``try`` and ``with`` in place of them. A branch
    that only type checkers see is left out."""
    pending: list[ast.AST] = list(reversed(scope.body))
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If):
            pending.extend(reversed(_branches(node)))
        elif isinstance(node, ast.Try | ast.With | ast.ExceptHandler):
            pending.extend(reversed(list(ast.iter_child_nodes(node))))
        elif isinstance(node, ast.stmt):
            yield node


def _branches(node: ast.If) -> list[ast.stmt]:
    condition = ast.unparse(node.test).removeprefix("typing.").replace("not typing.", "not ")
    only = {"TYPE_CHECKING": node.orelse, "not TYPE_CHECKING": node.body}
    return only.get(condition, [*node.body, *node.orelse])


def _decorators(node: ast.AST) -> list[ast.expr]:
    return node.decorator_list if isinstance(node, Function | ast.ClassDef) else []


def _adds_to_another(node: Function | ast.ClassDef) -> bool:
    names = (ast.unparse(decorator).rpartition(".") for decorator in node.decorator_list)
    return any(last == "overload" or (owner == node.name and last in ACCESSORS) for owner, _, last in names)


def _scopes(tree: ast.Module) -> Iterator[Function | ast.ClassDef]:
    """Functions and classes at any depth. Only statements are gone through: expressions hold none."""
    pending: list[ast.AST] = list(tree.body)
    while pending:
        node = pending.pop()
        if isinstance(node, Function | ast.ClassDef):
            yield node
        for block in ("body", "orelse", "finalbody", "handlers", "cases"):
            held = getattr(node, block, ())
            pending.extend(held if isinstance(held, list) else ())


def _statements(lines: list[str], first: ast.stmt, last: int) -> list[str]:
    """A function's statements, freed of what stands before them in their line (``def f(x): return x``)."""
    decorators = [decorator.lineno for decorator in _decorators(first)]
    block = lines[min([first.lineno, *decorators]) - 1 : last]
    row = 0 if not decorators else first.lineno - min(decorators)
    block[row] = " " * first.col_offset + _from(block[row], first.col_offset)
    return block


def _from(line: str, byte_offset: int) -> str:
    """Syntax trees count columns in UTF-8 bytes."""
    return line.encode()[byte_offset:].decode()


def _plain(lines: list[str]) -> str:
    """Lines without blank ones, trailing space and common indentation."""
    kept = [line.rstrip() for line in lines if line.strip()]
    indent = min((len(line) - len(line.lstrip()) for line in kept), default=0)
    return "".join(line[indent:] + "\n" for line in kept)
