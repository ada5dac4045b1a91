"""From the calls of a case to its verdict."""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterator, Mapping
from typing import Any

from fk_overlay.bench import calling
from fk_overlay.bench.arm import Ran
from fk_overlay.bench.bench import Bench
from fk_overlay.bench.design import Design
from fk_overlay.bench.evidence import CANDIDATE, Evidence
from fk_overlay.bench.trial import Trial
from fk_overlay.bench.verdict import CaseVerdict
from fk_overlay.capture import store
from fk_overlay.core import BASELINE, Merit, Pack, Task
from fk_overlay.errors import ArmFailed
from fk_overlay.integrity import claims, guards
from fk_overlay.integrity.error_ratio import envelope
from fk_overlay.integrity.guards import Rejection
from fk_overlay.integrity.roofline import floor
from fk_overlay.scoring.effects import merit_of
from fk_overlay.stats.pairs import Interval, interval

UNDECIDED = 0.1
"""Share of the checked calls that the baseline may get wrong itself before nothing can be judged by it."""
FAILED: Mapping[str, guards.State] = {
    "crashed": "crashed",
    "refused": "crashed",
    "hung": "hung",
    "out_of_memory": "out_of_memory",
    "skipped": "skipped",
}
"""State of an arm that failed -> state of the case."""


def judge(
    bench: Bench, case: store.Case, task: Task, pack: Pack | None = None, design: Design | None = None
) -> CaseVerdict:
    """Judge ``pack``'s patch for ``task`` on one captured case.

    Args:
        pack: as :meth:`fk_overlay.bench.bench.Bench.frozen` gives it; None holds the baseline against itself.

    Returns:
        A verdict whatever happens to the arms: their deaths, hangs and refusals are states of it.
    """
    trial = Trial(bench, case, task, pack, design or Design())
    reason = trial.unfit()
    if reason:
        return _verdict(trial, "skipped", reasons=(reason,))
    try:
        trial.run()
    except ArmFailed as failure:
        return _failed(trial, failure)
    assert trial.evidence is not None
    return _judged(trial, trial.evidence)


def skipped(bench: Bench, case: store.Case, task: Task, pack: Pack | None, design: Design, reason: str) -> CaseVerdict:
    """The verdict on a case that cannot be judged here, for a reason that is known beforehand."""
    return _verdict(Trial(bench, case, task, pack, design), "skipped", reasons=(reason,))


def _failed(trial: Trial, failure: ArmFailed) -> CaseVerdict:
    """An arm died, hung, refused or lied. What guards had found by then goes first."""
    reason = f"{trial.arm}: {failure}"
    found = trial.evidence.rejections if trial.evidence is not None else []
    if found and not failure.guard:
        return _rejected(trial, found, reason)
    if trial.arm == BASELINE and failure.state != "skipped":
        return _verdict(trial, "uncalibrated", reasons=(f"the baseline itself does not run: {failure}",))
    state: guards.State = "invalid" if failure.guard else FAILED.get(failure.state, "crashed")
    if trial.arm == CANDIDATE and state == "skipped":
        state = "crashed"  # the baseline could be built
    return _verdict(trial, state, failure.guard, (reason,))


def _judged(trial: Trial, evidence: Evidence) -> CaseVerdict:
    if evidence.undecided > UNDECIDED * max(1, evidence.checked):
        doubt = f"the baseline itself disagrees with the oracle in {evidence.undecided} of {evidence.checked} calls"
        return _verdict(trial, "uncalibrated", reasons=(f"{doubt}: {evidence.doubt}",))
    if odd := evidence.draws[BASELINE].why():
        return _verdict(trial, "uncalibrated", reasons=(f"the baseline itself: {odd}",))
    if not evidence.hopeless and (blind := evidence.draws[BASELINE].blind()):
        return _verdict(trial, "uncalibrated", reasons=(blind,))
    ran, refused, _ = counted(trial)
    rejections = [*evidence.rejections, *_engagement(trial), *_late(evidence)]
    if refused and not ran and not any(each.guard == "g.integrity" for each in rejections):
        why = trial.facts.get("refusals", ())
        return _verdict(trial, "unsupported", reasons=(f"supports() refused all {refused} calls", *why))
    found = effect(evidence)
    said = merit(evidence, found, trial.design.minimum_effect) if found is not None else None
    if odd := evidence.draws[CANDIDATE].why():
        rejections.append(Rejection("g.recheck", odd))
    if not evidence.hopeless:
        rejections += filter(None, [envelope(evidence.errors[CANDIDATE], evidence.errors[BASELINE])])
    if said == "improved":
        rejections += filter(None, [_unseen(evidence)])
    rejections += _floor(trial, found)
    if rejections:
        return _rejected(trial, rejections)
    assert found is not None
    if said == "improved" and trial.facts.get("clock") == calling.OnHost.clock and not _told_apart(evidence):
        said = "unresolved"
    return _verdict(trial, "passed", reasons=tuple(_notes(trial, evidence, found)), merit=said)


def counted(trial: Trial) -> Ran:
    return functools.reduce(Ran.plus, trial.ran, Ran())


def effect(evidence: Evidence) -> Interval | None:
    """Baseline time over candidate time, over rounds; None if none was measured."""
    logs = _logs(evidence)
    return interval(logs) if logs else None


