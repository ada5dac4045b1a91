"""Whether tokens were drawn from the distributions that the oracle gives.

No draw can be foretold, but each can be turned into a number that is uniform on [0, 1] if its token came from the
oracle's distribution: the probability of all tokens before it in some order, plus a random part of the token's own
(universal residuals, A. E. Brockwell 2007). So draws from many different distributions add up to one sample, which is
held to being uniform (Kolmogorov and Smirnov), and to having no memory: neither of the row before nor of the call
before. Two orders are looked at, the likeliest first and as the vocabulary has them: samplers go through either.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

SIGNIFICANCE = 1e-6
"""Chance under the oracle's distributions below which draws are not from them."""
LEAST = 20.0
"""Draws times the square of the share that are not the likeliest tokens: the likeliest ones alone leave a gap of that
share, which the test finds beyond :data:`SIGNIFICANCE` where this is above 7.3."""


@dataclass(slots=True)
class Draws:
    """One arm's draws, call by call.

    Attributes:
        calls: [orders, rows] of each, every number uniform if its draw was from the oracle's distribution.
        open: expected number of draws that are not the likeliest token.
    """

    calls: list[Tensor] = field(default_factory=list)
    open: float = 0.0

    def __len__(self) -> int:
        return sum(call.shape[1] for call in self.calls)

    def add(self, tokens: Tensor, logits: Tensor) -> str:
        """Take one call's draws.

        Args:
            tokens: [rows] of int.
            logits: [rows, vocabulary], minus infinity for tokens that may not be drawn.

        Returns:
            Why they cannot be draws from these rows; empty if they can, and only then they count.
        """
        import torch

        rows, vocabulary = logits.shape
        if tokens.shape != (rows,) or tokens.is_floating_point():
            return f"{tokens.dtype} of shape {tuple(tokens.shape)} instead of one token for each of {rows} rows"
        drawn = tokens.long().to(logits.device).unsqueeze(1)
        if not bool(((drawn >= 0) & (drawn < vocabulary)).all()):
            return f"a token outside of the vocabulary of {vocabulary} was drawn"
        chances = logits.double().softmax(dim=-1)
        own = chances.gather(1, drawn)
        if not bool((own > 0).all()):
            return f"{int((own == 0).sum())} of {rows} tokens have no chance to be drawn"
        lower = torch.arange(vocabulary, device=logits.device) < drawn
        likelier = (chances > own) | ((chances == own) & lower)
        generator = torch.Generator().manual_seed(secrets.randbits(63))
        part = torch.rand(rows, 1, generator=generator, dtype=torch.float64).to(logits.device)
        before = torch.stack([(chances * earlier).sum(dim=-1) for earlier in (likelier, lower)])
        self.open += float((1 - chances.max(dim=-1).values).sum())
        self.calls.append((before + (part * own).squeeze(1)).cpu())
        return ""

    def chance(self) -> float:
        """Probability that draws from the oracle's distributions look at least this odd; 1 if there are none."""
        import torch

        if not self.calls:
            return 1.0
        found = [_uneven(order) for order in torch.cat(self.calls, dim=1)]
        for order in range(len(found)):
            found += [_related(self._rows(order)), _related(self._calls(order))]
        return min(1.0, len(found) * min(found))

    def blind(self) -> str:
        """Why these draws tell nothing: a sampler that always takes the likeliest token would pass. Empty if it would
        not."""
        if self.open**2 >= LEAST * len(self):
            return ""
        return f"of {len(self)} draws only {self.open:.0f} should not be the likeliest token, too few to judge by"

    def why(self) -> str:
        """A sentence for draws that are odd beyond :data:`SIGNIFICANCE`; empty for others."""
        chance = self.chance()
        if chance >= SIGNIFICANCE:
            return ""
        return f"{len(self)} draws do not follow the oracle's distributions (by chance: {chance:.1g})"

    def _rows(self, order: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Neighbouring rows of a call."""
        for call in self.calls:
            yield call[order, :-1], call[order, 1:]

    def _calls(self, order: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The same row of two calls that follow each other."""
        for before, now in pairwise(self.calls):
            rows = min(before.shape[1], now.shape[1])
            yield before[order, :rows], now[order, :rows]


def _uneven(numbers: Tensor) -> float:
    """Chance of Kolmogorov and Smirnov's distance from the uniform distribution, by its limit for many draws."""
    import torch
    from scipy.special import kolmogorov  # type: ignore[import-untyped]

    values, count = numbers.sort().values, len(numbers)
    steps = torch.arange(count + 1, dtype=torch.float64) / count
    distance = max(float((steps[1:] - values).max()), float((values - steps[:-1]).max()))
    return float(kolmogorov(math.sqrt(count) * distance))


def _related(pairs: Iterator[tuple[Tensor, Tensor]]) -> float:
    """Chance of such a covariance between independent uniform numbers, of which each product about 1/2 has variance
    1/144; normal for many pairs."""
    products, count = 0.0, 0
    for one, other in pairs:
        products += float(((one - 0.5) * (other - 0.5)).sum())
        count += len(one)
    return math.erfc(12 * abs(products) / math.sqrt(2 * count)) if count else 1.0
