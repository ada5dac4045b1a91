"""Whether tokens were drawn from the distributions that the oracle gives.

No draw can be foretold, but each can be turned into a number that is uniform on [0, 1] if its token came from the
oracle's distribution: the probability of all likelier tokens, plus a random part of the token's own (universal
residuals, A. E. Brockwell 2007). So draws from many different distributions add up to one sample, which is held to
being uniform (Kolmogorov and Smirnov), and to having no memory: neither of the row before nor of the call before.
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


@dataclass(slots=True)
class Draws:
    """One arm's draws, call by call, each as a number that should be uniform."""

    calls: list[Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(map(len, self.calls))

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
        earlier = torch.arange(vocabulary, device=logits.device) < drawn
        likelier = (chances > own) | ((chances == own) & earlier)
        generator = torch.Generator().manual_seed(secrets.randbits(63))
        part = torch.rand(rows, 1, generator=generator, dtype=torch.float64).to(logits.device)
        uniform = (chances * likelier).sum(dim=-1, keepdim=True) + part * own
        self.calls.append(uniform.flatten().cpu())
        return ""

    def chance(self) -> float:
        """Probability that draws from the oracle's distributions look at least this odd; 1 if there are none."""
        found = [self._uneven(), *map(_related, (self._rows(), self._calls()))]
        return min(1.0, len(found) * min(found))

    def why(self) -> str:
        """A sentence for draws that are odd beyond :data:`SIGNIFICANCE`; empty for others."""
        chance = self.chance()
        if chance >= SIGNIFICANCE:
            return ""
        return f"{len(self)} draws do not follow the oracle's distributions (by chance: {chance:.1g})"

    def _uneven(self) -> float:
        """Kolmogorov and Smirnov's test against the uniform distribution, by its limit for many draws."""
        import torch
        from scipy.special import kolmogorov  # type: ignore[import-untyped]

        if not len(self):
            return 1.0
        values, _ = torch.cat(self.calls).sort()
        steps = torch.arange(len(values) + 1, dtype=torch.float64) / len(values)
        distance = max(float((steps[1:] - values).max()), float((values - steps[:-1]).max()))
        return float(kolmogorov(math.sqrt(len(values)) * distance))

    def _rows(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Neighbouring rows of a call."""
        for call in self.calls:
            yield call[:-1], call[1:]

    def _calls(self) -> Iterator[tuple[Tensor, Tensor]]:
        """The same row of two calls that follow each other."""
        for before, now in pairwise(self.calls):
            rows = min(len(before), len(now))
            yield before[:rows], now[:rows]


def _related(pairs: Iterator[tuple[Tensor, Tensor]]) -> float:
    """Chance of such a covariance between independent uniform numbers, of which each product about 1/2 has variance
    1/144; normal for many pairs."""
    products, count = 0.0, 0
    for one, other in pairs:
        products += float(((one - 0.5) * (other - 0.5)).sum())
        count += len(one)
    return math.erfc(12 * abs(products) / math.sqrt(2 * count)) if count else 1.0
