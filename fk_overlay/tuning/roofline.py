"""How fast a layer of experts could run at best: whatever the kernel, weights must be read and products taken."""

from __future__ import annotations

from dataclasses import dataclass

from fk_overlay.integrity.roofline import PEAKS
from fk_overlay.tuning.shapes import BYTES, Experts

REACHED_BANDWIDTH, REACHED_FLOPS = 0.9, 0.8
"""Shares of the data sheet that the simplest code reaches: a large copy 3.0 of 3.35 TB/s on an H100 SXM and 4.3 of
4.8 TB/s on an H200, a product of bfloat16 matrices of 8192 about 790 of 989 TFLOP/s on both."""


@dataclass(frozen=True, slots=True)
class Peaks:
    """What a card gives: bytes a second, and operations a second in dense bfloat16."""

    bandwidth: float
    flops: float

    @classmethod
    def reachable(cls, gpu: str) -> Peaks | None:
        """Of the card that the driver calls ``gpu``; None for one that is not known."""
        sheet = PEAKS.get(gpu)
        if sheet is None:
            return None
        return cls(REACHED_BANDWIDTH * sheet.bytes_s, REACHED_FLOPS * sheet.flops_s["bfloat16"])


@dataclass(frozen=True, slots=True)
class Floor:
    """The least time of one call.

    Attributes:
        weights, activations: bytes that must be moved, each once: weights of the touched experts; tokens in and out.
            Intermediates count nothing, since a fused kernel need not store them.
        flops: 2 for each weight and token of an expert.
        moving_s, computing_s: what the two would take alone.
    """

    weights: int
    activations: int
    flops: int
    moving_s: float
    computing_s: float

    @property
    def seconds(self) -> float:
        return max(self.moving_s, self.computing_s)

    @property
    def bound(self) -> str:
        return "memory" if self.moving_s >= self.computing_s else "compute"

    def headroom(self, measured_s: float) -> float:
        """How many times faster than measured the layer could be at the very most. Raises :class:`ValueError` for a
        time that is not positive."""
        if measured_s <= 0:
            raise ValueError(f"a call cannot take {measured_s} s")
        return measured_s / self.seconds


def floor(shape: Experts, tokens: int, touched: int, peaks: Peaks) -> Floor:
    """The least time for ``tokens`` tokens of which the experts ``touched`` in number are needed.

    Raises:
        ValueError: so many tokens cannot touch so many experts.
    """
    if not (tokens > 0 and shape.top_k <= touched <= min(shape.experts, tokens * shape.top_k)):
        raise ValueError(f"{tokens} tokens with {shape.top_k} of {shape.experts} experts each cannot touch {touched}")
    weights = touched * shape.expert_bytes
    activations = 2 * tokens * shape.hidden * BYTES
    flops = 2 * tokens * shape.top_k * 3 * shape.inter * shape.hidden
    return Floor(weights, activations, flops, (weights + activations) / peaks.bandwidth, flops / peaks.flops)
