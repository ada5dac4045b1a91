"""A capture run: start the engine eager with recorders in it, send the scenario's load, collect what every rank saw."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fk_overlay import __version__, environment
from fk_overlay.capture import manifest, store
from fk_overlay.capture.engine_facts import facts, sizes
from fk_overlay.capture.recorder import RANKS, SIGNAL
from fk_overlay.capture.signal import Signal, State
from fk_overlay.contract.store import contract_for
from fk_overlay.core import BASELINE, Arm, Request, Scenario, Task
from fk_overlay.engines.base import Engine, Launch
from fk_overlay.engines.gpus import gpus
from fk_overlay.errors import LaunchError, NotEngaged, UsageError
from fk_overlay.overlay.receipts import processes
from fk_overlay.plan import Plan, Recording, watches

FLUSH_S = 300.0
"""How long ranks may take to write what they hold."""
Tell = Callable[[str], None]
Requests = Mapping[str, Sequence[Request]]


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for.

    Attributes:
        requests: by workload. ``quiet``: as many of the same lengths with other prompts, sent before them with the
            recorder paused, which tells what recording costs. ``warm_up``: sent before everything.
        sizes: also start the engine as the scenario is written, to learn the batch sizes of its CUDA graphs.
    """

    engine: Engine
    scenario: Scenario
    model: Path
    tasks: tuple[Task, ...]
    requests: Requests
    quiet: Requests
    warm_up: Sequence[Request]
    form: manifest.Form = "parquet"
    budget_bytes: int = 128 << 20
    samples: int = 2
    sizes: bool = True


def capture(order: Order, folder: Path, tell: Tell) -> store.Capture:
    """Make the run and write ``folder``.

    Raises:
        UsageError: the folder is not empty, no task has a target in this release, or Parquet cannot be written here.
        ContractError: a target in the installed engine is not what its task describes.
        LaunchError: the engine or a rank failed.
    """
    manifest.require(order.form)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; give another --out")
    version = order.engine.version()
    found = watches(order.tasks, order.engine.name, version)
    if not found:
        raise UsageError(f"none of the tasks has a target in {order.engine.name} {version}; see fk-overlay task list")
    folder.mkdir(parents=True, exist_ok=True)
    recording = Recording(folder.absolute(), found, order.scenario.seed, order.samples, order.budget_bytes)
    eager = eager_scenario(order.scenario, order.engine.name)
    tell("starting the engine, eager, with recorders in it")
    overhead, config = _record(order, eager, recording, tell)
    graphs: tuple[int, ...] = ()
    if order.sizes and eager != order.scenario:
        tell("starting the engine as the scenario is written, for the sizes of its CUDA graphs")
        graphs = sizes(_resolved(order, folder), order.engine.name)
    _write(order, version, recording, overhead, config, graphs)
    return store.read(folder)


def eager_scenario(scenario: Scenario, engine: str) -> Scenario:
    """The scenario without compilation and CUDA graphs, so that Python sees every call."""
    arguments = {**scenario.engine_args.get(engine, {}), **facts(engine).eager}
    return replace(scenario, engine_args={**scenario.engine_args, engine: arguments})


def _record(
    order: Order, scenario: Scenario, recording: Recording, tell: Tell
) -> tuple[dict[str, dict[str, float]], dict[str, Any]]:
    """Returns each workload's wall time with the recorder off and on, and the resolved configuration."""
    signal = Signal(recording.folder / SIGNAL)
    launch = _launch(order, scenario, recording.folder / "launch", recording)
    session = order.engine.start(launch)
    try:
        session.wait_ready(scenario.limits.start_s)
        ranks, config = ranks_of(launch)
        headline = scenario.headline_workload
        session.run(order.warm_up, headline, arrivals=None, timeout_s=scenario.limits.pass_s)
        overhead = {}
        for workload in scenario.workloads:
            tell(f"recording {workload.name}")
            walls = []
            for state, requests in ((State.PAUSED, order.quiet), (State.RECORDING, order.requests)):
                signal.say(state)
                result = session.run(requests[workload.name], workload, arrivals=None, timeout_s=scenario.limits.pass_s)
                signal.say(State.PAUSED)
                walls.append(result.wall_s)
                refuse_failed(workload.name, result.traces)
            overhead[workload.name] = dict(zip(("paused_s", "recording_s"), walls, strict=True))
        signal.say(State.FINISHED)
        wait_for(recording.folder / RANKS, ranks)
    finally:
        session.stop()
    return overhead, config


