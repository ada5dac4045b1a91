"""A profile: start the engine eager with ranges in it, send the headline load, collect where the time went; the same
with a patch; and, where the scenario compiles or uses CUDA graphs on a GPU, once more as it is written, for the kernels
that really run.

The record (``records.jsonl``) holds ``profile``, what was asked for; ``launch``, one line each; ``task`` and ``part``,
the rows of the breakdown; ``breakdown``, its sums.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from fk_overlay import __version__, environment
from fk_overlay.capture.run import eager_scenario, ranks_of, refuse_failed, wait_for
from fk_overlay.capture.signal import Signal, State
from fk_overlay.core import Arm, Request, Scenario, Task
from fk_overlay.engines.base import Engine, Launch
from fk_overlay.engines.gpus import gpus
from fk_overlay.errors import UsageError
from fk_overlay.lineage.record import Recorder
from fk_overlay.plan import Profiling, Watch, make, watches
from fk_overlay.profiling import recorder
from fk_overlay.profiling.attribution import Usage, by_name, merged
from fk_overlay.profiling.breakdown import Breakdown, breakdown, places_of

Tell = Callable[[str], None]
WATCHED = ("method", "function", "model", "ir")
"""Seams whose targets can have a range around them."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the user asked for.

    Attributes:
        arms: the baseline, then the patched one if there is any.
        loads: of the headline workload: the one that is profiled; as many requests with other prompts, sent before it,
            which tell what profiling costs; what warms up; and one request that ends the profile.
        achieved: share of its roofline that the engine's own code reaches, by task, where a bench has found it.
    """

    engine: Engine
    scenario: Scenario
    model: Path
    tasks: Mapping[str, Task]
    arms: tuple[Arm, ...]
    loads: Loads
    achieved: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Loads:
    profiled: Sequence[Request]
    quiet: Sequence[Request]
    warm_up: Sequence[Request]
    last: Sequence[Request]


@dataclass(frozen=True, slots=True)
class Launched:
    """One launch: where its time went, and its wall time without and with the profiler, in seconds."""

    usage: Usage
    quiet_s: float
    profiled_s: float


@dataclass(frozen=True, slots=True)
class Profile:
    """A whole profile.

    Attributes:
        eager: with calls seen; ``written``: as the scenario is written, by kernel names alone, None where that is the
            same or cannot be seen.
    """

    engine: str
    engine_version: str
    scenario: str
    pack: str
    eager: Breakdown
    written: Breakdown | None
    overhead: Mapping[str, float]


def profile(order: Order, folder: Path, tell: Tell) -> Profile:
    """Make the launches, record them in ``folder`` and put their results together.

    Raises:
        UsageError: the folder is not empty, or no task has a target in this release.
        ContractError: a target in the installed engine is not what its task describes.
        LaunchError: the engine or a rank failed.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; give another --out")
    version = order.engine.version()
    found = watched(order.tasks.values(), order.engine.name, version)
    if not found:
        raise UsageError(f"no task has a target in {order.engine.name} {version}; see fk-overlay task list")
    with Recorder(folder) as record:
        record.add("profile", **header(order, version, folder))
        launches = Launches(order, found, folder, record, tell)
        eager = [launches.eager(arm) for arm in order.arms]
        written: list[Launched] = []
        if launches.eager_scenario != order.scenario and gpus():
            written = [launches.written(arm, each.usage) for arm, each in zip(order.arms, eager, strict=True)]
        made = Profile(
            engine=order.engine.name,
            engine_version=version,
            scenario=order.scenario.name,
            pack=order.arms[-1].name if len(order.arms) > 1 else "",
            eager=_breakdown(order, found, eager),
            written=_breakdown(order, found, written) if written else None,
            overhead={arm.name: each.profiled_s / each.quiet_s for arm, each in zip(order.arms, eager, strict=True)},
        )
        _record(record, made)
    return made


def watched(tasks: Iterable[Task], engine: str, version: str) -> tuple[Watch, ...]:
    """The targets that get ranges in this release."""
    return tuple(watch for watch in watches(tasks, engine, version) if watch.target.seam in WATCHED)


