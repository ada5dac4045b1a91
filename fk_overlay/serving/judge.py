"""A whole run: baseline against one or more candidates in a real engine, from nothing to verdicts on disk."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from fk_overlay import catalog, environment, packs
from fk_overlay.contract.check import verify
from fk_overlay.core import BASELINE, CONTROL, Arm, Design, Mode, Pack, Request, Scenario, Task, Verdict
from fk_overlay.engines.base import Engine
from fk_overlay.engines.checkpoints import resolve, vocab_size
from fk_overlay.engines.gpus import names
from fk_overlay.errors import OverlayError, RecordError, UsageError
from fk_overlay.lineage.record import Recorder, read
from fk_overlay.plan import Plan, make
from fk_overlay.scoring.verdict import judge as judge_records
from fk_overlay.serving.design import Slot, slots
from fk_overlay.serving.engagement import needs_witness
from fk_overlay.serving.launch import Bench, Shared, perform
from fk_overlay.serving.machine import machine
from fk_overlay.serving.past import Past, past
from fk_overlay.serving.workload import make_requests

Tell = Callable[[str, int, int], None]
"""``tell(what, done, total)`` is called before every launch."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for."""

    engine: Engine
    scenario: Scenario
    arms: tuple[Arm, ...]
    mode: Mode = "decide"
    design: Design = field(default_factory=lambda: Design.of("decide"))


def candidates(where: Sequence[str | Path], engine: Engine, *, control: bool = False) -> tuple[Arm, ...]:
    """The baseline, the control arm if wanted, and one arm for each pack.

    Raises:
        PackError: a pack may not be trusted or does not run here.
    """
    arms = [Arm(BASELINE), *([Arm(CONTROL)] if control else [])]
    machine = packs.Machine(engine.name, engine.version(), names())
    for place in where:
        pack = packs.trusted(catalog.pack(place))
        packs.require(pack, machine)
        if any(arm.name == pack.name for arm in arms):
            raise UsageError(f"two packs are called {pack.name!r}; give each arm a name of its own")
        arms.append(Arm(pack.name, (pack,)))
    return tuple(arms)


def run(order: Order, folder: Path, tell: Tell) -> list[Verdict]:
    """Make the run, or go on with the one that ``folder`` holds, and judge it.

    Raises:
        ContractError: a target in the installed engine is not what its task describes.
        RecordError: ``folder`` holds the record of another run.
        KeyboardInterrupt: after the running engine was stopped and the interruption was noted.
    """
    with opened(order, folder) as (bench, before):
        if before.moved_to:
            bench, before = _begun_anew(order, bench, before)
        try:
            _launches(order, bench, before.records, tell)
        except KeyboardInterrupt:
            bench.recorder.add("note", text="interrupted; go on with --resume")
            raise
        _unedited(order, folder)
        verdicts = judge_records(list(read(folder)), order.scenario)
        bench.recorder.add_all([{"kind": "verdict", **asdict(verdict), "state": verdict.state} for verdict in verdicts])
    return verdicts


@contextmanager
def opened(order: Order, folder: Path) -> Iterator[tuple[Bench, Past]]:
    """The run in ``folder``, begun or gone on with: what its launches have in common, and what was made so far.

    Raises:
        ContractError, RecordError: as :func:`run`.
    """
    version = order.engine.version()
    tasks = catalog.tasks()
    for arm in order.arms:
        checked_plan(arm, order.engine, tasks)
    header = _header(order, version, folder)
    before = past(folder, header)
    with Recorder(folder) as recorder:
        if not before.records:
            recorder.add("run", **header)
        yield _bench(order, version, tasks, folder, recorder, before.records), before


def _begun_anew(order: Order, bench: Bench, before: Past) -> tuple[Bench, Past]:
    """A pair is made on one machine: the launches of a restart that was begun on another one are made again."""
    aside = before.unfinished([arm.name for arm in order.arms])
    text = "went on on another machine" + (f"; made again: {', '.join(aside)}" if aside else "")
    bench.recorder.add("note", text=text, host=before.moved_to, sets_aside=aside)
    before = before.without(aside)
    return replace(bench, shared=_shared(order.scenario, before.records)), before


def _launches(order: Order, bench: Bench, done: Iterable[Mapping[str, Any]], tell: Tell) -> None:
    """Every launch that is not on record yet. An arm that fails once is not launched again; without a baseline or
    without a candidate left there is nothing to compare."""
    closed = {record["launch"]: record for record in done if record["kind"] == "launch"}
    failed = {record["arm"] for record in closed.values() if record["state"] != "ok"}
    planned = list(slots(order.arms, order.design))
    for slot in planned:
        alive = {arm.name for arm in order.arms} - failed
        if BASELINE not in alive or len(alive) < 2:
            return
        if slot.arm.name in failed:
            continue
        problem: OverlayError | None = None
        if slot.name not in closed:
            tell(f"{slot.arm.name}, restart {slot.restart + 1} of {order.design.restarts}", slot.order, len(planned))
            problem = perform(bench, slot)
        if problem is None:  # also where the run was interrupted between a launch and its witness
            problem = witness(bench, slot, closed, len(planned), tell)
        if problem is not None:
            failed.add(slot.arm.name)


