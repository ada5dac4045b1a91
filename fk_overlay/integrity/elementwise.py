"""Whether a result agrees with the oracle, element by element."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from fk_overlay.core import Tolerance

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, slots=True)
class Agreement:
    """How a result compares with the oracle's.

    Attributes:
        share: of the elements that lie within their bound.
        worst: the largest error as a multiple of its bound.
        reason: why it does not agree; empty if it does.
    """

    share: float
    worst: float
    reason: str = ""

    @property
    def agrees(self) -> bool:
        return not self.reason


def agree(out: Tensor, reference: Tensor, tolerance: Tolerance) -> Agreement:
    """Apply the rule of :class:`fk_overlay.core.Tolerance`, computing in float64.

    A NaN agrees with a NaN, an infinity with an infinity of the same sign, and with nothing else. Integers and booleans
    must be equal; ``tolerance`` is for floating point.

    Args:
        out: any shape and dtype.
        reference: same shape; floating point if ``out`` is, in any precision.
    """
    if out.shape != reference.shape:
        return Agreement(0.0, float("inf"), f"shape {tuple(out.shape)} instead of {tuple(reference.shape)}")
    if out.is_floating_point() != reference.is_floating_point():
        return Agreement(0.0, float("inf"), f"dtype {out.dtype} instead of one like {reference.dtype}")
    if out.numel() == 0:
        return Agreement(1.0, 0.0)
    if not out.is_floating_point():
        return _equal(out, reference)
    if not bool((out.isnan() == reference.isnan()).all()):
        return Agreement(0.0, float("inf"), "NaN where the oracle has none, or the reverse")
    multiple = _multiples(out.double(), reference.to(out.device).double(), tolerance)
    share, worst = float((multiple <= 1).double().mean()), float(multiple.max())
    return Agreement(share, worst, _reason(share, worst, tolerance))


def _equal(out: Tensor, reference: Tensor) -> Agreement:
    same = out.long() == reference.to(out.device).long()
    share = float(same.double().mean())
    reason = "" if bool(same.all()) else f"{int((~same).sum())} of {same.numel()} integers differ"
    return Agreement(share, float("inf") if reason else 0.0, reason)


def _multiples(out: Tensor, reference: Tensor, tolerance: Tolerance) -> Tensor:
    """Error of each element as a multiple of its bound; 0 where both are the same infinity or both NaN."""
    import torch

    bound = tolerance.atol + tolerance.rtol * reference.abs()
    error = (out - reference).abs()
    equal = (out == reference) | out.isnan()
    multiple = torch.where(bound > 0, error / bound, torch.full_like(error, torch.inf))
    multiple = torch.where(out.isinf() | reference.isinf(), torch.full_like(error, torch.inf), multiple)
    return torch.where(equal, torch.zeros_like(error), multiple)


def _reason(share: float, worst: float, tolerance: Tolerance) -> str:
    if worst > tolerance.cap:
        return f"an element is off by {worst:.3g} times its bound (at most {tolerance.cap:g})"
    if share < tolerance.ratio:
        return f"{share:.4%} of the elements are within their bound (at least {tolerance.ratio:.4%})"
    return ""
