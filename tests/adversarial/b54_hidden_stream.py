"""The same on a stream that is not known as one of torch's own."""

from __future__ import annotations

from adversarial.b53_side_stream import HONEST, KERNEL
from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B54",
    "Hides the side stream: an external one, one of a native library",
    guard="g.device_sync",
    state="invalid",
    said=r"the device works on for|claims",
    where="gpu",
    also=("g.outproc",),
)
OWN, HIDDEN = (
    "side = torch.cuda.Stream()",
    "held = torch.cuda.Stream()\nside = torch.cuda.ExternalStream(held.cuda_stream)",
)


def hack(stage: Stage) -> Finding:
    return stage.benched(KERNEL.replace(OWN, HIDDEN), "cuda")


def honest(stage: Stage) -> Finding:
    return stage.benched(HONEST.replace(OWN, HIDDEN), "cuda")
