"""One launch: start an engine with an arm in it, wait for its receipts, run the passes, force the decode, stop it.

Everything is recorded as it happens. The ``launch`` record closes a launch; what a launch without one has left in the
record was interrupted and counts for nothing.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from fk_overlay.core import BASELINE, Request, Scenario, Task, Workload
from fk_overlay.engines.base import Engine, Launch, PassResult, Session
from fk_overlay.engines.cpus import since, withheld
from fk_overlay.engines.gpus import gpus
from fk_overlay.errors import LaunchError, OverlayError
from fk_overlay.lineage.record import Recorder
from fk_overlay.overlay import last_look
from fk_overlay.overlay.receipts import collect
from fk_overlay.plan import Plan, make
from fk_overlay.serving.design import Slot
from fk_overlay.serving.engagement import eager_calls, gate
from fk_overlay.serving.forced import forced_records, forced_requests
from fk_overlay.serving.metrics import samples
from fk_overlay.serving.workload import poisson_arrivals

VARIANTS: Mapping[str, float] = {"same": 1.0, "half": 0.5}
"""Forced decodes of a baseline launch: at the headline's concurrency, and at a share of it, for the envelope."""


@dataclass(slots=True)
class Shared:
    """What one launch leaves for the next: the baseline's tokens, and its saturated request rate per second."""

    reference: dict[int, tuple[int, ...]] = field(default_factory=dict)
    saturation: float | None = None


@dataclass(frozen=True, slots=True)
class Bench:
    """What all launches of a run have in common."""

    engine: Engine
    version: str
    scenario: Scenario
    model: Path
    tasks: Mapping[str, Task]
    folder: Path
    cache: Path
    passes: int
    requests: Mapping[str, Sequence[Request]]
    warm_up: Sequence[Sequence[Request]]
    recorder: Recorder
    shared: Shared


def perform(bench: Bench, slot: Slot) -> OverlayError | None:
    """Make one launch and record it. Returns what went wrong, if anything did."""
    launch, plan = _prepared(bench, slot)
    facts: dict[str, Any] = {"state": "ok", "reason": None}
    problem: OverlayError | None = None
    session: Session | None = None
    try:
        session = bench.engine.start(launch)
        started = time.monotonic()
        session.wait_ready(bench.scenario.limits.start_s)
        facts["load_s"] = time.monotonic() - started
        told = session.facts()
        facts["kv_blocks"] = told.kv_blocks
        facts["config"] = gate(plan, launch.receipts, told.ranks)
        _warm_up(bench, session)
        before = eager_calls(launch.receipts)
        facts["clocks"] = [gpus()]
        before_s, started = withheld(), time.monotonic()
        _measure(bench, slot, session)
        facts["withheld"] = {"of": time.monotonic() - started, **since(before_s)}
        facts["clocks"].append(gpus())
        last_look.ask(launch.receipts)
    except OverlayError as error:
        problem = error
        facts.update(
            state=getattr(error, "state", "refused"),
            reason=f"{type(error).__name__}: {error}",
            log_tail=getattr(error, "log", ""),
        )
        before = {}
    finally:
        if session is not None:
            facts["peak_rss_bytes"] = session.peak_bytes
            session.stop()
    bench.recorder.add_all(_receipts(launch, slot, before))
    bench.recorder.add(
        "launch",
        launch=slot.name,
        arm=slot.arm.name,
        restart=slot.restart,
        order=slot.order,
        purpose=slot.purpose,
        log=str(launch.log.relative_to(bench.folder)),
        **facts,
    )
    return problem


def _prepared(bench: Bench, slot: Slot) -> tuple[Launch, Plan]:
    """The launch's folder with its plan. What an interrupted try left there is moved aside, not mixed in."""
    folder = bench.folder / "launches" / slot.name
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}.interrupted-{time.time_ns()}"))
    (folder / "receipts").mkdir(parents=True)
    witness = slot.purpose == "witness"
    plan = make(
        slot.arm, bench.tasks, bench.engine.name, bench.version, purpose=slot.purpose, receipts=folder / "receipts"
    )
    launch = Launch(
        name=slot.name,
        scenario=bench.scenario,
        model=bench.model,
        folder=folder,
        plan=plan.write(folder / "plan.json"),
        cache=bench.cache,
        digest=slot.arm.digest + ("-witness" if witness else ""),
    )
    return launch, plan


