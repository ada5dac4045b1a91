"""How far a target has drifted from its contract."""

from __future__ import annotations

import ast
import difflib
from dataclasses import dataclass
from typing import Literal

from fk_overlay.core import Fingerprint

State = Literal["same", "compatible", "body", "changed", "moved", "gone", "new"]
"""``same``; ``compatible``: new optional parameters at the end or by keyword, or other annotations; ``body``: it may be
called as before but does something else; ``changed``: it may not; ``moved``, ``gone``; ``new``: no contract yet."""


@dataclass(frozen=True, slots=True)
class Change:
    """``detail`` says in words what differs; empty for ``same``. ``diff`` holds the lines of a unified diff of the
    signatures, a parameter each; empty if they are the same."""

    state: State
    detail: str = ""
    diff: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Parameter:
    """``position`` is None for a keyword-only parameter, ``default`` None for a required one."""

    name: str
    kind: str
    position: int | None
    annotation: str
    default: str | None

    def __str__(self) -> str:
        stars = self.kind if self.kind.startswith("*") else ""
        annotation = f": {self.annotation}" if self.annotation else ""
        return f"{stars}{self.name}{annotation}" + (f" = {self.default}" if self.default is not None else "")

    def replaces(self, other: _Parameter) -> bool:
        """Whether every call that sets ``other`` sets this one to the same effect. Annotations change no call."""
        same_way = (self.name, self.kind, self.position) == (other.name, other.kind, other.position)
        return same_way and self.default == other.default


def compare(expected: Fingerprint, found: Fingerprint) -> Change:
    """Tell what changed from ``expected`` to ``found``."""
    if expected == found:
        return Change("same")
    detail = signature_diff(expected.signature, found.signature)
    diff = unified_diff(expected.signature, found.signature)
    if not _callable_as_before(expected.signature, found.signature):
        return Change("changed", detail, diff)
    if expected.body != found.body:
        bodies = f"its statements differ ({expected.body} -> {found.body})"
        return Change("body", f"{bodies}; {detail}" if detail else bodies, diff)
    return Change("compatible", detail, diff)


def signature_diff(expected: str, found: str) -> str:
    """The parameters that are gone (``-``) and the ones that are there instead (``+``)."""
    before, after = _parameters(expected), _parameters(found)
    removed = [f"-{{{parameter}}}" for parameter in before.values() if str(after.get(parameter.name)) != str(parameter)]
    added = [f"+{{{parameter}}}" for parameter in after.values() if str(before.get(parameter.name)) != str(parameter)]
    if not removed and not added and list(before) != list(after):
        return f"order of parameters: {', '.join(before)} -> {', '.join(after)}"
    if not removed and not added and expected != found:
        return f"{expected} -> {found}"
    return " ".join(removed + added)


def unified_diff(expected: str, found: str) -> tuple[str, ...]:
    """A unified diff of two signatures, a parameter a line and one line of context, without its headers."""
    lines = difflib.unified_diff(_lines(expected), _lines(found), n=1, lineterm="")
    return tuple(line for line in lines if not line.startswith(("---", "+++", "@@")))


def _lines(signature: str) -> list[str]:
    """Parameters as they are written, with the marks before the keyword-only and after the positional-only ones."""
    lines, last = [], ""
    for parameter in _parameters(signature).values():
        if last == "positional only" != parameter.kind:
            lines.append("/")
        if parameter.kind == "keyword" and last not in ("keyword", "*"):
            lines.append("*")
        lines.append(str(parameter))
        last = parameter.kind
    return [*lines, "/"] if last == "positional only" else lines


def _callable_as_before(expected: str, found: str) -> bool:
    before, after = _parameters(expected), _parameters(found)
    kept = all(name in after and after[name].replaces(parameter) for name, parameter in before.items())
    added = [parameter for name, parameter in after.items() if name not in before]
    return kept and all(parameter.default is not None or parameter.kind.startswith("*") for parameter in added)


def _parameters(signature: str) -> dict[str, _Parameter]:
    definition = ast.parse(f"def _{signature}: ...").body[0]
    assert isinstance(definition, ast.FunctionDef)
    args = definition.args
    positional = args.posonlyargs + args.args
    defaults = [None] * (len(positional) - len(args.defaults)) + list(args.defaults)
    found = [
        _parameter(arg, "positional only" if arg in args.posonlyargs else "positional", position, default)
        for position, (arg, default) in enumerate(zip(positional, defaults, strict=True))
    ]
    found += [_parameter(args.vararg, "*", None, None)] if args.vararg else []
    keywords = zip(args.kwonlyargs, args.kw_defaults, strict=True)
    found += [_parameter(arg, "keyword", None, default) for arg, default in keywords]
    found += [_parameter(args.kwarg, "**", None, None)] if args.kwarg else []
    return {parameter.name: parameter for parameter in found}


def _parameter(arg: ast.arg, kind: str, position: int | None, default: ast.expr | None) -> _Parameter:
    annotation = ast.unparse(arg.annotation) if arg.annotation else ""
    return _Parameter(arg.arg, kind, position, annotation, ast.unparse(default) if default else None)
