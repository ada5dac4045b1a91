"""fk-overlay judges a kernel where it will live: inside the real serving engine, against real load.

This module is the public surface; everything else may change between releases. Names are loaded when they are asked
for: the package is imported by every engine process, most of which have no overlay to run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fk_overlay.core import Case, Effect, Pack, Patch, Scenario, Target, Task, Tolerance, Verdict
    from fk_overlay.errors import OverlayError

__version__ = "0.1.0"
__all__ = ["Case", "Effect", "OverlayError", "Pack", "Patch", "Scenario", "Target", "Task", "Tolerance", "Verdict"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from fk_overlay import core, errors

    return getattr(errors if name == "OverlayError" else core, name)
