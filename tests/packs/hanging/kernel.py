"""Right until it sleeps for ever."""

from __future__ import annotations

import itertools
import os
import time

import torch.nn.functional as F
from torch import Tensor

LAST = int(os.environ.get("FK_TEST_CALL", "50"))
"""Number of the call, counted from 1, in which it happens; for eager mode, where every call runs in Python."""

calls = itertools.count(1)


class SiluAndMul:
    def forward(self, x: Tensor) -> Tensor:
        if next(calls) == LAST:
            while True:
                time.sleep(3600)
        size = x.shape[-1] // 2
        return F.silu(x[..., :size]) * x[..., size:]
