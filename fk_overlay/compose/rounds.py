"""Measures a subset that holds, and what each of its patches adds: a run with the subset and, for every patch, the
subset without it, as arms beside one baseline.

A patch adds exp(mean ln(with / without)) over the restarts that both arms share, with the Student t interval of any
other effect: it is measured where it will live, among the others, not alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fk_overlay.compose.outcome import Marginal
from fk_overlay.compose.trials import FAILED
from fk_overlay.core import BASELINE, Arm, Effect, Pack, Verdict
from fk_overlay.lineage.record import read
from fk_overlay.scoring.effects import HEADLINE_METRIC, effects
from fk_overlay.scoring.evidence import Evidence
from fk_overlay.serving import judge

REPAIRED = "repaired"


@dataclass(frozen=True, slots=True)
class Round:
    """What one round measured.

    Attributes:
        without: the verdict on the subset without each patch; empty for a subset of one.
    """

    verdict: Verdict
    marginal: tuple[Marginal, ...]
    without: Mapping[str, Verdict]

    @property
    def loser(self) -> str | None:
        """The patch that clearly slows the others down, the worst if there are several."""
        effects = {each.patch: each.effect for each in self.marginal if each.effect is not None}
        slower = {patch: effect.ratio for patch, effect in effects.items() if effect.merit == "regressed"}
        return min(slower, key=slower.__getitem__) if slower else None


def arms(whole: Pack, without: Mapping[str, Pack]) -> tuple[Arm, ...]:
    return (
        Arm(BASELINE),
        Arm(REPAIRED, (whole,)),
        *(Arm(f"without-{patch}", (pack,)) for patch, pack in without.items()),
    )


def measure(order: judge.Order, patches: Sequence[str], folder: Path, tell: judge.Tell) -> Round:
    """Run ``order``, whose arms are those of :func:`arms`, or go on with it.

    Args:
        patches: those of the subset.

    Raises:
        as :func:`fk_overlay.serving.judge.run`.
    """
    verdicts = {verdict.arm: verdict for verdict in judge.run(order, folder, tell)}
    evidence = Evidence.of(read(folder))
    whole = verdicts[REPAIRED]
    if len(patches) == 1:
        return Round(whole, (Marginal(patches[0], whole.effect),), {})
    without = {patch: verdicts[f"without-{patch}"] for patch in patches}
    return Round(
        whole, tuple(_marginal(evidence, order, patch, verdict) for patch, verdict in without.items()), without
    )


def _marginal(evidence: Evidence, order: judge.Order, patch: str, without: Verdict) -> Marginal:
    if without.state in FAILED:
        return Marginal(patch, None, f"without it the others do not hold: {without.state}: {without.reasons[0]}")
    effect = headline(evidence, order, REPAIRED, without.arm)
    return Marginal(patch, effect, "" if effect else "no restart in which both could be measured")


def headline(evidence: Evidence, order: judge.Order, arm: str, against: str) -> Effect | None:
    """The headline effect of one arm over another."""
    scenario = order.scenario
    found = effects(evidence.timed(evidence.samples), arm, scenario.minimum_effect, order.mode, baseline=against)
    wanted = scenario.headline_workload.name, HEADLINE_METRIC
    return next((effect for effect in found if (effect.workload, effect.metric) == wanted), None)
