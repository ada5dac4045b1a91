"""One case, judged: baseline against candidate in processes of their own, call by call from the same secret inputs."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from fk_overlay.bench.arm import ArmProcess
from fk_overlay.bench.bench import Bench
from fk_overlay.bench.design import Design
from fk_overlay.bench.evidence import CANDIDATE, Evidence, Pair
from fk_overlay.bench.expected import Expected
from fk_overlay.bench.inputs import Ticket
from fk_overlay.bench.verdict import CaseVerdict
from fk_overlay.capture import store
from fk_overlay.core import BASELINE, Pack, Task, Tolerance
from fk_overlay.errors import ArmFailed, FileError
from fk_overlay.integrity import claims, guards
from fk_overlay.integrity.changes import after, timed_events
from fk_overlay.integrity.error_ratio import envelope
from fk_overlay.integrity.guards import Rejection
from fk_overlay.scoring.effects import merit_of
from fk_overlay.stats.pairs import Interval, interval

ARMS = (BASELINE, CANDIDATE)
SEEDS = 1 << 62
TWISTS, REUSES = 0.1, 0.25
"""Shares of the calls that get a near-duplicate of the last inputs, and that get them in the last call's memory."""
ARGUMENTS_BYTES, ARGUMENTS_SHARE = 1 << 18, 0.1
"""Arguments are asked back after every call up to so many bytes, else after this share of the calls."""
UNDECIDED = 0.1
"""Share of the calls that the baseline may get wrong itself before nothing can be judged by it."""
ROOM = 1 << 20


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
        return trial.verdict("skipped", reasons=(reason,))
    try:
        trial.run()
    except ArmFailed as failure:
        return trial.failed(failure)
    return trial.judged()


