"""Which patch a crash came from, by the tracebacks in an engine's log.

The first traceback that passes through the pack counts: what engines print afterwards are consequences. In it the
innermost frame counts that lies in exactly one patch. Python's fault handler, which prints the stack of a process that
dies of a signal, is read too.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from fk_overlay.core import Patch

FRAME = re.compile(r'File "([^"]+)", line (\d+)')
OUTERMOST_FIRST, INNERMOST_FIRST = "Traceback (most recent call last)", "(most recent call first)"


@dataclass(frozen=True, slots=True)
class Frame:
    file: Path
    line: int


def blamed(log: Path, folder: Path, patches: Mapping[str, Patch]) -> str | None:
    """The name of the patch that the log's tracebacks lead to, None if they lead to none.

    Args:
        folder: where the pack lay that the engine ran.
        patches: those of the pack that it ran, by name.
    """
    if not log.is_file():
        return None
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    for stack in stacks(lines):
        for frame in stack:
            if frame.file.is_relative_to(folder) and (owner := _owner(frame, folder, patches)):
                return owner
    return None


def stacks(lines: Iterable[str]) -> Iterator[list[Frame]]:
    """The stacks in a log, each from its innermost frame. Lines may have prefixes, as of workers."""
    found: list[Frame] | None = None
    turned = False
    for line in lines:
        if OUTERMOST_FIRST in line or INNERMOST_FIRST in line:
            if found:
                yield found[::-1] if turned else found
            found, turned = [], OUTERMOST_FIRST in line
        elif found is not None and (frame := FRAME.search(line)):
            found.append(Frame(Path(frame.group(1)), int(frame.group(2))))
    if found:
        yield found[::-1] if turned else found


def _owner(frame: Frame, folder: Path, patches: Mapping[str, Patch]) -> str | None:
    """The patch whose symbol the line lies in, else the only patch of that file."""
    here = {name: patch for name, patch in patches.items() if folder / patch.file == frame.file}
    spans = _spans(frame.file) if here else {}
    inside = [name for name, patch in here.items() if frame.line in spans.get(patch.symbol, ())]
    candidates = inside or list(here)
    return candidates[0] if len(candidates) == 1 else None


def _spans(file: Path) -> dict[str, range]:
    """The lines of every class and function at the top of a file; nothing of a file that is no Python."""
    try:
        tree = ast.parse(file.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {}
    wanted = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = [node for node in tree.body if isinstance(node, wanted)]
    return {node.name: range(node.lineno, (node.end_lineno or node.lineno) + 1) for node in found}
