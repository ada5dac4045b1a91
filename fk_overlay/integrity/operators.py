"""Checks that a pack's custom operators keep torch.compile and CUDA graphs working."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fk_overlay.errors import OverlayError, PackError
from fk_overlay.overlay.loader import load_module
from fk_overlay.plan import Plan


def opcheck(plan: Plan) -> int:
    """Run ``torch.library.opcheck`` on every ``(operator, arguments)`` that a patch file's ``opcheck_cases()`` yields.

    Returns the number of cases. Raises :class:`PackError` naming the operator and the first check that failed.
    """
    import torch

    checked = 0
    for file, operator, arguments in cases(plan, "opcheck_cases"):
        try:
            torch.library.opcheck(operator, arguments)
        except Exception as error:
            raise PackError(f"{file}: {operator} fails torch.library.opcheck: {error}{_advice(error)}") from error
        checked += 1
    return checked


def cases(plan: Plan, *hooks: str) -> Iterator[tuple[str, Any, tuple[Any, ...]]]:
    """Name of the patch file, operator and arguments of every case that the first of these functions yields, in each
    file that has one."""
    for file, swap in {swap.file: swap for swap in plan.swaps if swap.symbol}.items():
        module = load_module(swap)
        hook = next((getattr(module, name) for name in hooks if hasattr(module, name)), tuple)
        for operator, arguments in hook():
            yield file.name, operator, arguments


def _advice(error: Exception) -> str:
    if "0 active drivers" not in str(error):
        return ""
    return ". Triton found no GPU; on a machine without one, lint with TRITON_INTERPRET=1"


def main() -> None:
    """``python -m fk_overlay.integrity.operators PLAN``: :func:`opcheck` in a process that may die of it."""
    try:
        opcheck(Plan.read(Path(sys.argv[1])))
    except OverlayError as error:
        sys.exit(" ".join(str(error).split()))


if __name__ == "__main__":
    main()
