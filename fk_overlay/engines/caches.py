"""What the baseline's launches may hand on to those of other arms. Nothing is handed back."""

from __future__ import annotations

import shutil
from pathlib import Path

from fk_overlay.core import BASELINE, Arm

TRITON = "triton"
"""Compiled kernels, found by a hash of their source and of all that it uses: another kernel has another hash. Compiling
the engine's own takes an arm's first launch 15 to 20 s on an H100. What is found by less, such as a compiled graph, is
handed on to nobody."""


def hand_on(caches: Path, digest: str, *parts: str) -> None:
    """Copy parts of the baseline's caches to those of the arm with ``digest``, where it has none of its own yet.

    Args:
        caches: holds a folder for each arm, named by its digest.
    """
    for part in parts:
        known, own = caches / Arm(BASELINE).digest / part, caches / digest / part
        if known.is_dir() and not own.exists():
            shutil.copytree(known, own)
