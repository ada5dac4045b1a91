"""How large a candidate's error is beside the baseline's own: a tolerance wide enough for an honest kernel in bfloat16
is wide enough for a float32 kernel that computes in half of its precision."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fk_overlay.integrity.guards import Rejection

if TYPE_CHECKING:
    from torch import Tensor

MOST = 4.0
"""Times the baseline's error that a candidate's may be. Another order of a sum stays below 2; one format less of
precision is 8 times or more."""
LEAST = 0.5
"""Units in the last place below which an error is no worse than one rounding."""


@dataclass(slots=True)
class Errors:
    """Squared errors of one arm's results against the oracle, relative to the results' own scale, summed over calls."""

    squares: dict[int, float] = field(default_factory=dict)
    scales: dict[int, float] = field(default_factory=dict)
    eps: dict[int, float] = field(default_factory=dict)

    def add(self, results: Sequence[Tensor], truth: Sequence[Tensor]) -> None:
        import torch

        for number, (result, reference) in enumerate(zip(results, truth, strict=True)):
            if result.is_floating_point():
                exact = reference.to(result.device).double()
                finite = torch.isfinite(exact) & torch.isfinite(result)
                error = (result.double() - exact)[finite]
                self.squares[number] = self.squares.get(number, 0.0) + float(error.square().sum())
                self.scales[number] = self.scales.get(number, 0.0) + float(exact[finite].square().sum())
                self.eps[number] = torch.finfo(result.dtype).eps

    def relative(self, number: int) -> float:
        """Root mean square of the error over that of the result; 0 for a result that is all zero and right."""
        square, scale = self.squares.get(number, 0.0), self.scales.get(number, 0.0)
        return math.sqrt(square / scale) if scale else (math.inf if square else 0.0)


def envelope(candidate: Errors, baseline: Errors) -> Rejection | None:
    """Reject a candidate whose error is more than :data:`MOST` times the baseline's, or than one rounding's."""
    for number, eps in candidate.eps.items():
        mine, theirs = candidate.relative(number), baseline.relative(number)
        bound = MOST * max(theirs, LEAST * eps / math.sqrt(12))
        if mine > bound:
            return Rejection(
                "g.envelope",
                f"result {number} is off by {mine:.3g} of its scale, at most {bound:.3g}; the baseline by {theirs:.3g}",
            )
    return None
