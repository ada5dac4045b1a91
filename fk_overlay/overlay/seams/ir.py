"""The IR seam: the patch becomes the first provider of an operator in the engine's own intermediate representation."""

from __future__ import annotations

from typing import Any

from fk_overlay.overlay.host import Host
from fk_overlay.overlay.seams.function import kernel_of
from fk_overlay.overlay.tally import Tally, counted, refusal


def swap(host: Host, path: str, provider: str, patch: Any, tally: Tally) -> None:
    """Register the patch as ``provider`` of the operator at ``path``. The engine asks ``supports`` itself."""
    supports, _ = refusal(patch)
    host.provide_ir(path, provider, counted(kernel_of(patch), tally), supports)
