"""Patches that are refused before any launch: their target is not what their task describes, or a custom operator of
theirs does not keep torch.compile and CUDA graphs working. Each is looked at alone."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from fk_overlay import catalog
from fk_overlay.compose.outcome import Dropped
from fk_overlay.core import Arm, Pack, Patch
from fk_overlay.engines.base import Engine
from fk_overlay.errors import ContractError, EngineError
from fk_overlay.plan import Plan
from fk_overlay.serving.judge import checked_plan

OPCHECK_S = 600.0
"""How long the check of one patch's operators may take."""
HOW = "before any launch"


def refusals(pack: Pack, patches: Mapping[str, Patch], engine: Engine, folder: Path) -> Iterator[Dropped]:
    """The patches that are refused.

    Args:
        folder: for the plans by which operators are checked, in processes of their own: a kernel may end its process.
    """
    tasks = catalog.tasks()
    for name, patch in patches.items():
        arm = Arm(name, (replace(pack, patches=(patch,)),))
        try:
            plan = checked_plan(arm, engine, tasks)
        except (ContractError, EngineError) as error:
            yield Dropped(name, "contract_error", (name,), HOW, str(error))
            continue
        if _has_cases(pack, patch) and (reason := _opcheck(plan, folder / f"opcheck-{name}.json")):
            yield Dropped(name, "refused", (name,), HOW, reason)


def _has_cases(pack: Pack, patch: Patch) -> bool:
    file = pack.folder / patch.file
    return file.is_file() and b"def opcheck_cases" in file.read_bytes()


def _opcheck(plan: Plan, path: Path) -> str:
    """What speaks against the plan's operators, nothing if they pass."""
    path.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "fk_overlay.integrity.operators", str(plan.write(path))]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=OPCHECK_S, check=False)
    except subprocess.TimeoutExpired:
        return f"its operators were not checked within {OPCHECK_S:.0f} s"
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().splitlines()
    return said[-1] if said else f"the process that checked its operators ended with code {done.returncode}"
