"""How far two forced decodes of the same tokens lie apart.

Two quantities per request, never mixed into one: the share of tokens whose most likely token differs, and the mean
absolute drift of the forced token's raw log-probability in nats. Each has its own noise level in the envelope; an item
is as correct as the worse of the two says. One scale serves both: half of the tokens disagreeing and half a nat of
drift per token (a factor 1.6 in perplexity) are both the end of quality, f = 0.5.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fk_overlay.scoring.evidence import Record

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Flip:
    """A token whose most likely token changed; ``margin`` in nats is the reference's, top minus second."""

    position: int
    margin: float


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One request, forced twice.

    Attributes:
        tokens: how many were compared.
        top1: share of tokens whose most likely token differs.
        drift: mean |log-probability difference| of the forced tokens, nats; infinite if one is not a number.
    """

    request: int
    reference: str
    launch: str
    tokens: int
    top1: float
    drift: float
    flips: tuple[Flip, ...]


def comparable(reference: Record, other: Record) -> bool:
    """Whether both records force the same tokens of the same request, in different launches or batch compositions."""
    same = reference["request"] == other["request"] and reference["tokens"] == other["tokens"]
    return same and bool(reference["tokens"]) and _where(reference) != _where(other)


def compare(reference: Record, other: Record) -> Discrepancy:
    """Raises ValueError if the two are not :func:`comparable`."""
    if not comparable(reference, other):
        raise ValueError(f"launches {reference['launch']} and {other['launch']} did not force the same tokens")
    differs = np.asarray(reference["top1"]) != np.asarray(other["top1"])
    flips = tuple(Flip(int(at), float(reference["margins"][at])) for at in np.flatnonzero(differs))
    drift = _drift(_floats(reference["logprobs"]), _floats(other["logprobs"]))
    count = len(reference["tokens"])
    return Discrepancy(
        reference["request"], reference["launch"], other["launch"], count, float(differs.mean()), drift, flips
    )


def against(references: Iterable[Record], others: Iterable[Record]) -> Iterator[Discrepancy]:
    """Every comparable pair of a reference and another record that was forced in the same batch composition."""
    by_request: dict[int, list[Record]] = {}
    for record in references:
        by_request.setdefault(record["request"], []).append(record)
    for other in others:
        for reference in by_request.get(other["request"], ()):
            if comparable(reference, other) and reference.get("variant") == other.get("variant"):
                yield compare(reference, other)


def item_correctness(discrepancy: float, noise: float, cliff: float) -> float:
    """c = clip(1 - (d - g) / (f - g), 0, 1); a step at g where the noise reaches the cliff."""
    if discrepancy <= noise:
        return 1.0
    if noise >= cliff or not math.isfinite(discrepancy):
        return 0.0
    return max(0.0, 1 - (discrepancy - noise) / (cliff - noise))


def _where(record: Record) -> tuple[str, str | None]:
    """Launch and variant, the batch composition in which it was forced."""
    return record["launch"], record.get("variant")


def _floats(values: Iterable[float | None]) -> Floats:
    return np.asarray([math.nan if value is None else value for value in values], dtype=float)


def _drift(reference: Floats, other: Floats) -> float:
    with np.errstate(invalid="ignore"):
        gaps = np.where(reference == other, 0.0, np.abs(other - reference))
    mean = float(gaps.mean())
    return math.inf if math.isnan(mean) else mean
