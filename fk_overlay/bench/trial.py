"""The calls of one case: both arms in fresh processes, every call from inputs that are drawn when it is due."""

from __future__ import annotations

import math
import random
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from statistics import median
from typing import Any

from fk_overlay.bench.arm import ArmProcess, Ran
from fk_overlay.bench.bench import Bench
from fk_overlay.bench.design import Design
from fk_overlay.bench.evidence import CANDIDATE, Evidence, Pair
from fk_overlay.bench.expected import Expected
from fk_overlay.bench.inputs import Ticket
from fk_overlay.capture import store
from fk_overlay.core import BASELINE, Pack, Task
from fk_overlay.errors import ArmFailed, FileError
from fk_overlay.integrity.changes import after, timed_events

ARMS = (BASELINE, CANDIDATE)
SEEDS = 1 << 62
TWISTS, REUSES = 0.1, 0.25
"""Shares of the calls that get a near-duplicate of the last inputs, and that get theirs in the last call's memory."""
ARGUMENTS_BYTES, ARGUMENTS_SHARE = 1 << 18, 0.1
"""Arguments are asked back after every call up to so many bytes, else after this share of the calls."""
ROOM = 1 << 20
COLD_S = 0.1
"""An oracle's first call that took less says little about the next ones."""
MOST_BYTES, FEWEST = 1 << 29, 3
"""Results of a round are kept until it is over, and all travel: calls that return much are made less often, but at
least so often."""
MOST_WEIGHTS = 16 << 30
"""Bytes. A layer of the largest dense models has 7 GB in float64; a whole model has many layers."""


Answers = Mapping[str, Mapping[str, Any]]
"""What each arm said to one question."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A pair of processes that is ready to be called.

    Attributes:
        before: what they said before the candidate was there; placed: and once it was.
    """

    arms: Mapping[str, ArmProcess]
    before: Answers
    placed: Answers


