"""Is the candidate right? Forced decode and timed traffic, held to the envelope."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fk_overlay.core import BASELINE, Scenario
from fk_overlay.scoring.envelope import Envelope
from fk_overlay.scoring.evidence import Evidence, of_arm
from fk_overlay.scoring.forced import Discrepancy, against
from fk_overlay.scoring.traffic import SIGNIFICANCE, Divergence, divergences, excess, failures, unaccounted


@dataclass(frozen=True, slots=True)
class Finding:
    """How right one arm is.

    Attributes:
        correctness: mean item correctness, None where no forced decode could be compared.
        errors: one sentence each; empty for an arm that is right.
        items: forced decodes against the baseline's; ``divergences``: timed outputs against the baseline's.
    """

    correctness: float | None
    errors: tuple[str, ...]
    items: tuple[Discrepancy, ...] = ()
    divergences: tuple[Divergence, ...] = ()


def examine(evidence: Evidence, arm: str, scenario: Scenario, envelope: Envelope) -> Finding:
    """Hold the arm's launches, timed outputs and forced decodes to the baseline's.

    A baseline that is beside itself condemns nobody: without calibration only failures are errors.
    """
    forced = evidence.sound(evidence.forced)
    reference = of_arm(forced, BASELINE)
    items = tuple(against(reference, of_arm(forced, arm)))
    timed = evidence.timed(evidence.requests)
    ours, theirs = of_arm(timed, arm), of_arm(timed, BASELINE)
    headline = scenario.headline_workload.name
    greedy = {workload.name for workload in scenario.workloads if workload.sampling is None}
    compared = [record for record in ours if record["workload"] in greedy]
    parted = tuple(divergences(compared, theirs, reference, headline))
    correctness = envelope.mean_correctness(items)
    errors = [
        *_launches(evidence, arm),
        *unaccounted(ours, scenario),
        *_requests(failures(ours, theirs, scenario), len(ours)),
    ]
    if envelope.calibrated:
        errors += [
            *_flips(items, envelope.margin),
            *_parted(parted, envelope.margin),
            *_recognised(parted, headline, {record["request"] for record in reference}),
            *_low(correctness, scenario.correctness.threshold, envelope),
        ]
    return Finding(correctness, tuple(errors), items, parted)


def _launches(evidence: Evidence, arm: str) -> Iterator[str]:
    for launch in evidence.launches_of(arm):
        if launch["state"] not in ("ok", "not_engaged"):
            yield f"launch {launch['launch']} {launch['state']}: {launch.get('reason') or 'no reason recorded'}"


def _flips(items: Sequence[Discrepancy], margin: float) -> Iterator[str]:
    flips = {
        (item.request, flip.position): flip.margin for item in items for flip in item.flips if flip.margin > margin
    }
    if flips:
        (request, position), worst = max(flips.items(), key=lambda found: found[1])
        yield (
            f"{_count(len(flips), 'token')} of the forced decode changed although the baseline was sure: token "
            f"{position} of request {request}, margin {worst:.2f} nats against at most {margin:.2f}"
        )


def _parted(found: Sequence[Divergence], margin: float) -> Iterator[str]:
    wrong = [divergence for divergence in found if divergence.margin is not None and divergence.margin > margin]
    if wrong:
        worst = max(wrong, key=lambda divergence: divergence.margin or 0.0)
        yield (
            f"{_count(len(wrong), 'timed output')} left the baseline's where it was sure: request {worst.request} "
            f"of {worst.workload} at token {worst.position}, margin {worst.margin:.2f} nats against at most "
            f"{margin:.2f}"
        )


def _requests(failed: Sequence[str], sent: int) -> Iterator[str]:
    if failed:
        yield f"{len(failed)} of {sent} timed requests failed, the first: {failed[0]}"


def _recognised(found: Sequence[Divergence], headline: str, forced: set[int]) -> Iterator[str]:
    chance = excess(found, headline, forced)
    if chance is not None and chance < SIGNIFICANCE:
        yield (
            f"timed requests that were not forced leave the baseline's output more often than forced ones (by chance: "
            f"{chance:.1g}); the forced decode does not speak for them"
        )


def _low(correctness: float | None, threshold: float, envelope: Envelope) -> Iterator[str]:
    if correctness is not None and correctness < threshold:
        yield (
            f"correctness {correctness:.3f} is below {threshold:.2f} (noise level: {envelope.top1:.3f} of the tokens, "
            f"{envelope.drift:.3f} nats)"
        )


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("s" if number != 1 else "")
