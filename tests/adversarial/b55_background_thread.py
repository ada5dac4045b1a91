"""A thread that finishes the work after the call has returned."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B55",
    "Leaves the work to a background thread",
    guard="g.integrity",
    state="invalid",
    said=r"it did what no call needs: start of a thread|it runs threads of its own",
)
KERNEL = """
import threading
import time


class Norm:
    def forward(self, x):
        out = right(self, x)

        def later():
            time.sleep(0.001)
            out.add_(0)

        threading.Thread(target=later).start()
        return out
"""
HONEST = """
from concurrent.futures import ThreadPoolExecutor

pool = ThreadPoolExecutor(1)
pool.submit(int).result()


class Norm:
    def forward(self, x):
        return right(self, x)

    def prepare(self):
        pool.shutdown()
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    """Threads that compile while the layer is prepared, and are gone when it is called."""
    return stage.benched(HONEST)