class Launches:
    """The launches of one profile."""

    def __init__(self, order: Order, found: tuple[Watch, ...], folder: Path, record: Recorder, tell: Tell) -> None:
        self._order, self._found, self._folder = order, found, folder
        self._record, self._tell = record, tell
        self.eager_scenario = eager_scenario(order.scenario, order.engine.name)

    def eager(self, arm: Arm) -> Launched:
        """With ranges, and without compilation and CUDA graphs, so that Python sees every call."""
        self._tell(f"{arm.name}, eager")
        walls, files = self._made(arm, self.eager_scenario, "torch")
        return Launched(merged([recorder.read(file) for file in files]), *walls)

    def written(self, arm: Arm, learned: Usage) -> Launched:
        """As the scenario is written, the kernels given to tasks by their names."""
        self._tell(f"{arm.name}, as the scenario is written")
        walls, files = self._made(arm, self._order.scenario, "kernels")
        kernels = [recorder.read_kernels(file) for file in files]
        return Launched(merged([by_name(seen, learned, window_us) for seen, window_us in kernels]), *walls)

    def _made(self, arm: Arm, scenario: Scenario, tool: Literal["torch", "kernels"]) -> tuple[list[float], list[Path]]:
        """The wall times, and a file for each rank."""
        place = self._folder.absolute() / "launches" / f"{arm.name}-{tool}"
        launch = prepared(self._order, arm, scenario, Profiling(place, self._found, tool))
        walls, ranks = _sent(self._order, launch)
        facts = {"tool": tool, "ranks": len(ranks), "quiet_s": walls[0], "profiled_s": walls[1]}
        self._record.add("launch", launch=launch.name, arm=arm.name, log=str(launch.log), **facts)
        return walls, [place / recorder.RANKS / f"{rank}.json" for rank in ranks]


def prepared(order: Order, arm: Arm, scenario: Scenario, profiling: Profiling) -> Launch:
    """A launch whose plan puts the arm's patches and the ranges into the engine."""
    folder = profiling.folder
    (folder / "receipts").mkdir(parents=True)
    version = order.engine.version()
    plan = make(arm, order.tasks, order.engine.name, version, purpose="profile", receipts=folder / "receipts")
    return Launch(
        name=folder.name,
        scenario=scenario,
        model=order.model,
        folder=folder,
        plan=replace(plan, profile=profiling).write(folder / "plan.json"),
        cache=environment.home() / "caches" / f"{order.engine.name}-{version}",
        digest=arm.digest,
    )


def _sent(order: Order, launch: Launch) -> tuple[list[float], list[int]]:
    """Send the loads. Returns the wall times without and with the profiler, and the ranks."""
    signal = Signal(launch.folder / recorder.SIGNAL)
    scenario, headline = launch.scenario, launch.scenario.headline_workload
    session = order.engine.start(launch)
    try:
        session.wait_ready(scenario.limits.start_s)
        ranks, _ = ranks_of(launch)

        def send(requests: Sequence[Request]) -> float:
            result = session.run(requests, headline, arrivals=None, timeout_s=scenario.limits.pass_s)
            refuse_failed(headline.name, result.traces)
            return result.wall_s

        send(order.loads.warm_up)
        walls = [send(order.loads.quiet)]
        signal.say(State.RECORDING)
        walls.append(send(order.loads.profiled))
        signal.say(State.FINISHED)
        send(order.loads.last)
        wait_for(launch.folder / recorder.RANKS, ranks, "profile")
    finally:
        session.stop()
    return walls, ranks


def _breakdown(order: Order, found: Sequence[Watch], launched: Sequence[Launched]) -> Breakdown:
    places = places_of([(watch.task, watch.places) for watch in found])
    after = launched[1].usage if len(launched) > 1 else None
    return breakdown(launched[0].usage, after, order.tasks, places, order.achieved)


def header(order: Order, version: str, folder: Path) -> dict[str, Any]:
    return {
        "run_id": folder.name,
        "created": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "fk_overlay": __version__,
        "engine": order.engine.name,
        "engine_version": version,
        "scenario": {key: value for key, value in asdict(order.scenario).items() if key != "folder"},
        "requests": len(order.loads.profiled),
        "output_tokens": sum(request.output_len for request in order.loads.profiled),
        "arms": [{"name": arm.name, "digest": arm.digest} for arm in order.arms],
        "gpus": [gpu["name"] for gpu in gpus()],
    }


def _record(record: Recorder, made: Profile) -> None:
    for how, found in (("eager", made.eager), ("as written", made.written)):
        if found is None:
            continue
        for row in found.rows:
            plain = asdict(row)
            parts = plain.pop("parts")
            record.add("task", how=how, **plain, at_most=row.at_most, change=row.change)
            record.add_all([{"kind": "part", "how": how, "task": row.task, **part} for part in parts])
        sums = {key: value for key, value in asdict(found).items() if key != "rows"}
        record.add("breakdown", how=how, **sums)
