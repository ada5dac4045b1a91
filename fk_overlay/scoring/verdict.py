"""From the records of a run to one verdict per candidate arm. Nothing but the records is needed, so a run can be
judged again.

Merit says what the headline interval says. An override takes its place, the first that applies of: contract_error,
invalid, not_engaged, incorrect, uncalibrated, resource_regression. A screen claims no merit but a clear regression
(see :data:`fk_overlay.scoring.effects.SCREEN_FACTOR`); overrides apply to it as to any run. In the control
arm nothing needs to engage, and whatever would condemn a candidate makes the host unfit (``invalid``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from fk_overlay.core import CONTROL, Effect, Merit, Override, Scenario, Verdict
from fk_overlay.scoring.correct import Finding, examine
from fk_overlay.scoring.costs import costs, over_limits, slow_load, traded
from fk_overlay.scoring.disturbed import disturbed
from fk_overlay.scoring.effects import HEADLINE_METRIC, effects, without_ratio
from fk_overlay.scoring.engaged import engagements, fallback_share, not_engaged
from fk_overlay.scoring.envelope import Envelope, calibrate
from fk_overlay.scoring.evidence import Evidence, Record
from fk_overlay.scoring.validity import contract_errors, invalid
from fk_overlay.stats.pairs import pairs_needed

Objections = list[tuple[Override, Sequence[str]]]
"""What speaks against an arm, in order of precedence."""


def judge(records: Iterable[Record], scenario: Scenario) -> list[Verdict]:
    """One verdict per candidate arm, in the order of the run's arms.

    Raises:
        RecordError: the records do not say which run this is.
    """
    evidence = Evidence.of(records)
    envelope = calibrate(evidence, scenario.correctness, scenario.headline_workload.name)
    return [judge_arm(evidence, scenario, arm, envelope) for arm in evidence.candidates]


def judge_arm(evidence: Evidence, scenario: Scenario, arm: Record, envelope: Envelope) -> Verdict:
    """The verdict on one arm, as the run's record describes it."""
    name = arm["name"]
    samples = evidence.timed(evidence.samples)
    absent = [] if name == CONTROL else not_engaged(evidence, arm)
    # What an arm measured that did not run its pack is the baseline's, and goes under nobody's name.
    found = [] if absent else effects(samples, name, scenario.minimum_effect, evidence.mode)
    headline = scenario.headline_workload.name, HEADLINE_METRIC
    effect = next((effect for effect in found if (effect.workload, effect.metric) == headline), None)
    finding = examine(evidence, name, scenario, envelope)
    ratios = costs(evidence, name)
    merit = effect.merit if effect else "unresolved"
    objections: Objections = [
        ("contract_error", contract_errors(evidence, name)),
        ("invalid", invalid(evidence, name, scenario, effect)),
        ("not_engaged", absent),
        ("invalid" if name == CONTROL else "incorrect", finding.errors),
        ("uncalibrated", _uncalibrated(envelope, finding, merit, control=name == CONTROL)),
        ("resource_regression", over_limits(ratios, scenario.limits)),
        ("resource_regression", slow_load(evidence, name, scenario.limits)),
        ("resource_regression", _traded(merit, found, scenario)),
    ]
    reasons = [reason for _, sentences in objections for reason in sentences]
    reasons += [] if absent else _merit(evidence, effect, scenario.minimum_effect)
    reasons += _remarks(evidence, name, envelope, finding, without_ratio(samples, name))
    return Verdict(
        arm=name,
        merit=merit,
        override=next((override for override, sentences in objections if sentences), None),
        effect=effect,
        effects=tuple(found),
        correctness=finding.correctness,
        reasons=tuple(reasons),
        costs=ratios,
    )


def _uncalibrated(envelope: Envelope, finding: Finding, merit: Merit, *, control: bool) -> Sequence[str]:
    if not envelope.calibrated:
        agreement = _share(envelope.agreement or 0.0)
        return [f"the baseline agrees with itself on only {agreement} of the tokens and cannot judge others"]
    if finding.correctness is None and merit in ("improved", "neutral") and not control:
        return ["no forced decode of this arm could be held against the baseline's, so no claim can be made"]
    return []


def _traded(merit: Merit, found: Sequence[Effect], scenario: Scenario) -> Sequence[str]:
    """A patch that is slower anyway needs no second reproach."""
    return traded(found, scenario) if merit in ("improved", "neutral") else []


def _merit(evidence: Evidence, effect: Effect | None, minimum_effect: float) -> Iterator[str]:
    """What was measured, in a sentence, and what to do if it decides nothing."""
    planned = (evidence.run.get("design") or {}).get("restarts")
    pairs = effect.pairs if effect else 0
    if planned and pairs < planned:
        yield f"{pairs} of {planned} planned restart pairs are complete"
    if effect is None or pairs < 2:
        yield "an interval needs at least 2 complete pairs; run the rest"
        return
    subject = f"{effect.metric.replace('_', ' ')} of {effect.workload}"
    span = f"95 % interval {percent(effect.low - 1)} to {percent(effect.high - 1)}, {pairs} restart pairs"
    yield f"{subject}: {percent(effect.ratio - 1)} ({span}; smallest effect that counts {_share(minimum_effect)})"
    if effect.merit == "unresolved":
        yield _advice(evidence, effect, minimum_effect)
        if said := disturbed(evidence):
            yield said


def _advice(evidence: Evidence, effect: Effect, minimum_effect: float) -> str:
    spread = f"sd between restarts {_share(effect.sd)}"
    if evidence.mode == "screen":
        return f"a screen claims nothing but a clear regression; run it in mode decide ({spread})"
    more = pairs_needed(effect.sd, minimum_effect, effect.ratio, effect.pairs)
    if more is None:
        return f"no reasonable number of pairs resolves an effect this near to the smallest that counts ({spread})"
    return f"run {more} more pair{'s' if more != 1 else ''}: {spread}"


def _remarks(
    evidence: Evidence, arm: str, envelope: Envelope, finding: Finding, zeros: Sequence[tuple[str, str]]
) -> Iterator[str]:
    """What a reader should know although it decides nothing."""
    counts = engagements(evidence, arm)
    if left := fallback_share(counts):
        why = "; ".join(dict.fromkeys(reason for count in counts for reason in count.refusals))
        yield f"{_share(left)} of the calls that Python saw were left to the engine's own code{why and f' ({why})'}"
    if finding.correctness is not None and envelope.agreement is None:
        yield f"the baseline was not compared with itself; the noise level is the fallback, {envelope.top1:.3f}"
    for workload, metric in zeros:
        yield f"{metric.replace('_', ' ')} of {workload} is not positive everywhere and has no ratio"


def percent(change: float, digits: int = 1) -> str:
    """A change as a signed percentage; one of the whole and more without decimals."""
    return f"{100 * change:+.{0 if abs(change) >= 1 else digits}f} %"


def _share(share: float) -> str:
    return f"{100 * share:.1f} %"
