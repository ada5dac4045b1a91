"""A package on disk that contract tests describe, edit and import."""

from __future__ import annotations

from pathlib import Path

from fk_overlay.core import Target, Task

LAYERS = '''"""Layers of a toy engine."""
import functools
from typing import overload


def traced(function):
    @functools.wraps(function)
    def call(*args, **kwargs):
        return function(*args, **kwargs)

    return call


class Norm:
    """Normalises."""

    def __init__(self, size: int, eps: float = 1e-6) -> None:
        self.size = size
        self.eps = eps

    # What the engine calls.
    @traced
    def forward(self, x: "Tensor", residual: "Tensor | None" = None) -> "Tensor":
        """Forward.

        With a second paragraph.
        """
        text = "# no comment"  # a comment

        return (x, residual, text)

    @staticmethod
    def native(x):
        return x


@overload
def align(ids: int) -> int: ...
@overload
def align(ids: str) -> str: ...
def align(ids, size=4):
    return ids


try:
    import nothing_at_all
except ImportError:
    def fallback(x): return x + 1

TABLE: dict[str, int] = {"a": 1}
'''

NORM = "toy.layers:Norm.forward"


def make(root: Path, layers: str = LAYERS) -> Path:
    """Write package ``toy`` below ``root`` and return ``root``."""
    package = root / "toy"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").write_text("def top(x): return x\n")
    (package / "layers.py").write_text(layers)
    return root


def task(folder: Path, *targets: Target) -> Task:
    folder.mkdir(parents=True, exist_ok=True)
    return Task(
        name="norm",
        level="L1",
        summary="A norm.",
        families=("dense",),
        targets=targets or (Target("vllm", ">=1,<3", "toy.layers:Norm", members=("forward",)),),
        folder=folder,
    )
