"""Where these kernels run: on CUDA tensors, and on any tensor under Triton's interpreter (``TRITON_INTERPRET=1``)."""

from __future__ import annotations

import os

import torch
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DTYPES = (torch.bfloat16, torch.float16)
LIBRARY = torch.library.Library("fk_h100_moe", "DEF")


def on_device(*tensors: Tensor) -> bool:
    return INTERPRETED or all(tensor.is_cuda for tensor in tensors)


def runs_on(*tensors: Tensor) -> bool:
    """Whether all are of one dtype that these kernels know, where they run, with contiguous rows."""
    one_dtype = len({tensor.dtype for tensor in tensors}) == 1 and tensors[0].dtype in DTYPES
    return one_dtype and on_device(*tensors) and all(tensor.stride(-1) == 1 for tensor in tensors)


def device() -> str:
    """Where operators are checked."""
    return "cuda" if torch.cuda.is_available() else "cpu"