def witness(bench: Bench, slot: Slot, closed: Mapping[str, Any], total: int, tell: Tell) -> OverlayError | None:
    """Where counting in Python cannot show that the patch ran (compiled graphs, CUDA graphs), one launch per arm counts
    on the device."""
    counting = Slot(slot.order, slot.restart, slot.arm, "witness")
    if slot.restart > 0 or not slot.arm.packs or counting.name in closed:
        return None
    receipts = [
        record for record in read(bench.folder) if record["kind"] == "receipt" and record["launch"] == slot.name
    ]
    if not needs_witness(receipts):
        return None
    tell(f"{slot.arm.name}, counting on the device", slot.order, total)
    return perform(bench, counting)


def _bench(
    order: Order,
    version: str,
    tasks: Mapping[str, Task],
    folder: Path,
    recorder: Recorder,
    done: Iterable[Mapping[str, Any]],
) -> Bench:
    scenario = order.scenario
    model = resolve(scenario.model.source, environment.home() / "models", scenario.folder)
    vocabulary = vocab_size(model)
    requests = {
        workload.name: make_requests(workload, vocab_size=vocabulary, seed=scenario.seed + index)
        for index, workload in enumerate(scenario.workloads)
    }
    return Bench(
        engine=order.engine,
        version=version,
        scenario=scenario,
        model=model,
        tasks=tasks,
        folder=folder.absolute(),
        cache=environment.home() / "caches" / f"{order.engine.name}-{version}",
        passes=order.design.passes,
        requests=requests,
        warm_up=warm_up(scenario, vocabulary),
        recorder=recorder,
        shared=_shared(scenario, done),
    )


WARM_UP_TOKENS = 16


def warm_up(scenario: Scenario, vocabulary: int) -> list[list[Request]]:
    """What runs before the clock does: one short request for each that is in flight at once, for all that an engine
    does lazily, then the scenario's warm-up passes. The prompts are not those of any pass, so that no prefix cache
    knows them."""
    headline = scenario.headline_workload
    short = replace(headline, requests=headline.concurrency, output_len=min(WARM_UP_TOKENS, headline.output_len))
    rounds = [short, *[headline] * scenario.warm_up_passes]
    first = scenario.seed + len(scenario.workloads)
    return [make_requests(each, vocab_size=vocabulary, seed=first + index) for index, each in enumerate(rounds)]


def _shared(scenario: Scenario, done: Iterable[Mapping[str, Any]]) -> Shared:
    """The reference tokens and the saturation of an earlier part of this run."""
    shared = Shared()
    records = list(done)
    for record in records:
        if record["kind"] == "saturation":
            shared.saturation = record["requests_per_s"]
            shared.reference = {
                each["request"]: tuple(each["tokens"])
                for each in records
                if each["kind"] == "request"
                and (each["launch"], each["pass"], each["workload"])
                == (record["launch"], 0, scenario.headline_workload.name)
            }
    return shared


def checked_plan(arm: Arm, engine: Engine, tasks: Mapping[str, Task]) -> Plan:
    """The plan for an arm in the installed engine. Raises ContractError if a target is not what its task describes."""
    plan = make(arm, tasks, engine.name, engine.version(), purpose="timed", receipts=None)
    for swap in plan.swaps:
        verify(swap.expected, engine.source_root(), strict_body=True)
    return plan


def _header(order: Order, version: str, folder: Path) -> dict[str, Any]:
    header = {
        "run_id": folder.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "engine": order.engine.name,
        "engine_version": version,
        "mode": order.mode,
        "design": asdict(order.design),
        "scenario": {key: value for key, value in asdict(order.scenario).items() if key != "folder"},
        "arms": [described(arm, order.engine) for arm in order.arms],
        "tasks": task_digests(order),
        "environment": machine(),
        "command": ["fk-overlay", *sys.argv[1:]],
    }
    plain: dict[str, Any] = json.loads(json.dumps(header, default=str))
    return plain


def described(arm: Arm, engine: Engine) -> dict[str, Any]:
    """An arm as a run's record has it."""
    return {"name": arm.name, "digest": arm.digest, "packs": [_described(pack, engine) for pack in arm.packs]}


def task_digests(order: Order) -> dict[str, str]:
    """Digest of the folder (contract, oracle, tolerances) of every task that an arm patches."""
    known = catalog.tasks()
    names = {patch.task for arm in order.arms for pack in arm.packs for patch in pack.patches}
    return {name: packs.digest(known[name].folder) for name in sorted(names & known.keys())}


def _unedited(order: Order, folder: Path) -> None:
    """Raises :class:`RecordError` if a task is not what it was when the run began."""
    began, now = next(read(folder))["tasks"], task_digests(order)
    if changed := sorted(name for name in began.keys() | now.keys() if began.get(name) != now.get(name)):
        raise RecordError(f"{', '.join(changed)} changed while {folder} was running; start a new run")


def _described(pack: Pack, engine: Engine) -> dict[str, Any]:
    patches = [{"task": patch.task} for patch in pack.patches if patch.meant_for(engine.name)]
    return {"name": pack.name, "digest": pack.digest, "patches": patches}


def new_folder(parent: Path, scenario: Scenario, arms: Sequence[Arm]) -> Path:
    """A name for a new run: when, what, and two bytes of chance."""
    what = "+".join(arm.name for arm in arms[1:])
    return parent / f"{time.strftime('%Y%m%d-%H%M%S')}-{scenario.name}-{what}-{secrets.token_hex(2)}"
