"""Draws the inputs of samples: the same values for every dtype, up to rounding, and on every device."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, dtype


class Draw:
    """A seeded source of tensors. Values are drawn in float64 on the CPU, then rounded and moved."""

    def __init__(self, seed: int, dtype: dtype, device: str = "cpu") -> None:
        import torch

        self._generator = torch.Generator().manual_seed(seed)
        self.dtype = dtype
        self.device = device

    def normal(self, *shape: int, scale: float = 1.0, mean: float = 0.0) -> Tensor:
        import torch

        values = torch.randn(*shape, generator=self._generator, dtype=torch.float64)
        return (values * scale + mean).to(self.dtype).to(self.device)

    def uniform(self, *shape: int, low: float, high: float) -> Tensor:
        import torch

        values = torch.rand(*shape, generator=self._generator, dtype=torch.float64)
        return (values * (high - low) + low).to(self.dtype).to(self.device)

    def integers(self, high: int, *shape: int) -> Tensor:
        """Integers from 0 to ``high`` - 1, as int64."""
        import torch

        return torch.randint(high, shape, generator=self._generator).to(self.device)

    def shuffled(self, count: int) -> Tensor:
        """0 to ``count`` - 1 in random order, as int64."""
        import torch

        return torch.randperm(count, generator=self._generator).to(self.device)

    def distinct(self, rows: int, columns: int, *, gap: float) -> Tensor:
        """Rows of multiples of ``gap`` around 0, different within a row, so that no rounding changes their order."""
        import torch

        order = torch.stack([torch.randperm(columns, generator=self._generator) for _ in range(rows)])
        return ((order - columns / 2) * gap).to(self.dtype).to(self.device)
