"""A kernel whose times are a formula, on a clock that only measuring moves."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from fk_overlay.tuning.bench import Timing
from fk_overlay.tuning.config import Config

BASELINE = Config(64, 64, 32, 8, 4, 3)
COMPILING_S = 1.0


@dataclass
class FakeClock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeBench:
    """``costs`` gives seconds for some configurations, or a reason; all others take ``usual`` seconds."""

    clock: FakeClock
    costs: dict[Config, float | str] = field(default_factory=dict)
    usual: float = 2e-3
    noise: float = 0.002
    drift: float = 0.0
    baseline: Config = BASELINE
    asked: list[tuple[Config, int]] = field(default_factory=list)
    fatal: bool = False

    def __post_init__(self) -> None:
        self._random = random.Random(7)

    def time(self, config: Config, calls: int) -> Timing:
        if config not in {known for known, _ in self.asked}:
            self.clock.now += COMPILING_S
        self.asked.append((config, calls))
        cost = self.costs.get(config, 1e-3 if config == self.baseline else self.usual)
        if isinstance(cost, str):
            return Timing(None, cost, self.fatal)
        seconds = cost * self._random.gauss(1.0, self.noise) * (1 + self.drift * self.clock.now)
        self.clock.now += calls * seconds
        return Timing(seconds)
