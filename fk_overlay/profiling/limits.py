"""How much is looked into, where all of it would be too much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from fk_overlay.core import Request

ToolName = Literal["ncu", "nsys"]


@dataclass(frozen=True, slots=True)
class Size:
    """How much of a load is profiled: a profiler holds every call of every operator in memory.

    Attributes:
        requests: at most so many, None for all.
        tokens: at most so many output tokens each. Fewer make the prefill weigh more than it does under the whole load.
    """

    requests: int | None = None
    tokens: int = 64

    def of(self, requests: Sequence[Request]) -> list[Request]:
        chosen = requests[: self.requests]
        return [replace(each, output_len=min(each.output_len, self.tokens)) for each in chosen]


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a tool may look into.

    Attributes:
        kernel: regular expression of kernel names (ncu).
        skip, launches: of the launches of such kernels, counted from the engine's start, how many are passed over and
            then measured (ncu).
        finish_s: how long the tool may take to write its report once the engine has ended.
    """

    tool: ToolName
    kernel: str = ".*"
    skip: int = 0
    launches: int = 20
    finish_s: float = 300.0
