"""What a parsed source file says about a name: where it is defined, with which parameters, with which body."""

from __future__ import annotations

import ast
import hashlib
import io
import tokenize

Scope = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
Function = ast.FunctionDef | ast.AsyncFunctionDef
Assignment = ast.Assign | ast.AnnAssign
Named = Function | ast.ClassDef | Assignment

UNKNOWN_SIGNATURE = "(*args, **kwargs)"
"""Signature of what has none of its own: a class that inherits its constructor, a value."""


def reach(module: ast.Module, qualname: str) -> Named | None:
    """The node of a dotted name. Of several definitions of one name (overloads, branches of an ``if``) the last counts,
    as it does at run time when nothing is conditional."""
    node: ast.Module | Named | None = module
    for name in qualname.split("."):
        node = _last(node, name) if isinstance(node, Scope) else None
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
        constructor = _last(node, "__init__")
        return signature(constructor) if isinstance(constructor, Function) else UNKNOWN_SIGNATURE
    if isinstance(node, Assignment):
        return UNKNOWN_SIGNATURE
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return " ".join(f"({ast.unparse(node.args)}){returns}".split())


def without_comments(source: str) -> list[str]:
    """The lines of a source file, comments cut off."""
    lines = source.splitlines(keepends=True)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column] + "\n"
    return lines


def body_hash(lines: list[str], node: Named) -> str:
    """First 16 hex digits of the SHA-256 of decorators and statements, without docstrings, blank lines, trailing space
    and common indentation.

    Taken over text, since what ``ast.dump`` and ``ast.unparse`` print differs between versions of Python. A function's
    parameters stay out: they are the signature's business. The head of a class (its bases) is part of its body.

    Args:
        lines: of the whole file, from :func:`without_comments`.
    """
    lines = _without_docstrings(lines, node)
    last = node.end_lineno or node.lineno
    spans = [(first_line(node), last)]
    if isinstance(node, Function):
        spans = [(decorator.lineno, decorator.end_lineno or decorator.lineno) for decorator in node.decorator_list]
        spans.append((_cut_header(lines, node.body[0]), last))
    text = "".join(_plain(lines[first - 1 : last]) for first, last in spans)
    return hashlib.sha256(f"{type(node).__name__}\n{text}".encode()).hexdigest()[:16]


def _last(scope: Scope, name: str) -> Named | None:
    """The last definition of ``name`` in a scope, in ``if``, ``try`` and ``with`` too, but not in other scopes."""
    found: Named | None = None
    pending: list[ast.AST] = list(reversed(scope.body))
    while pending:
        node = pending.pop()
        if isinstance(node, Function | ast.ClassDef):
            found = node if node.name == name and not _is_overload(node) else found
        elif isinstance(node, Assignment):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = node if any(isinstance(target, ast.Name) and target.id == name for target in targets) else found
        elif isinstance(node, ast.If | ast.Try | ast.With | ast.ExceptHandler):
            pending.extend(reversed(list(ast.iter_child_nodes(node))))
    return found


def _decorators(node: ast.AST) -> list[ast.expr]:
    return node.decorator_list if isinstance(node, Function | ast.ClassDef) else []


def _is_overload(node: Function | ast.ClassDef) -> bool:
    return any(ast.unparse(decorator).rpartition(".")[2] == "overload" for decorator in node.decorator_list)


def _without_docstrings(lines: list[str], node: Named) -> list[str]:
    """A copy of the file's lines with the docstrings of ``node`` and of what it contains cut out."""
    lines = list(lines)
    for inner in ast.walk(node):
        if isinstance(inner, Function | ast.ClassDef) and ast.get_docstring(inner, clean=False) is not None:
            text = inner.body[0]
            first, last = text.lineno - 1, (text.end_lineno or text.lineno) - 1
            head = lines[first].encode()[: text.col_offset].decode()
            lines[first : last + 1] = [head + _from(lines[last], text.end_col_offset or 0), *[""] * (last - first)]
    return lines


def _cut_header(lines: list[str], statement: ast.stmt) -> int:
    """First line of a function's statements, freed of what stands before them (``def f(x): return x``)."""
    row = statement.lineno - 1
    lines[row] = " " * statement.col_offset + _from(lines[row], statement.col_offset)
    return min([statement.lineno, *(decorator.lineno for decorator in _decorators(statement))])


def _from(line: str, byte_offset: int) -> str:
    """Syntax trees count columns in UTF-8 bytes."""
    return line.encode()[byte_offset:].decode()


def _plain(lines: list[str]) -> str:
    """Lines without blank ones, trailing space and common indentation."""
    kept = [line.rstrip() for line in lines if line.strip()]
    indent = min((len(line) - len(line.lstrip()) for line in kept), default=0)
    return "".join(line[indent:] + "\n" for line in kept)