@dataclass(slots=True)
class Trial:
    """A case while it is being judged.

    Attributes:
        arm: the one that was asked last, and so the one that failed.
        ran: of every pair of processes.
    """

    bench: Bench
    case: store.Case
    task: Task
    pack: Pack | None
    design: Design
    facts: dict[str, Any] = field(default_factory=dict)
    evidence: Evidence | None = None
    arm: str = BASELINE
    ran: list[Ran] = field(default_factory=list)
    _hot: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in ARMS})
    _kept: list[Expected] = field(default_factory=list)
    _snapshot: int = 0
    _last: Ticket | None = None
    _past: int = 0
    _spent_s: float = 0.0
    _varied: Ran = field(default_factory=Ran)
    _random: random.Random = field(default_factory=random.SystemRandom)

    @property
    def device(self) -> str:
        named = (part.device for each in (*self.case.signature, *self.case.results) for _, part in each.walk())
        found = next((device for device in named if device), "cpu")
        return "cuda:0" if found.startswith("cuda") else found

    @property
    def dtype(self) -> str:
        """Of the first floating point tensor among arguments, results and weights; it decides the tolerance."""
        parts = [part for each in (*self.case.signature, *self.case.results) for _, part in each.walk()]
        weights = [tensor for module in self.case.modules.values() for tensor in module.tensors]
        return next((part.dtype for part in (*parts, *weights) if "float" in part.dtype), "float32")

    @property
    def weights_bytes(self) -> int:
        """Of the recorded weights in the oracle's float64."""
        return 8 * sum(math.prod(tensor.shape) for module in self.case.modules.values() for tensor in module.tensors)

    def unfit(self) -> str:
        """Why this case cannot be judged here; empty if it can."""
        import torch

        on_gpu = self.device.startswith("cuda")
        reasons = {
            "an argument is an object of the engine's own, which a capture does not hold": bool(
                self.case.foreign - {self.bench.workbench.batch}
            ),
            "it reads the engine's cache and batch, and its task does not say how; judge it with fk-overlay run": bool(
                self.case.surroundings and not self.task.paged
            ),
            "it reads the engine's cache, which is only bound to eager calls here; use --mode eager": (
                bool(self.task.paged) and self.design.mode != "eager"
            ),
            f"it was captured on {self.device}, which is not here": on_gpu and not torch.cuda.is_available(),
            "a CUDA graph needs a case that was captured on a GPU": self.design.mode == "graph" and not on_gpu,
            f"the task has no tolerance for {self.dtype}": self.dtype not in self.task.tolerance,
            f"its weights in float64 take more than {MOST_WEIGHTS >> 30} GiB; judge it with fk-overlay run": (
                self.weights_bytes > MOST_WEIGHTS
            ),
        }
        return next((reason for reason, holds in reasons.items() if holds), "") or self._oracle_refuses()

    @property
    def expected(self) -> Expected | None:
        """The oracle of the kept call whose turn it is: every pair of processes gets another one."""
        return self._kept[self._snapshot] if self._kept else None

    def few(self, calls: int) -> int:
        """So many calls of each arm, or fewer if they return much."""
        return min(calls, max(FEWEST, MOST_BYTES // max(1, len(ARMS) * self.results_bytes)))

    @property
    def calls(self) -> int:
        """Pairs of calls in all."""
        design = self.design
        return design.rounds * (self.few(design.iterations) + 1) + design.processes * (
            self.few(design.warm_up) + 1 + self.few(design.hot)
        )

    @property
    def results_bytes(self) -> int:
        """What one call returned and wrote when it was captured."""
        import torch

        written = [argument for argument in self.case.signature if argument.name in self.task.mutates]
        tensors = [part for each in (*self.case.results, *written) for _, part in each.walk() if part.dtype]
        return sum(math.prod(each.shape) * int(getattr(torch, each.dtype).itemsize) for each in tensors)

    @property
    def sittings(self) -> int:
        """Pairs of processes."""
        return max(1, min(self.design.processes, self.design.rounds))

    def _oracle_refuses(self) -> str:
        count = max(1, min(self.sittings, len(self.case.snapshots)))
        try:
            where = self.device, self.bench.workbench
            kept = [Expected(self.task, self.case, number, *where) for number in range(count)]
            self.facts["oracle_s"] = max(map(_warm_s, kept))
        except (ValueError, FileError) as error:
            return f"the oracle cannot judge it: {error}"
        except (AttributeError, LookupError, RuntimeError, TypeError) as error:
            return f"the oracle fails on it: {type(error).__name__}: {error}"
        self._kept = kept
        return ""

    def run(self) -> None:
        """Make all calls, or as many as it takes to find that nothing can save the case.

        Raises:
            ArmFailed: an arm died, hung or lied; :attr:`arm` says which.
        """
        self.evidence = Evidence(self._kept[0], self.task.tolerance[self.dtype])
        done = 0
        with ExitStack() as stack:
            began = time.perf_counter()
            pairs = self._opened(stack)
            self.facts["opening_s"] = round(time.perf_counter() - began, 2)
            for number, pair in enumerate(pairs):
                rounds = (self.design.rounds - done) // (self.sittings - number)
                done += rounds
                if not self.evidence.hopeless:
                    self._turn_to(number)
                    self._sitting(pair, rounds, self._kept[self._snapshot], self.evidence)
        self.facts["checking_s"] = round(self._spent_s, 2)

    def _turn_to(self, number: int) -> None:
        """To the kept call of this pair of processes."""
        self._snapshot, self._last = number % len(self._kept), None
        assert self.evidence is not None
        self.evidence.turn_to(self._kept[self._snapshot])

    def _opened(self, stack: ExitStack) -> list[Opened]:
        """Every pair of fresh processes, the candidate in its place: all at once, for an engine and a GPU take a second
        to open."""
        pairs = []
        for number in range(self.sittings):
            self._turn_to(number)
            names = self._random.sample(ARMS, len(ARMS))
            pairs.append({name: self._started(stack, name, self._kept[self._snapshot]) for name in names})
        for arms in pairs:
            for arm in arms.values():
                stack.callback(arm.dismiss)  # before the first is waited for
        before, placed = self._asked(pairs, "open"), self._asked(pairs, "place")
        return [Opened(*each) for each in zip(pairs, before, placed, strict=True)]

    def _sitting(self, opened: Opened, rounds: int, expected: Expected, evidence: Evidence) -> None:
        """A pair of processes, warmed up, for some of the rounds."""
        arms, placed = opened.arms, opened.placed
        self.facts["clock"] = str(placed[BASELINE].get("clock", ""))
        held = placed[BASELINE].get("weights", {})
        recorded = expected.weights.items()
        self.facts["repacked"] = sorted(name for name, content in recorded if held.get(name, content) != content)
        rows = expected.inputs.rows if self.design.mode != "graph" else 0
        evidence.sittings.append(len(evidence.times[CANDIDATE].claimed))
        self._past = self._random.randrange(SEEDS)
        warm = [self._pair(arms, first=number == 0) for number in range(self.few(self.design.warm_up))]
        if rows:
            warm.append(self._variation(arms, rows))
        self._recheck(warm)
        for _ in range(rounds):
            if evidence.hopeless:
                break
            self._past = self._random.randrange(SEEDS)
            pairs = [self._pair(arms) for _ in range(self.few(self.design.iterations))]
            evidence.round([pair for _, pair in pairs])
            evidence.rejections += timed_events([pair for _, pair in pairs])
            if rows:
                pairs.append(self._variation(arms, rows))
            self._recheck(pairs)
        self._hot_calls(arms)
        outside = {name: arm.outside() for name, arm in arms.items()}
        ended = self._asked([arms], "finish")[0]
        evidence.rejections += after(opened.before, placed, ended, outside)
        self.facts["peak_bytes"] = {name: said.get("peak_bytes") for name, said in ended.items()}
        self.ran.append(arms[CANDIDATE].ran(self.case.target).minus(self._varied))
        if refusals := arms[CANDIDATE].refusals(self.case.target):
            self.facts["refusals"] = refusals
        self._varied = Ran()

    def _hot_calls(self, arms: Mapping[str, ArmProcess]) -> None:
        assert self.evidence is not None
        if self.evidence.hopeless or not self.device.startswith("cuda"):
            return
        pairs = [self._pair(arms, hot=True) for _ in range(self.few(self.design.hot))]
        self._recheck(pairs)
        for name, seconds in self._hot.items():
            seconds += [pair[name].seconds for _, pair in pairs]
        self.facts["hot_s"] = {name: median(seconds) for name, seconds in self._hot.items() if seconds}

    def _started(self, stack: ExitStack, name: str, expected: Expected) -> ArmProcess:
        self.arm = name
        truth = expected.of(Ticket(1))
        on_cpu = not self.device.startswith("cuda")
        arm = self.bench.arm(
            name,
            self.case,
            self.task,
            self.pack if name == CANDIDATE else None,
            snapshot=self._snapshot,
            device=self.device,
            dtype=self.dtype,
            mode=self.design.mode,
            first_seed=secrets.randbelow(SEEDS),
            memory_bytes=self.design.memory_bytes if on_cpu else 0,
            outbox_bytes=4 * (expected.inputs.nbytes + max(self.results_bytes, truth.nbytes)) + ROOM,
        )
        stack.callback(arm.stop)
        arm.expect_arguments(truth.made.tensors)
        with self._blaming(arm):
            arm.start(self.design.start_s)
        return arm

    def _asked(self, pairs: Sequence[Mapping[str, ArmProcess]], do: str) -> list[Answers]:
        """All arms do it at once."""
        for arm in (arm for arms in pairs for arm in arms.values()):
            with self._blaming(arm):
                arm.tell(do)
        found: list[Answers] = []
        for arms in pairs:
            answers: dict[str, Mapping[str, Any]] = {}
            for name in ARMS:  # what the baseline cannot do either is not the candidate's fault
                with self._blaming(arms[name]):
                    answers[name] = arms[name].hear(self.design.start_s)[0]
            found.append(answers)
        return found

    @contextmanager
    def _blaming(self, arm: ArmProcess) -> Iterator[None]:
        self.arm = arm.name
        try:
            yield
        except ArmFailed as failure:
            raise arm.died(failure) from failure

    def _pair(
        self, arms: Mapping[str, ArmProcess], rows: int = 0, *, first: bool = False, hot: bool = False
    ) -> tuple[Ticket, Pair]:
        """One call in each arm, in random order, from the same ticket."""
        assert self.evidence is not None
        assert self.expected is not None
        ticket = self._ticket(rows)
        small = self.expected.inputs.nbytes <= ARGUMENTS_BYTES or bool(self.task.mutates)
        arguments = small or self._random.random() < ARGUMENTS_SHARE
        timeout = self.design.start_s if first or rows else self.design.call_s
        frozen = {}
        for name in self._random.sample(ARMS, len(ARMS)):
            with self._blaming(arms[name]):
                frozen[name] = arms[name].call(ticket, timeout, arguments=arguments, hot=hot)
        self.evidence.look(frozen)
        return ticket, frozen

    def _variation(self, arms: Mapping[str, ArmProcess], rows: int) -> tuple[Ticket, Pair]:
        """A call with fewer rows. ``supports`` may refuse it, so it is not counted among the case's own."""
        before = arms[CANDIDATE].ran(self.case.target)
        pair = self._pair(arms, rows=self._random.randrange(1, rows))
        self._varied = self._varied.plus(arms[CANDIDATE].ran(self.case.target).minus(before))
        return pair

    def _ticket(self, rows: int) -> Ticket:
        """Drawn when the call is due: nothing about it could be known before."""
        poison = None if self._random.random() < 0.5 else round(self._random.uniform(-2, 2), 3)
        chance, last = self._random.random(), self._last
        if last is not None and not rows and not last.rows and chance < TWISTS:
            twist = 1 + self._random.randrange(SEEDS)
            ticket = replace(last, twist=twist, reuse=False, poison=poison, past=self._past)
        else:
            reuse = last is not None and not rows and not last.rows and chance < TWISTS + REUSES
            ticket = Ticket(self._random.randrange(SEEDS), rows=rows, reuse=reuse, poison=poison, past=self._past)
        self._last = ticket
        return ticket

    def _recheck(self, pairs: list[tuple[Ticket, Pair]]) -> None:
        """Hold results against the oracle: all if there is time, else a random share. Which ones is drawn now, when
        nobody can change them any more."""
        assert self.evidence is not None
        calls = self.calls
        for ticket, pair in pairs:
            share = max(self.design.recheck_least, self.design.recheck_s / (calls * self._check_s))
            if ticket.rows or self._random.random() < share:
                began = time.perf_counter()
                self.evidence.check(ticket, pair)
                self._spent_s += time.perf_counter() - began

    @property
    def _check_s(self) -> float:
        """Seconds of one check, of those so far; what the oracle alone takes, before the first."""
        checked = self.evidence.checked if self.evidence is not None else 0
        return self._spent_s / checked if checked else float(self.facts["oracle_s"])


def _warm_s(expected: Expected) -> float:
    """Seconds that the oracle takes for a call, once it is warm."""
    first = _call_s(expected)
    return first if first >= COLD_S else min(first, _call_s(expected))


def _call_s(expected: Expected) -> float:
    began = time.perf_counter()
    for result in expected.of(Ticket(1)).results:
        result.sum().item()  # a GPU's work is done when something of it is here
    return time.perf_counter() - began
