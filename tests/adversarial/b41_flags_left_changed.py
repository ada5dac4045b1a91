"""Settings of the whole process that a kernel leaves changed."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B41",
    "Leaves global settings changed: matmul precision, default dtype, determinism",
    guard="g.integrity",
    state="invalid",
    said=r"^flags changed: (cuda\.matmul\.allow_tf32|float32 matmul precision|default dtype|threads|deterministic)",
)
WAYS = {
    "precision": "torch.set_float32_matmul_precision('medium')",
    "dtype": "torch.set_default_dtype(torch.bfloat16)",
    "determinism": "torch.use_deterministic_algorithms(True)",
}
VARIANTS = tuple(WAYS)
KERNEL = """
class Norm:
    def forward(self, x):
        {way}
        return right(self, x)
"""
HONEST = """
class Norm:
    def forward(self, x):
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            return right(self, x)
        finally:
            torch.set_float32_matmul_precision(before)
"""


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched(KERNEL.format(way=WAYS[variant]))


def honest(stage: Stage, variant: str) -> Finding:
    """A setting that is put back."""
    return stage.benched(HONEST)
