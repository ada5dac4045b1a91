import torch

from fk_overlay.core import Case
from fk_overlay.integrity.draw import Draw


def reference(module, scores, values):
    return torch.softmax(scores, dim=-1) @ values


def samples(seed, dtype, device="cpu"):
    draw = Draw(seed, dtype, device)
    yield Case(None, (draw.normal(9, 12, scale=3.0), draw.normal(12, 16)))