@dataclass(slots=True)
class Trial:
    """A case while it is being judged."""

    bench: Bench
    case: store.Case
    task: Task
    pack: Pack | None
    design: Design
    facts: dict[str, Any] = field(default_factory=dict)
    _evidence: Evidence | None = None
    _expected: Expected | None = None
    _arm: str = BASELINE
    _ran: list[tuple[int, int, int]] = field(default_factory=list)
    _random: random.Random = field(default_factory=lambda: random.SystemRandom())

    # ------------------------------------------------------------------------------------------------ before any call

    @property
    def device(self) -> str:
        named = (part.device for each in (*self.case.signature, *self.case.results) for _, part in each.walk())
        return next((device for device in named if device), "cpu")

    @property
    def dtype(self) -> str:
        """Of the first floating point tensor among the arguments, else of the results."""
        parts = [part for each in (*self.case.signature, *self.case.results) for _, part in each.walk()]
        weights = [tensor for module in self.case.modules.values() for tensor in module.tensors]
        return next((part.dtype for part in (*parts, *weights) if "float" in part.dtype), "float32")

    @property
    def evidence(self) -> Evidence:
        assert self._evidence is not None
        return self._evidence

    @property
    def expected(self) -> Expected:
        assert self._expected is not None
        return self._expected

    def unfit(self) -> str:
        """Why this case cannot be judged here; empty if it can."""
        import torch

        if not self.case.replayable:
            return "an argument is an object of the engine's own, which a capture does not hold"
        if self.case.surroundings:
            return "it reads the engine's cache and batch, which a capture does not hold; judge it with fk-overlay run"
        on_gpu = self.device.startswith("cuda")
        if on_gpu and not torch.cuda.is_available():
            return f"it was captured on {self.device}, and there is no GPU here"
        if self.design.mode == "graph" and not on_gpu:
            return "CUDA graphs need a case that was captured on a GPU"
        if self._tolerance() is None:
            return f"the task has no tolerance for {self.dtype}"
        return self._oracle_refuses()

    def _oracle_refuses(self) -> str:
        try:
            self._expected = Expected(self.task, self.case, 0, self.device)
            began = time.perf_counter()
            self.expected.of(Ticket(1))
            self.facts["oracle_s"] = time.perf_counter() - began
        except (ValueError, FileError) as error:
            return f"the oracle cannot judge it: {error}"
        return ""

    def _tolerance(self) -> Tolerance | None:
        return self.task.tolerance.get(self.dtype)

    # ------------------------------------------------------------------------------------------------ the calls

    def run(self) -> None:
        tolerance = self._tolerance()
        assert tolerance is not None
        self._evidence = Evidence(self.expected, tolerance)
        per_sitting = -(-self.design.rounds // self.design.processes)
        done = 0
        while done < self.design.rounds and not self.evidence.hopeless:
            rounds = min(per_sitting, self.design.rounds - done)
            with ExitStack() as stack:
                self._sitting(stack, rounds)
            done += rounds

    def _sitting(self, stack: ExitStack, rounds: int) -> None:
        """A pair of fresh processes, warmed up, for some of the rounds."""
        arms = {name: self._started(stack, name) for name in ARMS}
        before, placed = self._asked(arms, "open"), self._asked(arms, "place")
        self.facts["clock"] = str(placed[BASELINE].get("clock", ""))
        for arm in arms.values():
            arm.expect_arguments(self.expected.of(Ticket(1)).made.tensors)
        kept = [self._pair(arms, first=number == 0) for number in range(self.design.warm_up)]
        self._recheck(kept, rounds_left=1.0)
        for _ in range(rounds):
            if self.evidence.hopeless:
                break
            pairs = [self._pair(arms) for _ in range(self.design.iterations)]
            self.evidence.round([pair for _, pair in pairs])
            for rejection in timed_events([pair for _, pair in pairs]):
                self.evidence.rejections.append(rejection)
            if self.expected.inputs.rows and self.design.mode != "graph":
                pairs.append(self._pair(arms, rows=self._random.randrange(1, self.expected.inputs.rows)))
            self._recheck(pairs, rounds_left=1.0)
        outside = {name: arm.outside() for name, arm in arms.items()}
        ended = self._asked(arms, "finish")
        self.evidence.rejections += after(before, placed, ended, outside)
        self._ran.append(arms[CANDIDATE].ran(self.case.target))

    def _started(self, stack: ExitStack, name: str) -> ArmProcess:
        self._arm = name
        inputs = self.expected.inputs
        results = sum(part.nbytes for part in self.expected.of(Ticket(1)).results)
        arm = self.bench.arm(
            name,
            self.case,
            self.task,
            self.pack if name == CANDIDATE else None,
            snapshot=0,
            device=self.device,
            dtype=self.dtype,
            mode=self.design.mode,
            first_seed=secrets.randbelow(SEEDS),
            memory_bytes=0 if self.device.startswith("cuda") else self.design.memory_bytes,
            outbox_bytes=4 * (inputs.nbytes + results) + ROOM,
        )
        stack.callback(arm.stop)
        with self._blaming(arm):
            arm.start(self.design.start_s)
        return arm

    def _asked(self, arms: Mapping[str, ArmProcess], do: str) -> dict[str, Mapping[str, Any]]:
        """Both arms do it at once."""
        answers: dict[str, Mapping[str, Any]] = {}
        for arm in arms.values():
            with self._blaming(arm):
                arm.tell(do)
        for arm in arms.values():
            with self._blaming(arm):
                answers[arm.name] = arm.hear(self.design.start_s)[0]
        return answers

    @contextmanager
    def _blaming(self, arm: ArmProcess) -> Iterator[None]:
        self._arm = arm.name
        try:
            yield
        except ArmFailed as failure:
            raise arm.died(failure) from failure

    def _pair(self, arms: Mapping[str, ArmProcess], rows: int = 0, *, first: bool = False) -> tuple[Ticket, Pair]:
        """One call in each arm, in random order, from the same ticket, which is drawn now."""
        ticket = self._ticket(rows)
        small = self.expected.inputs.nbytes <= ARGUMENTS_BYTES or bool(self.task.mutates)
        arguments = small or self._random.random() < ARGUMENTS_SHARE
        timeout = self.design.start_s if first or rows else self.design.call_s
        frozen = {}
        for name in self._random.sample(ARMS, len(ARMS)):
            with self._blaming(arms[name]):
                frozen[name] = arms[name].call(ticket, timeout, arguments=arguments)
        self.evidence.look(frozen)
        return ticket, frozen

    def _ticket(self, rows: int) -> Ticket:
        poison = None if self._random.random() < 0.5 else round(self._random.uniform(-2, 2), 3)
        chance = self._random.random()
        last = self._last
        if last is not None and not rows and chance < TWISTS:
            ticket = replace(last, twist=1 + self._random.randrange(SEEDS), reuse=False, poison=poison)
        else:
            reuse = last is not None and not rows and not last.rows and chance < TWISTS + REUSES
            ticket = Ticket(self._random.randrange(SEEDS), rows=rows, reuse=reuse, poison=poison)
        self._last = ticket
        return ticket

    _last: Ticket | None = None

    def _recheck(self, pairs: list[tuple[Ticket, Pair]], rounds_left: float) -> None:
        """Hold results against the oracle: all if there is time, else a random share. Which ones is drawn now, when
        nobody can change them any more."""
        calls = self.design.rounds * (self.design.iterations + 1) + self.design.processes * self.design.warm_up
        share = max(self.design.recheck_least, min(1.0, self.design.recheck_s / (calls * self.facts["oracle_s"])))
        for ticket, pair in pairs:
            if ticket.rows or self._random.random() < share:
                self.evidence.check(ticket, pair)

    # ------------------------------------------------------------------------------------------------ the verdict

    def failed(self, failure: ArmFailed) -> CaseVerdict:
        """An arm died, hung, refused or lied."""
        reason = f"{self._arm}: {failure}"
        if self._evidence is not None and self.evidence.rejections and failure.state != "invalid":
            return self._rejected(self.evidence.rejections, (reason,))
        if self._arm == BASELINE and failure.state != "skipped":
            return self.verdict("uncalibrated", reasons=(f"the baseline itself does not run: {failure}",))
        state: guards.State = "invalid" if failure.guard else _STATES.get(failure.state, "crashed")
        return self.verdict(state, failure.guard, (reason,))

    def judged(self) -> CaseVerdict:
        evidence = self.evidence
        if evidence.undecided > UNDECIDED * max(1, evidence.checked):
            doubt = f"the baseline itself disagrees with the oracle in {evidence.undecided} of {evidence.checked} calls"
            return self.verdict("uncalibrated", reasons=(f"{doubt}: {evidence.doubt}",))
        rejections = [*evidence.rejections, *self._engagement(), *self._late()]
        refused = self._refused()
        if refused and not any(rejection.guard == "g.integrity" for rejection in rejections):
            return self.verdict("unsupported", reasons=(refused,))
        if not evidence.hopeless:
            rejections += filter(None, [envelope(evidence.errors[CANDIDATE], evidence.errors[BASELINE])])
        found = self._interval()
        if found is not None and merit_of(found, self.design.minimum_effect) == "improved":
            rejections += filter(None, [self._unseen()])
        if rejections:
            return self._rejected(rejections)
        assert found is not None
        merit = merit_of(found, self.design.minimum_effect)
        return self.verdict("passed", reasons=tuple(self._notes(found)), merit=merit)

    def _rejected(self, rejections: list[Rejection], more: tuple[str, ...] = ()) -> CaseVerdict:
        deciding = guards.first(rejections)
        assert deciding is not None
        others = [f"{each.guard}: {each.reason}" for each in rejections if each is not deciding]
        return self.verdict(deciding.state, deciding.guard, (deciding.reason, *others, *more))

    def _refused(self) -> str:
        ran, refused, _ = self._counts()
        return f"supports() refused all {refused} calls" if refused and not ran else ""

    def _counts(self) -> tuple[int, int, int]:
        ran, refused, entered = (sum(each) for each in zip(*self._ran, strict=True)) if self._ran else (0, 0, 0)
        return ran, refused, entered

    def _engagement(self) -> Iterator[Rejection]:
        if self.pack is None:
            return
        ran, refused, entered = self._counts()
        if not ran and not refused:
            yield Rejection("g.engage", "the candidate was never entered")
        elif entered > refused:
            yield Rejection("g.engage", f"it called what it replaces {entered - refused} times in {ran} calls")
        elif ran and refused:
            yield Rejection("g.engage", f"supports() refused {refused} of {ran + refused} calls of one case")

    def _late(self) -> Iterator[Rejection]:
        late = {name: times.late for name, times in self.evidence.times.items()}
        if all(late.values()):
            middle = {name: sorted(each)[len(each) // 2] for name, each in late.items()}
            found = claims.left_behind(middle[CANDIDATE], middle[BASELINE])
            if found is not None:
                yield found

    def _unseen(self) -> Rejection | None:
        mine, theirs = self.evidence.times[CANDIDATE], self.evidence.times[BASELINE]
        saved = [before - now for before, now in zip(theirs.claimed, mine.claimed, strict=True)]
        seen = [before - now for before, now in zip(theirs.walls, mine.walls, strict=True)]
        return claims.unseen_saving(saved, seen)

    def _interval(self) -> Interval | None:
        import math

        mine, theirs = (self.evidence.times[name].claimed for name in (CANDIDATE, BASELINE))
        pairs = zip(mine, theirs, strict=True)
        logs = [math.log(before / now) for now, before in pairs if now > 0 and before > 0]
        return interval(logs) if logs else None

    def _notes(self, found: Interval) -> Iterator[str]:
        if found.ratio >= self.design.suspicious:
            yield f"{found.ratio:.0f} times as fast: look at what the baseline wastes before this is believed"
        if self.evidence.undecided:
            yield f"{self.evidence.undecided} calls that the baseline got wrong are left out: {self.evidence.doubt}"

    def verdict(
        self, state: guards.State, guard: str = "", reasons: tuple[str, ...] = (), merit: Any = None
    ) -> CaseVerdict:
        import statistics

        evidence = self._evidence
        found = self._interval() if evidence is not None else None
        medians = {
            name: statistics.median(times.claimed) if times.claimed else None
            for name, times in (evidence.times.items() if evidence else ())
        }
        cost = self.expected.cost() if self._expected is not None else None
        return CaseVerdict(
            task=self.task.name,
            case=self.case.id,
            target=self.case.target,
            state=state,
            guard=guard,
            reasons=reasons,
            merit=merit,
            ratio=found.ratio if found else None,
            low=found.low if found else None,
            high=found.high if found else None,
            rounds=found.pairs if found else 0,
            baseline_s=medians.get(BASELINE),
            candidate_s=medians.get(CANDIDATE),
            calls=evidence.calls if evidence else 0,
            undecided=evidence.undecided if evidence else 0,
            mode=self.design.mode,
            clock=str(self.facts.get("clock", "")),
            device=self.device,
            cost=cost,
            captured_s=self.case.weight,
            facts=self.facts,
        )


_STATES: Mapping[str, guards.State] = {
    "crashed": "crashed",
    "hung": "hung",
    "out_of_memory": "out_of_memory",
    "skipped": "skipped",
    "refused": "crashed",
}
