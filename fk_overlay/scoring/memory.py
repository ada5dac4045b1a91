"""Does speed depend on what came before?

Prompts repeat from pass to pass and from launch to launch, so that answers can be compared; a patch that remembers them
gets faster where the baseline does not. A candidate that leaves something behind on the machine makes the baseline
slower after its first launch, which no candidate had preceded. Three questions of one kind, each a one-sided Student t
test on log throughputs of the headline workload.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fk_overlay.core import BASELINE
from fk_overlay.scoring.evidence import Evidence, Record

SIGNIFICANCE = 0.001
"""Chance of a false alarm in each question; a run asks three."""
GAIN = 0.02
"""Changes of log throughput below this are not worth an alarm: clocks and temperatures move that much."""
METRIC = "output_throughput"

Speeds = Mapping[int, Sequence[float]]
"""Restart -> log throughput of its passes, in order."""


def remembered(evidence: Evidence, arm: str, workload: str) -> list[str]:
    """A sentence for every sign that the arm answers from memory, or that the baseline suffers from the arm."""
    samples = evidence.timed(evidence.samples)
    ours, theirs = (_speeds(samples, each, workload) for each in (arm, BASELINE))
    return [*_passes(ours, theirs), *_launches(ours, theirs), *_baseline(ours, theirs)]


def _passes(ours: Speeds, theirs: Speeds) -> Iterator[str]:
    """From the first pass of a launch to its last: the same prompts again. Paired by restart."""
    both = [restart for restart in ours if restart in theirs and min(len(ours[restart]), len(theirs[restart])) > 1]
    gains = [(ours[at][-1] - ours[at][0]) - (theirs[at][-1] - theirs[at][0]) for at in both]
    if len(gains) > 1 and _exceeds(float(np.mean(gains)), _sd(gains) / math.sqrt(len(gains)), len(gains) - 1):
        yield (
            f"prompts that were sent before are answered {_percent(float(np.mean(gains)))} faster than new ones, and "
            "not by the baseline: either answers are remembered, or the first pass still warmed up"
        )


def _launches(ours: Speeds, theirs: Speeds) -> Iterator[str]:
    gain, error, freedom = _since_first(ours, theirs)
    if freedom and _exceeds(gain, error, freedom):
        yield (
            f"launches after the first are {_percent(gain)} faster, and the baseline's are not: something is kept from "
            "launch to launch, answers or what the first one had to compile under load"
        )


def _baseline(ours: Speeds, theirs: Speeds) -> Iterator[str]:
    gain, error, freedom = _since_first(theirs, ours, alone=True)
    if freedom and _exceeds(-gain, error, freedom):
        yield (
            f"the baseline is {_percent(gain)} slower since the candidate first ran: either the machine changed, or "
            "the candidate left something behind; repeat the run on a quiet machine"
        )


def _since_first(mine: Speeds, other: Speeds, *, alone: bool = False) -> tuple[float, float, int]:
    """Mean log speed of the launches after the first minus the first's, less the same of ``other`` unless ``alone``;
    its standard error, from the spread of both arms' later launches; degrees of freedom (0: cannot be told)."""
    means = [[float(np.mean(passes)) for _, passes in sorted(arm.items())] for arm in (mine, other)]
    later = [values[1:] for values in means]
    freedom = sum(len(values) - 1 for values in later if values)
    if min(map(len, later)) < 2:
        return 0.0, 0.0, 0
    spread = math.sqrt(sum((len(values) - 1) * _sd(values) ** 2 for values in later) / freedom)
    gains = [float(np.mean(rest)) - values[0] for rest, values in zip(later, means, strict=True)]
    terms = [1 + 1 / len(rest) for rest in later]
    if alone:
        return gains[0], spread * math.sqrt(terms[0]), freedom
    return gains[0] - max(0.0, gains[1]), spread * math.sqrt(sum(terms)), freedom


def _exceeds(gain: float, error: float, freedom: int) -> bool:
    from scipy.special import stdtrit  # type: ignore[import-untyped]

    return gain > GAIN and gain > float(stdtrit(freedom, 1 - SIGNIFICANCE)) * error


def _speeds(samples: Sequence[Record], arm: str, workload: str) -> Speeds:
    found: dict[int, dict[int, float]] = {}
    for sample in samples:
        mine = (sample["arm"], sample["workload"], sample["metric"]) == (arm, workload, METRIC)
        if mine and 0 < sample["value"] < math.inf:
            found.setdefault(sample["restart"], {})[sample["pass"]] = math.log(sample["value"])
    return {restart: [speed for _, speed in sorted(passes.items())] for restart, passes in found.items()}


def _sd(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1))


def _percent(gain: float) -> str:
    return f"{100 * abs(math.expm1(gain)):.1f} %"
