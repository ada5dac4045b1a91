"""What a search asks of the kernel: how long a call takes under a configuration. Times are the only thing it sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from fk_overlay.tuning.config import Config


@dataclass(frozen=True, slots=True)
class Timing:
    """The median time of a call in seconds, or why there is none: the configuration did not compile, did not fit the
    card, or gave another result than the baseline's. ``fatal``: it ended this process's use of the card."""

    seconds: float | None
    reason: str = ""
    fatal: bool = False


class Bench(Protocol):
    """One layer at one number of tokens."""

    @property
    def baseline(self) -> Config:
        """What the engine runs without a pack: its own file for this card if it ships one, else its rule of thumb."""

    def time(self, config: Config, calls: int) -> Timing:
        """Time ``calls`` calls, each with a cold cache and, in turn, with another draw of the routing."""
