"""How fast a layer of experts could run at best: whatever the kernel, weights must be read and products taken."""

from __future__ import annotations

from dataclasses import dataclass

from fk_overlay.tuning.shapes import BYTES, Experts


@dataclass(frozen=True, slots=True)
class Peaks:
    """What the card gives.

    Attributes:
        bandwidth: bytes a second. 3.35 TB/s is the data sheet of the H100 SXM; 3.0 TB/s is what a large copy reached.
        flops: dense bfloat16, as a large matrix product reached it on an H100 SXM (the data sheet says 989 TFLOP/s).
    """

    bandwidth: float = 3.0e12
    flops: float = 790e12


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


def floor(shape: Experts, tokens: int, touched: int, peaks: Peaks | None = None) -> Floor:
    """The least time for ``tokens`` tokens of which the experts ``touched`` in number are needed.

    Raises:
        ValueError: so many tokens cannot touch so many experts.
    """
    peaks = peaks or Peaks()
    if not (tokens > 0 and shape.top_k <= touched <= min(shape.experts, tokens * shape.top_k)):
        raise ValueError(f"{tokens} tokens with {shape.top_k} of {shape.experts} experts each cannot touch {touched}")
    weights = touched * shape.expert_bytes
    activations = 2 * tokens * shape.hidden * BYTES
    flops = 2 * tokens * shape.top_k * 3 * shape.inter * shape.hidden
    return Floor(weights, activations, flops, (weights + activations) / peaks.bandwidth, flops / peaks.flops)
