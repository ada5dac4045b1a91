"""A fake engine in this process: the tokens follow from the prompts, the clock is virtual, receipts are written as real
processes write them, and every launch can be made to fail in a way of its own.

Its name, version and source are those of the toy engine (:mod:`overlay.toy_engine`), so that toy tasks and toy packs
can be planned for it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overlay.toy_engine import VERSION

from fk_overlay.core import Request, Workload
from fk_overlay.engines.base import Facts, Launch, PassResult, Trace
from fk_overlay.errors import LaunchError
from fk_overlay.overlay.counters import Counters, Slot
from fk_overlay.plan import Plan

TOKENS_PER_S = 1000.0
VOCABULARY = 200
CALLS = 10
"""Calls of every swapped place in one run of a load."""


@dataclass(frozen=True)
class Manner:
    """How one launch goes.

    Attributes:
        speed: output tokens per second, as a share of ``TOKENS_PER_S``.
        sd: noise of the log speed between launches.
        fault: ``start`` or ``ready`` (does not start), ``dies``, ``hangs`` or ``interrupt`` (in the ``at``-th run, the
            warm-up being the first), ``rank`` (the last one does not report), ``unloaded``, ``error`` (in the receipt),
            ``absent`` (no task in place), ``requests`` (the first one fails), ``wrong`` (other tokens come out on top).
        calls: what counts them: ``eager``, ``device`` (compiled, seen by a witness only), ``captured`` (into a graph
            that is never replayed), ``rank0`` (eager, on the first rank only) or ``never``.
        answers: what becomes of the traces of a run on their way out.
        pace: a factor on the speed of one run of these requests.
        says: what becomes of a worker's receipt.
        log: what the engine's log says.
    """

    speed: float = 1.0
    sd: float = 0.001
    fault: str = ""
    at: int = 1
    ranks: int = 1
    kv_blocks: int = 100
    calls: str = "eager"
    config: Mapping[str, Any] = field(default_factory=lambda: {"attention.backend": "toy"})
    log: str = ""
    answers: Callable[[FakeSession, Sequence[Request], list[Trace]], Sequence[Trace]] | None = None
    pace: Callable[[FakeSession, Sequence[Request]], float] | None = None
    says: Callable[[dict[str, Any]], dict[str, Any]] | None = None


@dataclass
class FakeEngine:
    """See :class:`fk_overlay.engines.base.Engine`. ``manners`` are by launch name or arm; the launch's own win. For a
    launch that has none, ``behave`` tells its manner from its plan."""

    root: Path
    manners: dict[str, Manner] = field(default_factory=dict)
    sessions: list[FakeSession] = field(default_factory=list)
    name: str = "toy"
    behave: Callable[[Plan], Manner] = lambda plan: Manner()

    def version(self) -> str:
        return VERSION

    def source_root(self) -> Path:
        return self.root

    def start(self, launch: Launch) -> FakeSession:
        plan = Plan.read(launch.plan)
        manner = self.manners.get(launch.name, self.manners.get(plan.arm) or self.behave(plan))
        launch.log.write_text(manner.log)
        if manner.fault == "start":
            raise LaunchError("importing toy failed", log="ImportError: no toy")
        session = FakeSession(launch, plan, manner)
        self.sessions.append(session)
        return session

    def serve_command(self, arguments: Sequence[str]) -> list[str]:
        return ["toy", "serve", *arguments]

    def names(self) -> list[str]:
        """Launches in the order in which they were made."""
        return [session.launch.name for session in self.sessions]


@dataclass
class FakeSession:
    """See :class:`fk_overlay.engines.base.Session`."""

    launch: Launch
    plan: Plan
    manner: Manner
    stops: int = 0
    runs: list[tuple[str, Sequence[Request], Sequence[float] | None, int]] = field(default_factory=list)
    """Workload, requests, arrivals and concurrency of every run."""
    counters: list[Counters] = field(default_factory=list)
    pids: Sequence[int] = ()
    peak_bytes: int = 1_000_000

    def wait_ready(self, timeout_s: float) -> None:
        if self.manner.fault == "ready":
            raise LaunchError("the engine ended with code 1", log="RuntimeError: out of order")
        self._write(4000, None, loaded=False)
        for rank in range(self.manner.ranks - (self.manner.fault == "rank")):
            self._write(4001 + rank, rank, loaded=self.manner.fault != "unloaded")

    def facts(self) -> Facts:
        return Facts(kv_blocks=self.manner.kv_blocks, ranks=self.manner.ranks)

    def run(
        self, requests: Sequence[Request], workload: Workload, *, arrivals: Sequence[float] | None, timeout_s: float
    ) -> PassResult:
        self.runs.append((workload.name, requests, arrivals, workload.concurrency))
        if len(self.runs) > self.manner.at:
            self._fail(timeout_s)
        self._call()
        output = sum(request.output_len for request in requests)
        noise = random.Random(f"{self.launch.name}/{len(self.runs)}").gauss(0, self.manner.sd)
        pace = self.manner.pace(self, requests) if self.manner.pace else 1.0
        wall_s = output / (TOKENS_PER_S * self.manner.speed * pace * (1 + noise))
        broken = self.manner.fault == "requests" and len(self.runs) == 2
        traces = [self._trace(each, wall_s, broken=broken) for each in requests]
        return PassResult(tuple(self.manner.answers(self, requests, traces) if self.manner.answers else traces), wall_s)

    def stop(self) -> None:
        self.stops += 1

    def _fail(self, timeout_s: float) -> None:
        if self.manner.fault == "interrupt":
            raise KeyboardInterrupt
        if self.manner.fault == "dies":
            raise LaunchError("the engine ended with code -9", log="Killed")
        if self.manner.fault == "hangs":
            raise LaunchError(f"the engine did not finish within {timeout_s:.0f} s", state="hung")

    def _call(self) -> None:
        """One run's calls: every place with a patch was called, where this launch counts calls."""
        for rank, counters in enumerate(self.counters):
            for row in range(self._places()):
                if self.manner.calls == "eager" or (self.manner.calls == "rank0" and rank == 0):
                    counters.add(row, Slot.EAGER, CALLS)
                if self.manner.calls == "captured":
                    counters.add(row, Slot.CAPTURED, CALLS)
                if self.manner.calls == "device" and self.plan.purpose == "witness":
                    counters.add(row, Slot.REPLAYS, CALLS)

    def _places(self) -> int:
        return sum(len(swap.target.places) for swap in self.plan.swaps)

    def _trace(self, request: Request, wall_s: float, *, broken: bool) -> Trace:
        if broken and request.index == 1:
            return Trace(request.index, 0.0, (), (), error="connection reset")
        tokens = request.forced or said(request)
        step = wall_s / len(tokens)
        arrivals = tuple(step * (number + 1) for number in range(len(tokens)))
        if not request.logprobs:
            return Trace(request.index, 0.0, arrivals, tokens)
        count, wrong = len(tokens), self.manner.fault == "wrong"
        top1 = tuple((token + wrong) % VOCABULARY for token in tokens)
        return Trace(request.index, 0.0, arrivals, tokens, (-0.5,) * count, (1 + wrong,) * count, top1, (2.0,) * count)

    def _write(self, pid: int, rank: int | None, *, loaded: bool) -> None:
        """A process's receipt, in the layout of :class:`fk_overlay.overlay.receipts.Receipt`."""
        worker = rank is not None
        counters = Counters(self.launch.receipts / f"{pid}.counters", self._places())
        if worker:
            self.counters.append(counters)
        said = {
            "engine": "toy",
            "version": VERSION,
            "pid": pid,
            "role": "worker" if worker else "main",
            "rank": rank,
            "world_size": self.manner.ranks if worker else None,
            "loaded": loaded,
            "errors": ["SeamError: it does not fit"] if worker and self.manner.fault == "error" else [],
            "config": dict(self.manner.config) if worker else {},
            "places": self._placed() if worker and self.manner.fault != "absent" else [],
        }
        if worker and self.manner.says:
            said = self.manner.says(said)
        (self.launch.receipts / f"{pid}.json").write_text(json.dumps(said))

    def _placed(self) -> list[dict[str, Any]]:
        places = [(swap, path) for swap in self.plan.swaps for path in swap.target.places]
        return [
            {
                "row": row,
                "task": swap.task,
                "target": path,
                "seam": swap.seam,
                "pack": swap.pack,
                "pack_digest": swap.pack_digest,
                "baseline_body": swap.expected[path].body,
                "aliases": [],
            }
            for row, (swap, path) in enumerate(places)
        ]


def said(request: Request) -> tuple[int, ...]:
    """What the fake answers to a prompt."""
    return tuple((sum(request.prompt) + step) % VOCABULARY for step in range(request.output_len))
