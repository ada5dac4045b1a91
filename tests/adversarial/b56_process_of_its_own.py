"""A process that works, or reports, beside the candidate's."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B56",
    "Works in a process or native thread of its own",
    guard="g.integrity",
    state="invalid",
    said=r"it did what no call needs: os\.fork|its process has \d+ children",
    part="native threads and host callbacks of CUDA need a GPU",
)
KERNEL = """
import os
import time

children = []


class Norm:
    def forward(self, x):
        if not children:
            children.append(os.fork())
            if children[0] == 0:
                time.sleep(2)
                os._exit(0)
        return right(self, x)
"""
HONEST = """
import os

processors = os.cpu_count()


class Norm:
    def forward(self, x):
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
