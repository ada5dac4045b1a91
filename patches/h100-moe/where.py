"""Where these kernels run: on CUDA tensors, and on any tensor under Triton's interpreter (``TRITON_INTERPRET=1``)."""

from __future__ import annotations

import functools
import os

import torch
from torch import Tensor

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
LIBRARY = torch.library.Library("fk_h100_moe", "DEF")


def on_device(*tensors: Tensor) -> bool:
    return INTERPRETED or all(tensor.is_cuda for tensor in tensors)


def device() -> str:
    """Where operators are checked."""
    return "cuda" if torch.cuda.is_available() else "cpu"


@functools.cache
def multiprocessors() -> int:
    """Of this process's GPU; few under the interpreter, so that each has several tiles; Hopper's where none is."""
    if INTERPRETED:
        return 3
    return torch.cuda.get_device_properties("cuda").multi_processor_count if torch.cuda.is_available() else 132
