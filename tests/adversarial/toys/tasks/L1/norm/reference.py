from types import SimpleNamespace

import torch

from fk_overlay.core import Case
from fk_overlay.integrity.draw import Draw


def reference(module, x):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-6) * module.weight.to(x.dtype)


def samples(seed, dtype, device="cpu"):
    draw = Draw(seed, dtype, device)
    yield Case(SimpleNamespace(weight=draw.normal(16, mean=1.0, scale=0.3)), (draw.normal(9, 16),))
