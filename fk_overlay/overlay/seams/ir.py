"""The IR seam: the patch becomes the first provider of an operator in the engine's own intermediate representation."""

from __future__ import annotations

from typing import Any

from fk_overlay.overlay.host import Host
from fk_overlay.overlay.seams.function import parts
from fk_overlay.overlay.tally import Tally, counted


def swap(host: Host, path: str, provider: str, patch: Any, tally: Tally) -> None:
    """Register the patch as ``provider`` of the operator at ``path``. The engine asks ``supports`` itself."""
    kernel, supports = parts(patch)
    host.provide_ir(path, provider, counted(kernel, tally), supports)
