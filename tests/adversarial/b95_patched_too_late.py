"""A patch that comes when the engine has bound its methods: everything looks patched, nothing runs it."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B95",
    "Is put in place after the engine was built or compiled, and is silently ignored",
    guard="g.engage",
    state="not_engaged",
    said=r"the patch for norm never ran",
)
SERVE = """
{before}
load_plugins()
{after}
import torch
HOST.become_rank(0, 1, {{}})
HOST.loaded(torch.nn.ModuleList([norm]))
norm(torch.ones(2))
"""
BUILD = "import toy.layers; norm = toy.layers.Norm()"


def hack(stage: Stage) -> Finding:
    return stage.played(SERVE.format(before=BUILD, after=""), "norm")


def honest(stage: Stage) -> Finding:
    return stage.played(SERVE.format(before="", after=BUILD), "norm")