def _resolved(order: Order, folder: Path) -> dict[str, Any]:
    launch = _launch(order, order.scenario, folder / "launch-as-written", None)
    session = order.engine.start(launch)
    try:
        session.wait_ready(order.scenario.limits.start_s)
        return ranks_of(launch)[1]
    finally:
        session.stop()


def _launch(order: Order, scenario: Scenario, folder: Path, recording: Recording | None) -> Launch:
    (folder / "receipts").mkdir(parents=True)
    arm = Arm(BASELINE)
    made = Plan(order.engine.name, arm.name, arm.digest, "capture", folder / "receipts", capture=recording)
    cache = environment.home() / "caches" / f"{order.engine.name}-{order.engine.version()}"
    return Launch(
        name="capture",
        scenario=scenario,
        model=order.model,
        folder=folder,
        plan=made.write(folder / "plan.json"),
        cache=cache,
        digest=arm.digest,
    )


def ranks_of(launch: Launch) -> tuple[list[int], dict[str, Any]]:
    """Every rank, and the configuration as the first reported it."""
    said = sorted(
        (each for each in processes(launch.receipts) if each["rank"] is not None), key=lambda each: int(each["rank"])
    )
    errors = [error for each in said for error in each["errors"]]
    if not said or errors:
        reason = "; ".join(errors) or "no rank has reported; is the plugin fk_overlay loaded?"
        raise NotEngaged(f"{reason} (log: {launch.log})")
    if len(said) < said[0]["world_size"]:
        raise NotEngaged(f"only {len(said)} of {said[0]['world_size']} ranks have reported (log: {launch.log})")
    return [each["rank"] for each in said], said[0]["config"]


def refuse_failed(workload: str, traces: Sequence[Any]) -> None:
    """Raises :class:`LaunchError` if a request failed."""
    failed = [trace for trace in traces if trace.error is not None or not trace.tokens]
    if failed:
        raise LaunchError(f"workload {workload!r}: {len(failed)} of {len(traces)} requests failed: {failed[0].error}")


def wait_for(folder: Path, ranks: Sequence[int], what: str = "cases") -> None:
    """Return when every rank has written ``what``. Raises :class:`LaunchError` if one cannot, or takes too long."""
    deadline = time.monotonic() + FLUSH_S
    while missing := [rank for rank in ranks if not (folder / f"{rank}.json").is_file()]:
        for error in folder.glob("*.error"):
            said = error.read_text(encoding="utf-8")
            raise LaunchError(f"rank {error.stem} could not write its {what}: {said.splitlines()[-1]}", log=said)
        if time.monotonic() > deadline:
            raise LaunchError(f"ranks {missing} did not write their {what} within {FLUSH_S:.0f} s", state="hung")
        time.sleep(0.05)


def _write(
    order: Order,
    version: str,
    recording: Recording,
    overhead: Mapping[str, Mapping[str, float]],
    config: Mapping[str, Any],
    graphs: tuple[int, ...],
) -> None:
    folder = recording.folder
    paths = sorted((folder / RANKS).glob("*.json"), key=lambda path: int(path.stem))
    ranks = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    rows = [row for said in ranks.values() for row in said["rows"]]
    contracts = {
        task.name: store.contract_hash(contract_for(task, order.engine.name, version))
        for task in order.tasks
        if any(watch.task == task.name for watch in recording.watches)
    }
    described = {
        "fk_overlay": __version__,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "engine": order.engine.name,
        "engine_version": version,
        "model": order.scenario.model.source,
        "dtype": order.scenario.model.dtype,
        "scenario": order.scenario.name,
        "seed": order.scenario.seed,
        "contracts": contracts,
        "graph_sizes": list(graphs),
        "graph_sizes_from": "the configuration that the scenario resolves to" if order.sizes else "not asked for",
        "places": _places(recording, rows),
        "overhead": dict(overhead),
        "config": dict(config),
        "modules": {rank: said["modules"] for rank, said in ranks.items()},
        "gpus": [gpu["name"] for gpu in gpus()],
    }
    store.write(folder, described, rows, order.form)
    shutil.rmtree(folder / RANKS)
    (folder / SIGNAL).unlink()


def _places(recording: Recording, rows: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """What became of every place that was watched."""
    found: dict[str, dict[str, Any]] = {}
    for watch in recording.watches:
        for place in watch.places:
            mine = [row for row in rows if row["target"] == place]
            calls = sum(row["calls"] for row in mine)
            state = "recorded" if mine else "not called under this scenario"
            found[place] = {"task": watch.task, "state": state, "cases": len(mine), "calls": calls}
    return found
