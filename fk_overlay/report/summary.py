"""What a run says, gathered once from its records; the HTML, Markdown and JSON views only write it down."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fk_overlay.core import BASELINE, Scenario, Verdict
from fk_overlay.errors import RecordError
from fk_overlay.lineage.record import read
from fk_overlay.report.comparison import Comparison, Launches, comparisons, headline, restart_sd
from fk_overlay.report.wording import STATES
from fk_overlay.scoring.correct import Finding, examine
from fk_overlay.scoring.engaged import Engagement, engagements
from fk_overlay.scoring.envelope import Envelope, calibrate
from fk_overlay.scoring.evidence import Evidence, Record
from fk_overlay.scoring.validity import config_difference, settings
from fk_overlay.scoring.verdict import judge_arm


@dataclass(frozen=True, slots=True)
class ArmSummary:
    """One candidate arm.

    Attributes:
        headline: the headline metric of both arms, by arm, restart and pass.
        agreement: share of forced tokens whose most likely token is the baseline's.
        diverged: timed outputs (distinct ones) that leave the baseline's, of how many.
        difference: resolved settings that are not the same in both arms.
    """

    verdict: Verdict
    packs: tuple[Mapping[str, Any], ...]
    comparisons: tuple[Comparison, ...]
    headline: Mapping[str, Launches]
    finding: Finding
    agreement: float | None
    diverged: tuple[int, int]
    engagements: tuple[Engagement, ...]
    difference: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Summary:
    """A run.

    Attributes:
        counts: arms per state, states that occur only.
        finished: whether every planned launch of every arm that did not fail is over.
        settings: the baseline's resolved settings.
        restart_sd: standard deviation between restarts of the log of the baseline's headline metric.
        notes: what a reader should know before anything else.
    """

    run: Mapping[str, Any]
    scenario: Scenario
    arms: tuple[ArmSummary, ...]
    counts: Mapping[str, int]
    finished: bool
    pairs: int
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    envelope: Envelope
    restart_sd: float | None
    launches: tuple[Record, ...]
    notes: tuple[str, ...]
    command: str
    requests: tuple[Record, ...]


def summarise(folder: Path) -> Summary:
    """Judge the run in ``folder`` from its records, finished or not.

    Raises:
        RecordError: there is no readable record, or its scenario is none.
    """
    evidence = Evidence.of(read(folder))
    scenario = _scenario(evidence.run)
    envelope = calibrate(evidence, scenario.correctness, scenario.headline_workload.name)
    arms = tuple(_arm(evidence, scenario, arm, envelope) for arm in evidence.candidates)
    states = [arm.verdict.state for arm in arms]
    baseline = evidence.launches_of(BASELINE, ok=True)
    return Summary(
        run=evidence.run,
        scenario=scenario,
        arms=arms,
        counts={state: states.count(state) for state in STATES if state in states},
        finished=_finished(evidence),
        pairs=max((arm.verdict.effect.pairs for arm in arms if arm.verdict.effect), default=0),
        settings=settings(baseline[0].get("config") or {}) if baseline else {},
        environment=settings(_machine(evidence.run)),
        envelope=envelope,
        restart_sd=restart_sd(headline(evidence, scenario, BASELINE)),
        launches=tuple(sorted(evidence.launches, key=lambda launch: (launch["order"], launch["launch"]))),
        notes=tuple(_notes(evidence, arms)),
        command=_command(evidence.run.get("command") or ()),
        requests=tuple(evidence.timed(evidence.requests)),
    )


def _scenario(run: Record) -> Scenario:
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(Scenario).validate_python(run["scenario"])
    except (KeyError, ValidationError) as error:
        raise RecordError(f"the run's record holds no readable scenario ({error}); start a new run") from error


def _arm(evidence: Evidence, scenario: Scenario, arm: Record, envelope: Envelope) -> ArmSummary:
    name = arm["name"]
    verdict = judge_arm(evidence, scenario, arm, envelope)
    finding = examine(evidence, name, scenario, envelope)
    tokens = sum(item.tokens for item in finding.items)
    return ArmSummary(
        verdict=verdict,
        packs=tuple(arm.get("packs") or ()),
        comparisons=tuple(comparisons(evidence, verdict)),
        headline={side: headline(evidence, scenario, side) for side in (BASELINE, name)},
        finding=finding,
        agreement=1 - sum(item.top1 * item.tokens for item in finding.items) / tokens if tokens else None,
        diverged=(sum(found.happened for found in finding.divergences), len(finding.divergences)),
        engagements=tuple(engagements(evidence, name)),
        difference=config_difference(evidence, name),
    )


def _finished(evidence: Evidence) -> bool:
    """An arm that failed is not launched again, and nothing is once the baseline or every candidate failed."""
    planned = (evidence.run.get("design") or {}).get("restarts", 0)
    arms = [arm["name"] for arm in evidence.run["arms"]]
    failed = {arm for arm in arms if any(launch["state"] != "ok" for launch in evidence.launches_of(arm))}
    if BASELINE in failed or failed >= {arm for arm in arms if arm != BASELINE}:
        return True
    return all(len(evidence.launches_of(arm, purpose="timed")) >= planned for arm in arms if arm not in failed)


def _notes(evidence: Evidence, arms: Iterable[ArmSummary]) -> Iterable[str]:
    if not _finished(evidence):
        done = sum(launch.get("purpose", "timed") == "timed" for launch in evidence.launches)
        planned = (evidence.run.get("design") or {}).get("restarts", 0) * len(evidence.run["arms"])
        yield f"This run is not finished: {done} of {planned} launches are over"
    for text, times in Counter(note["text"] for note in evidence.notes).items():
        yield f"Noted while it ran{f', {times} times' if times > 1 else ''}: {text}"
    recorded = {
        record["arm"]: record.get("state") or record["override"] or record["merit"] for record in evidence.verdicts
    }
    for arm in arms:
        before = recorded.get(arm.verdict.arm, arm.verdict.state)
        if before != arm.verdict.state:
            yield f"The record calls {arm.verdict.arm} {STATES[before]}; judged again it is {STATES[arm.verdict.state]}"


def _machine(run: Record) -> dict[str, Any]:
    """The environment with GPUs as text: how many of which."""
    machine = dict(run.get("environment") or {})
    gpus = [", driver ".join(map(str, gpu.values())) for gpu in machine.pop("gpus", ())]
    counted = [f"{gpus.count(gpu)} \u00d7 {gpu}" for gpu in dict.fromkeys(gpus)]
    return {"gpus": "; ".join(counted) or "none", **machine}


def _command(command: str | Iterable[str]) -> str:
    return command if isinstance(command, str) else shlex.join(command)
