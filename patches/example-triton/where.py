"""Where these kernels run: on CUDA tensors, and on any tensor under Triton's interpreter (``TRITON_INTERPRET=1``)."""

from __future__ import annotations

import os

import torch
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DTYPES = (torch.bfloat16, torch.float16, torch.float32)
LIBRARY = torch.library.Library("fk_example_triton", "DEF")
"""Operators are defined on a plain library: a call costs a few microseconds less than through ``custom_op``."""


def runs_on(x: Tensor) -> bool:
    return (x.is_cuda or INTERPRETED) and x.dtype in DTYPES
