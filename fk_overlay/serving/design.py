"""In which order the arms are launched."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fk_overlay.core import Arm, Design


@dataclass(frozen=True, slots=True)
class Slot:
    """One launch that is to be made. Launches with the same ``restart`` are compared with each other."""

    order: int
    restart: int
    arm: Arm
    purpose: Literal["timed", "witness"] = "timed"

    @property
    def name(self) -> str:
        return f"{self.order:02d}-{self.arm.name}" + ("-witness" if self.purpose == "witness" else "")


def slots(arms: Sequence[Arm], design: Design) -> Iterator[Slot]:
    """A B, B A, A B ...: a drift of the machine that is linear in time hits every arm alike. The first arm comes
    first."""
    order = 0
    for restart in range(design.restarts):
        for arm in arms if restart % 2 == 0 else reversed(arms):
            yield Slot(order, restart, arm)
            order += 1
