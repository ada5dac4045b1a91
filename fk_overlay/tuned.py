"""Kernel configurations that a pack brings to an engine: JSON files, one for a shape and a GPU, which its name gives.

A file maps numbers of tokens to a kernel's parameters, as vLLM's and SGLang's fused experts read it. Beside the
numbers it may say ``triton_version``, the Triton that it was tuned with, which vLLM skips.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fk_overlay.errors import PackError

TRITON = "triton_version"


@dataclass(frozen=True, slots=True)
class Tuned:
    """One file. ``by_tokens``: number of tokens -> the kernel's parameters; ``triton``: None where it is not said."""

    by_tokens: Mapping[int, Mapping[str, Any]]
    triton: str | None = None


def read(folder: Path) -> dict[str, Tuned]:
    """What the folder's files hold, by file name.

    Raises:
        PackError: there is no file, or one is not such a table.
    """
    found = {path.name: _parsed(path) for path in sorted(folder.glob("*.json"))}
    if not found:
        raise PackError(f"{folder} holds no kernel configurations; put the files that tuning wrote there, E=...json")
    return found


def unanswered(files: Sequence[str], lookups: Mapping[str, bool]) -> str | None:
    """Why none of ``files`` was used, given what the engine looked up: file -> whether the pack answered. None if one
    was."""
    if any(lookups.values()):
        return None
    if not lookups:
        return "the engine looked up no kernel configuration at all; this model, or this machine, runs no such kernel"
    wanted, there = ", ".join(sorted(lookups)), ", ".join(files)
    return f"the engine looked up {wanted}, the pack has {there}; tune for this shape and GPU"


def _parsed(path: Path) -> Tuned:
    try:
        held = json.loads(path.read_text(encoding="utf-8"))
        triton = held.pop(TRITON, None)
        by_tokens = {int(tokens): dict(parameters) for tokens, parameters in held.items()}
        if not by_tokens or not all(by_tokens.values()):
            raise ValueError("it holds nothing")
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise PackError(
            f"{path} is no table of kernel parameters by number of tokens ({error}); tune it again, or take it out"
        ) from error
    return Tuned(by_tokens, triton)
