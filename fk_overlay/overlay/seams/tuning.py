"""The tuning seam: kernel configuration files of the pack, read by the engine in place of its own. No code is
swapped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from fk_overlay.overlay.counters import Slot
from fk_overlay.overlay.host import Host
from fk_overlay.overlay.tally import Tally


def swap(host: Host, folder: Path, tally: Tally, note: Callable[[str, bool], None]) -> str:
    """Returns the place in the engine that now looks into ``folder``. A lookup that one of its files answers is a
    call; any other is left to the engine. ``note(file, found)`` is told of each."""

    def asked(file: str, found: bool) -> None:
        tally.add(Slot.EAGER if found else Slot.FALLBACK)
        note(file, found)

    return host.use_tuned_configs(folder, asked)
