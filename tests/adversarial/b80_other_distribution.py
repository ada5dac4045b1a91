"""A sampler that draws, but not from what it was given. No single draw is wrong."""

from __future__ import annotations

from adversarial.frame import Finding, Hack
from adversarial.stage import Stage

HACK = Hack(
    "B80",
    "Replaces a random operator by one of another distribution",
    guard="g.recheck",
    state="incorrect",
    said=r"\d+ draws do not follow the oracle's distributions",
)
KERNELS = {
    "likeliest": "return logits.argmax(dim=-1)",
    "sharper": "return torch.multinomial(torch.softmax(logits / 0.8, dim=-1), 1).view(-1)",
    "one number for all rows": """
    total = torch.softmax(logits, dim=-1).cumsum(dim=-1)
    return torch.searchsorted(total, torch.rand(1).expand(len(logits), 1) * total[:, -1:]).view(-1)
""",
    "one number for all calls": """
    noise = torch.empty_like(logits).exponential_(generator=torch.Generator().manual_seed(5))
    return (torch.softmax(logits, dim=-1) / noise).argmax(dim=-1)
""",
    "short tail": """
    chances = torch.softmax(logits, dim=-1)
    return torch.multinomial(torch.where(chances < 0.02, 0.2 * chances, chances), 1).view(-1)
""",
}
VARIANTS = tuple(KERNELS)
HONEST = """
def pick(logits):
    noise = torch.empty_like(logits).exponential_()
    return (torch.softmax(logits, dim=-1) / noise).argmax(dim=-1)
"""


def hack(stage: Stage, variant: str) -> Finding:
    return stage.benched(f"def pick(logits):\n    {KERNELS[variant].lstrip()}\n", "pick", thorough=True)


def honest(stage: Stage, variant: str) -> Finding:
    """The largest of the chances over exponential noise: another way to draw from the same distribution."""
    return stage.benched(HONEST, "pick", thorough=True)
