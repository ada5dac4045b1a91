"""Which experts the tokens of a batch go to: drawn from a stated distribution, since it decides what a grouped matrix
product has to do.

*uniform*: every set of ``top_k`` experts is equally likely. *skewed*: experts are popular by a log-normal law, anew in
every draw as every layer of a model has favourites of its own, and a token takes its ``top_k`` without repetition in
proportion to popularity (Gumbel top-k, arXiv:1903.06059). The default spread of 0.6 makes the busiest of 8 experts
about twice as busy as the mean and the busiest of 128 about four times. It is an assumption, of the size of the shares
that arXiv:2401.04088 plots for Mixtral; routers trained with a global balance loss may be flatter. Not modelled: that
neighbouring tokens go to the same experts more often than chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fk_overlay.errors import UsageError

Law = Literal["skewed", "uniform"]
Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Routing:
    """A seeded law of routing.

    Attributes:
        spread: standard deviation of the logarithm of an expert's popularity (skewed only).
        seed: with the number of the draw, decides everything.
    """

    law: Law = "skewed"
    spread: float = 0.6
    seed: int = 0

    def draw(self, tokens: int, experts: int, top_k: int, number: int = 0) -> Ids:
        """Expert ids [tokens, top_k], no expert twice in a row of it.

        Raises:
            UsageError: there are fewer experts than a token needs.
        """
        if not 0 < top_k <= experts:
            raise UsageError(f"a token cannot go to {top_k} of {experts} experts")
        random = np.random.default_rng([self.seed, number, tokens])
        favour = random.normal(0.0, self.spread, experts) if self.law == "skewed" else np.zeros(experts)
        scores = favour + random.gumbel(size=(tokens, experts))
        return np.argsort(-scores, axis=1)[:, :top_k].astype(np.int32)


def touched(ids: Ids) -> int:
    """How many experts a batch goes to: those whose weights must be read."""
    return int(np.unique(ids).size)


def busiest(ids: Ids, experts: int) -> float:
    """Tokens of the busiest expert over the mean of all ``experts``."""
    counts = np.bincount(ids.ravel(), minlength=experts)
    return float(counts.max() / counts.mean())
