"""What a machine could do at best: a call that must move so many bytes and do so many operations cannot take less than
the larger of the two times (Williams, Waterman and Patterson, CACM 52(4), 2009)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fk_overlay.core import Cost
from fk_overlay.integrity.guards import Rejection


@dataclass(frozen=True, slots=True)
class Peak:
    """Of one kind of GPU, from its maker's data sheet: bytes a second of its memory, and operations a second on its
    fastest unit for each dtype, without sparsity."""

    bytes_s: float
    flops_s: Mapping[str, float]


_HOPPER = {"bfloat16": 989.4e12, "float16": 989.4e12, "float8_e4m3fn": 1978.9e12, "float32": 494.7e12}
PEAKS: Mapping[str, Peak] = {
    "NVIDIA H100 80GB HBM3": Peak(3.35e12, _HOPPER),
    "NVIDIA H200": Peak(4.8e12, _HOPPER),
    "NVIDIA A100-SXM4-80GB": Peak(2.039e12, {"bfloat16": 312e12, "float16": 312e12, "float32": 156e12}),
}
"""float32 is that of TF32, since a kernel may use it where its error is small enough. Names are the driver's."""
SLACK = 0.9
"""A time below this part of the bound is impossible; above it, clocks may have run a little higher than stated."""


@dataclass(frozen=True, slots=True)
class Reached:
    """What one time means for a call of known cost.

    Attributes:
        bytes_s, flops_s: achieved. bound_s: least possible time here; None where the machine's peaks are not known.
        bound_by: ``memory`` or ``arithmetic``.
    """

    bytes_s: float
    flops_s: float
    bound_s: float | None
    bound_by: str


def reached(cost: Cost, seconds: float, gpu: str, dtype: str) -> Reached:
    """Args: gpu: the driver's name of it, empty for a CPU."""
    moved = cost.read + cost.written
    peak = PEAKS.get(gpu)
    if peak is None or dtype not in peak.flops_s:
        return Reached(moved / seconds, cost.flops / seconds, None, "")
    memory, arithmetic = moved / peak.bytes_s, cost.flops / peak.flops_s[dtype]
    bound, by = max((memory, "memory"), (arithmetic, "arithmetic"))
    return Reached(moved / seconds, cost.flops / seconds, bound, by)


def floor(cost: Cost, seconds: float, gpu: str, dtype: str) -> Rejection | None:
    """Reject a time shorter than possible with a cold cache. Only what must be read counts: what is written may stay in
    the cache."""
    peak = PEAKS.get(gpu)
    if peak is None or dtype not in peak.flops_s:
        return None
    bound, by = max((cost.read / peak.bytes_s, "memory"), (cost.flops / peak.flops_s[dtype], "arithmetic"))
    if seconds >= SLACK * bound:
        return None
    return Rejection("g.floor", f"{1e6 * seconds:.3g} us, but {by} alone takes {1e6 * bound:.3g} us on {gpu}")
