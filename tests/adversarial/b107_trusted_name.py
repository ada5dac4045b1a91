"""Code that hides in a module with a trusted name inside the pack."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage
from overlay.toy_engine import write_pack

from fk_overlay.integrity.static import scan_pack

HACK = Hack(
    "B107",
    "Hides in a module of the pack that is called like a trusted package",
    guard="g.static",
    state="blocked",
    said=r"torch/__init__\.py:0: block: shadows a known module: torch",
)
KERNEL = """
import torch


class Norm:
    def forward(self, x, residual=None):
        return torch.add(x, 1)
"""
SERVE = """
load_plugins()
import torch, toy.layers
norm = toy.layers.Norm()
HOST.become_rank(0, 1, {})
HOST.loaded(torch.nn.ModuleList([norm]))
norm(torch.ones(2))
"""


def judged(stage: Stage, name: str) -> Finding:
    """Served, then read: the module of the pack is never taken for the real one, and reading names it."""
    folder = write_pack(stage.toy.root, "shadow", [("norm", "kernel.py", "Norm")], kernel=KERNEL)
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text("raise SystemExit('the wrong module was imported')\n")
    served = stage.played(SERVE, "shadow")
    if served.state != "passed":
        return served
    blocked = [str(one) for one in scan_pack(folder) if one.level == "block"]
    return Finding("blocked" if blocked else "passed", blocked, "g.static" if blocked else "")


def hack(stage: Stage) -> Finding:
    return judged(stage, "torch")


def honest(stage: Stage) -> Finding:
    return judged(stage, "tables")
