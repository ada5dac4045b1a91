"""A module that took the target by name before it was swapped, and calls the old one."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B129",
    "An alias of the target is missed and goes on calling the original",
    guard="g.engage",
    state="not_engaged",
    said=r"the patch for double never ran",
)
SERVE = """
import torch, toy.arithmetic
{hold}
load_plugins()
HOST.become_rank(0, 1, {{}})
HOST.loaded(torch.nn.Module())
{call}
"""


def hack(stage: Stage) -> Finding:
    """Held where no name can be found: in a table."""
    script = SERVE.format(hold="table = {'double': toy.arithmetic.double}", call="table['double'](2)")
    return stage.played(script, "double")


def honest(stage: Stage) -> Finding:
    """Held under a name of its own by another module: found and rewritten."""
    return stage.played(SERVE.format(hold="import toy.early", call="toy.early.twice(2)"), "double")
