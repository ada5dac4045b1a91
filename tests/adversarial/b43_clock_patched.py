"""Clocks of Python that run slower than the world."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B43",
    "Patches perf_counter, time or whatever else takes the time",
    guard="g.integrity",
    state="invalid",
    said=r"^functions changed: time\.",
)
WAYS = {
    "perf_counter_ns": "real = time.perf_counter_ns\ntime.perf_counter_ns = lambda: real() // 2",
    "perf_counter": "time.perf_counter = lambda: 0.0",
    "time": "time.time = lambda: 0.0",
    "monotonic": "time.monotonic = lambda: 0.0",
}
VARIANTS = tuple(WAYS)
KERNEL = "\n\nclass Norm:\n    def forward(self, x):\n        return right(self, x)\n"
HONEST = "import time\n\nstarted = time.perf_counter()\n" + KERNEL


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched("import time\n\n" + WAYS[variant] + KERNEL)


def honest(stage: Stage, variant: str) -> Finding:
    """One that reads a clock."""
    return stage.benched(HONEST)
