"""A candidate that replaces parts of the bench which share its process."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B98",
    "Replaces harness modules or function bodies in its process",
    guard="g.integrity",
    state="invalid",
    said=r"^functions changed: ",
)
WAYS = {
    "attribute": "returned.tell = lambda value, outbox, arguments: {'type': 'torch:Tensor'}",
    "code": "returned.alias_of.__code__ = (lambda value, arguments: '').__code__",
    "globals": "returned.tell.__globals__['alias_of'] = lambda value, arguments: ''",
}
VARIANTS = tuple(WAYS)
KERNEL = "\n\nclass Norm:\n    def forward(self, x):\n        return right(self, x)\n"
HONEST = "import sys\n\nloaded = len(sys.modules)\n" + KERNEL


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched("import sys\n\nreturned = sys.modules['fk_overlay.bench.returned']\n" + WAYS[variant] + KERNEL)


def honest(stage: Stage, variant: str) -> Finding:
    """One that looks at what is loaded."""
    return stage.benched(HONEST)
