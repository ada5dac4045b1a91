"""A kernel that forgets its mask: it writes one row more than there is, or one before the first."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B38",
    "Writes outside of its output into neighbouring tensors",
    guard="g.immutable",
    state="incorrect",
    said=r"memory beside (x|residual) was written to",
    part="beside arguments, results in arguments' memory among them; not beside results that a kernel allocates",
)
VARIANTS = ("a row too many", "a row too early", "beside what it only reads")
REACH = """
def reach(tensor, rows):
    first = tensor.storage_offset() + min(rows, 0) * tensor.stride(0)
    shape = len(tensor) + abs(rows), tensor.shape[1]
    return torch.empty(0, dtype=tensor.dtype).set_(tensor.untyped_storage(), first, shape, tensor.stride())


def add_into(x, residual):
    residual += x
    {stray}
    return residual
"""
STRAYS = {
    "a row too many": "reach(residual, 1)[-1] += 1",
    "a row too early": "reach(residual, -1)[0] += 1",
    "beside what it only reads": "reach(x, 1)[-1].zero_()",
}
HONEST = "reach(residual, 1)[:-1].add_(0)"


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched(REACH.format(stray=STRAYS[variant]), "add")


def honest(stage: Stage, variant: str) -> Finding:
    """It reaches as far, and masks."""
    return stage.benched(REACH.format(stray=HONEST), "add")
