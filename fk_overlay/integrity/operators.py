"""Checks that a pack's custom operators keep torch.compile and CUDA graphs working."""

from __future__ import annotations

import sys
from pathlib import Path

from fk_overlay.errors import OverlayError, PackError
from fk_overlay.overlay.loader import load_module
from fk_overlay.plan import Plan


def opcheck(plan: Plan) -> int:
    """Run ``torch.library.opcheck`` on every ``(operator, arguments)`` that a patch file's ``opcheck_cases()`` yields.

    Returns the number of cases. Raises :class:`PackError` naming the operator and the first check that failed.
    """
    import torch

    checked = 0
    for file, swap in {swap.file: swap for swap in plan.swaps if swap.symbol}.items():
        cases = getattr(load_module(swap), "opcheck_cases", None)
        for operator, arguments in cases() if cases else ():
            try:
                torch.library.opcheck(operator, arguments)
            except Exception as error:
                raise PackError(
                    f"{file.name}: {operator} fails torch.library.opcheck: {error}{_advice(error)}"
                ) from error
            checked += 1
    return checked


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