def _warm_up(bench: Bench, session: Session) -> None:
    for requests in bench.warm_up:
        session.run(requests, bench.scenario.headline_workload, arrivals=None, timeout_s=bench.scenario.limits.pass_s)


def _measure(bench: Bench, slot: Slot, session: Session) -> None:
    headline = bench.scenario.headline_workload
    if slot.purpose == "witness":
        _run(bench, session, headline)
        return
    for number in range(bench.passes):
        for workload in sorted(bench.scenario.workloads, key=lambda each: (each.loop == "open", each != headline)):
            result = _run(bench, session, workload)
            _record_pass(bench, slot, number, workload, result)
    _force(bench, slot, session, headline)


def _run(bench: Bench, session: Session, workload: Workload) -> PassResult:
    requests, arrivals = bench.requests[workload.name], None
    if workload.loop == "open":
        assert bench.shared.saturation is not None, (
            "the first launch of a run is a baseline, whose headline comes first"
        )
        arrivals = poisson_arrivals(len(requests), workload.load * bench.shared.saturation, bench.scenario.seed)
    return session.run(requests, workload, arrivals=arrivals, timeout_s=bench.scenario.limits.pass_s)


def _record_pass(bench: Bench, slot: Slot, number: int, workload: Workload, result: PassResult) -> None:
    where = {
        "launch": slot.name,
        "arm": slot.arm.name,
        "restart": slot.restart,
        "pass": number,
        "workload": workload.name,
    }
    measured = samples(result, bench.scenario.slo)
    bench.recorder.add_all([{"kind": "sample", **where, **asdict(sample)} for sample in measured])
    bench.recorder.add_all([{"kind": "request", **where, **_request(trace)} for trace in result.traces])
    if workload == bench.scenario.headline_workload and slot.arm.name == BASELINE and bench.shared.saturation is None:
        _keep_reference(bench, slot, result)


def _keep_reference(bench: Bench, slot: Slot, result: PassResult) -> None:
    """The first pass of the baseline fixes what later launches are measured with.

    Raises:
        LaunchError: a request of it failed; there is nothing to compare with.
    """
    failed = [trace for trace in result.traces if trace.error is not None or not trace.tokens]
    if failed:
        raise LaunchError(f"the baseline failed {len(failed)} of {len(result.traces)} requests: {failed[0].error}")
    bench.shared.saturation = len(result.traces) / result.wall_s
    bench.shared.reference = {trace.index: trace.tokens for trace in result.traces}
    bench.recorder.add("saturation", requests_per_s=bench.shared.saturation, launch=slot.name)


def _request(trace: Any) -> dict[str, Any]:
    arrivals = trace.arrivals
    return {
        "request": trace.index,
        "ttft_s": arrivals[0] - trace.sent if arrivals else None,
        "latency_s": arrivals[-1] - trace.sent if arrivals else None,
        "itl_s": [round(late - early, 6) for early, late in pairwise(arrivals) if late > early],
        "tokens": list(trace.tokens),
        "error": trace.error,
    }


def _force(bench: Bench, slot: Slot, session: Session, headline: Workload) -> None:
    """The baseline's tokens through this launch's decode path; a baseline also does it in another batch composition."""
    wanted = bench.scenario.correctness
    requests = forced_requests(bench.requests[headline.name], bench.shared.reference, wanted.requests, wanted.logprobs)
    for variant, share in VARIANTS.items() if slot.arm.name == BASELINE else [("same", 1.0)]:
        workload = replace(headline, concurrency=max(1, int(headline.concurrency * share)))
        result = session.run(requests, workload, arrivals=None, timeout_s=bench.scenario.limits.pass_s)
        where = {"launch": slot.name, "arm": slot.arm.name, "restart": slot.restart, "variant": variant}
        bench.recorder.add_all([{"kind": "forced", **where, **record} for record in forced_records(requests, result)])


def _receipts(launch: Launch, slot: Slot, before: Mapping[tuple[int, str], int]) -> list[dict[str, Any]]:
    records = []
    for receipt in collect(launch.receipts):
        in_passes = receipt.get("calls_eager", 0) - before.get((receipt["pid"], receipt.get("target", "")), 0)
        receipt["calls_in_passes"] = in_passes if before else 0
        where = {"launch": slot.name, "arm": slot.arm.name, "purpose": slot.purpose}
        records.append({"kind": "receipt", **where, **receipt})
    return records
