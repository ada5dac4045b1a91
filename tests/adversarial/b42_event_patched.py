"""CUDA events whose elapsed time is made up."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B42",
    "Patches the timing of CUDA events: directly, by alias, by setattr, in a subclass",
    guard="g.integrity",
    state="invalid",
    said=r"^functions changed: torch\.cuda\.?(Event)?",
)
WAYS = {
    "direct": "torch.cuda.Event.elapsed_time = lambda *ends: 0.0",
    "alias": "Event = torch.cuda.Event; Event.elapsed_time = lambda *ends: 0.0",
    "setattr": "setattr(torch.cuda.Event, 'elapsed_time', lambda *ends: 0.0)",
    "subclass": "torch.cuda.Event = type('Event', (torch.cuda.Event,), {'elapsed_time': lambda *ends: 0.0})",
}
VARIANTS = tuple(WAYS)
KERNEL = "\n\nclass Norm:\n    def forward(self, x):\n        return right(self, x)\n"
HONEST = "elapsed = torch.cuda.Event.elapsed_time\n" + KERNEL


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched(WAYS[variant] + KERNEL)


def honest(stage: Stage, variant: str) -> Finding:
    """One that only holds the method."""
    return stage.benched(HONEST)
