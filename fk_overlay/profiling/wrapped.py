"""A profile by a tool around the engine's process: kernels of the eager engine under the headline load, before and
after a patch.

The record holds ``profile``, what was asked for; ``launch``, one line each; ``kernel``, one line for each arm and
kernel.
"""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from fk_overlay.capture.run import Tell, eager_scenario, ranks_of, refuse_failed
from fk_overlay.core import Arm
from fk_overlay.engines.base import Launch
from fk_overlay.errors import LaunchError, UsageError
from fk_overlay.lineage.record import Recorder
from fk_overlay.plan import Profiling
from fk_overlay.profiling import tools
from fk_overlay.profiling.limits import Budget, ToolName
from fk_overlay.profiling.run import Order, header, prepared, watched
from fk_overlay.profiling.tools import Kernel


@dataclass(frozen=True, slots=True)
class Wrapped:
    """What a tool saw.

    Attributes:
        kernels: by arm, the baseline first.
    """

    engine: str
    engine_version: str
    scenario: str
    tool: ToolName
    kernels: Mapping[str, tuple[Kernel, ...]]


def profile(order: Order, budget: Budget, folder: Path, tell: Tell) -> Wrapped:
    """Make the launches, record them in ``folder`` and read what the tool wrote.

    Raises:
        UsageError: the tool is not installed, the folder is not empty, or the tool saw no kernel.
        LaunchError: the engine failed, or the tool did.
    """
    binary = tools.require(budget.tool)
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty; give another --out")
    version = order.engine.version()
    with Recorder(folder) as record:
        record.add("profile", **header(order, version, folder), tool=budget.tool, budget=asdict(budget))
        found: dict[str, tuple[Kernel, ...]] = {}
        for arm in order.arms:
            tell(f"{arm.name}, inside {budget.tool}")
            found[arm.name] = tuple(_kernels(order, arm, budget, binary, folder))
            record.add("launch", launch=f"{arm.name}-{budget.tool}", arm=arm.name, tool=budget.tool)
            record.add_all([{"kind": "kernel", "arm": arm.name, **asdict(kernel)} for kernel in found[arm.name]])
    return Wrapped(order.engine.name, version, order.scenario.name, budget.tool, found)


def _kernels(order: Order, arm: Arm, budget: Budget, binary: str, folder: Path) -> Sequence[Kernel]:
    place = folder.absolute() / "launches" / f"{arm.name}-{budget.tool}"
    watches = watched(order.tasks.values(), order.engine.name, order.engine.version())
    scenario = replace(eager_scenario(order.scenario, order.engine.name), driver="offline")
    launch = prepared(order, arm, scenario, Profiling(place, watches, "nvtx"))
    output = place / "kernels"
    if budget.tool == "ncu":
        prefix = tools.ncu_command(binary, budget, output.with_suffix(".csv"))
    else:
        prefix = tools.nsys_command(binary, output)
    _sent(order, replace(launch, prefix=prefix, patience_s=budget.finish_s))
    if budget.tool == "ncu":
        return tools.read_ncu(_text(output.with_suffix(".csv"), launch))
    return tools.read_nsys(_exported(binary, output, launch))


def _sent(order: Order, launch: Launch) -> None:
    headline, limits = launch.scenario.headline_workload, launch.scenario.limits
    session = order.engine.start(launch)
    try:
        session.wait_ready(limits.start_s)
        ranks_of(launch)
        for requests in (order.loads.warm_up, order.loads.profiled):
            result = session.run(requests, headline, arrivals=None, timeout_s=limits.pass_s)
            refuse_failed(headline.name, result.traces)
    finally:
        session.stop()


def _text(path: Path, launch: Launch) -> str:
    if not path.is_file():
        raise LaunchError(f"the tool left no {path}; its log is {launch.log}")
    return path.read_text(encoding="utf-8", errors="replace")


def _exported(binary: str, output: Path, launch: Launch) -> str:
    done = subprocess.run(tools.nsys_export(binary, output), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LaunchError(f"nsys stats ended with code {done.returncode}: {done.stderr.strip()}; see {launch.log}")
    return done.stdout
