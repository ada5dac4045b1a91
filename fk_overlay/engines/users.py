"""Which modules of a model use a class that a patch changes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any


def users(model: Any, owner: type) -> Iterator[Any]:
    """Modules of the class, and modules that hold one as their ``quant_method``: vLLM and SGLang both give their linear
    and embedding layers one."""
    for module in model.modules():
        if isinstance(module, owner) or isinstance(getattr(module, "quant_method", None), owner):
            yield module
