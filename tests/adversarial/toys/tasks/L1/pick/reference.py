from fk_overlay.core import Case
from fk_overlay.integrity.draw import Draw

DRAWN = ("toy",)


def reference(module, logits):
    return logits


def samples(seed, dtype, device="cpu"):
    yield Case(None, (Draw(seed, dtype, device).normal(9, 12, scale=2.0),))
