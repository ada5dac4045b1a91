"""The tuning seam: kernel configuration files of the pack, read by the engine in place of its own. No code is
swapped."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from fk_overlay.overlay.counters import Slot
from fk_overlay.overlay.host import Host
from fk_overlay.overlay.tally import Tally


def swap(host: Host, folder: Path, tally: Tally) -> str:
    """Returns the place in the engine that now looks into ``folder``. A call is counted when one of its files is
    used."""
    return host.use_tuned_configs(folder, partial(tally.add, Slot.EAGER))