def merit(evidence: Evidence, found: Interval, minimum_effect: float) -> Merit:
    """What the interval over all rounds says, if every pair of processes says it too: one may be fast by where its
    memory happens to lie, and all of its rounds share that."""
    said = merit_of(found, minimum_effect)
    logs, ends = _logs(evidence), [*evidence.sittings[1:], None]
    means = [statistics.fmean(logs[begin:end]) for begin, end in zip(evidence.sittings, ends, strict=True)]
    sure = {
        "improved": all(mean > math.log1p(minimum_effect) for mean in means),
        "regressed": all(mean < math.log1p(-minimum_effect) for mean in means),
    }
    return said if sure.get(said, True) else "unresolved"


def _logs(evidence: Evidence) -> list[float]:
    """ln(baseline / candidate) of every round; none if a time is not one."""
    mine, theirs = (evidence.times[name].claimed for name in (CANDIDATE, BASELINE))
    pairs = list(zip(theirs, mine, strict=True))
    sound = all(0 < time < math.inf for pair in pairs for time in pair)
    return [math.log(before / now) for before, now in pairs] if sound else []


def _rejected(trial: Trial, rejections: list[Rejection], *more: str) -> CaseVerdict:
    deciding = guards.first(rejections)
    assert deciding is not None
    others = [f"{each.guard}: {each.reason}" for each in rejections if each is not deciding]
    return _verdict(trial, deciding.state, deciding.guard, (deciding.reason, *others, *more))


def _engagement(trial: Trial) -> Iterator[Rejection]:
    if trial.pack is None:
        return
    ran, refused, entered = counted(trial)
    if not ran and not refused:
        yield Rejection("g.engage", "the candidate was never entered")
    elif entered > refused:
        yield Rejection("g.engage", f"it called what it replaces {entered - refused} times in {ran} calls")
    elif ran and refused:
        yield Rejection("g.engage", f"supports() refused {refused} of {ran + refused} calls of one case")


def _late(evidence: Evidence) -> Iterator[Rejection]:
    late = {name: times.late for name, times in evidence.times.items()}
    if all(late.values()):
        found = claims.left_behind(*(statistics.median(late[name]) for name in (CANDIDATE, BASELINE)))
        yield from [found] if found is not None else []


def _unseen(evidence: Evidence) -> Rejection | None:
    return claims.unseen_saving(*_savings(evidence))


def _told_apart(evidence: Evidence) -> bool:
    """Whether the parent's clock tells the candidate's saving from none. Where both clocks are of one kind, a win needs
    both: what disturbs a busy host seldom disturbs them alike. A GPU's events are finer than the parent's clock."""
    _, seen = _savings(evidence)
    return statistics.fmean(seen) > claims.unsure(seen)


def _savings(evidence: Evidence) -> tuple[list[float], list[float]]:
    """Seconds that the candidate saves in each round, as it claims, and by the parent's clock."""
    mine, theirs = evidence.times[CANDIDATE], evidence.times[BASELINE]
    saved = [before - now for before, now in zip(theirs.claimed, mine.claimed, strict=True)]
    return saved, [before - now for before, now in zip(theirs.walls, mine.walls, strict=True)]


def _floor(trial: Trial, found: Interval | None) -> Iterator[Rejection]:
    """A candidate's time that no such GPU can reach; the baseline's own is not in question."""
    cost = trial.expected.cost() if trial.expected is not None else None
    gpu = next(iter(trial.bench.host.gpus()), "")
    if found is not None and cost is not None and trial.evidence is not None and gpu:
        seconds = statistics.median(trial.evidence.times[CANDIDATE].claimed)
        rejection = floor(cost, seconds, gpu, trial.dtype)
        yield from [rejection] if rejection is not None else []


def _notes(trial: Trial, evidence: Evidence, found: Interval) -> Iterator[str]:
    if found.ratio >= trial.design.suspicious:
        yield f"{found.ratio:.0f} times as fast: look at what the baseline wastes before this is believed"
    saved, _ = _savings(evidence)
    if found.low > 1 and not _told_apart(evidence):
        yield f"the parent's clock cannot tell a saving of {1e6 * sum(saved) / len(saved):.3g} us from none"
    if evidence.undecided:
        yield f"{evidence.undecided} calls that the baseline got wrong are left out: {evidence.doubt}"


def _verdict(
    trial: Trial, state: guards.State, guard: str = "", reasons: tuple[str, ...] = (), merit: Merit | None = None
) -> CaseVerdict:
    return CaseVerdict(
        task=trial.task.name,
        case=trial.case.id,
        target=trial.case.target,
        state=state,
        guard=guard,
        reasons=reasons,
        merit=merit,
        mode=trial.design.mode,
        clock=str(trial.facts.get("clock", "")),
        device=trial.device,
        dtype=trial.dtype,
        cost=trial.expected.cost() if trial.expected is not None else None,
        captured_s=trial.case.weight,
        facts=trial.facts,
        **_measured(trial),
    )


def _measured(trial: Trial) -> dict[str, Any]:
    evidence = trial.evidence
    if evidence is None:
        return {}
    found = effect(evidence)
    facts: dict[str, Any] = {"calls": evidence.calls, "undecided": evidence.undecided}
    if found is not None:
        facts |= {"ratio": found.ratio, "low": found.low, "high": found.high, "rounds": found.pairs}
        facts |= {f"{name}_s": statistics.median(evidence.times[name].claimed) for name in (BASELINE, CANDIDATE)}
    return facts
