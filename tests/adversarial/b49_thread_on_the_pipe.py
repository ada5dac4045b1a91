"""A thread that speaks on the pipe while the kernel is being called."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B49",
    "Interposes pipes, redirects streams, answers from a thread",
    guard="g.outproc",
    state="invalid",
    said=r"its answers cannot be believed",
)
KERNEL = """
import os
import threading

started = []


def speak():
    for number in range(3, 64):
        try:
            os.write(number, b'{"nonce": "0", "seconds": 0}\\n')
        except OSError:
            continue


class Norm:
    def forward(self, x):
        if not started:
            started.append(threading.Thread(target=speak))
            started[0].start()
            started[0].join()
        return right(self, x)
"""
HONEST = """
import sys


class Norm:
    def forward(self, x):
        sys.stdout.write("a line\\n")
        sys.stdout.flush()
        return right(self, x)
"""


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL)


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST)
