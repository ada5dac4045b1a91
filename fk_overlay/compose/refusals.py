"""Patches that are refused before any launch: their target is not what their task describes, or a custom operator of
theirs does not keep torch.compile and CUDA graphs working. Each is looked at alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from fk_overlay import catalog
from fk_overlay.compose.outcome import Dropped
from fk_overlay.core import Arm, Pack, Patch
from fk_overlay.engines.base import Engine
from fk_overlay.errors import ContractError, EngineError, PackError
from fk_overlay.integrity.apart import run_apart
from fk_overlay.serving.judge import checked_plan

HOW = "before any launch"


def refusals(pack: Pack, patches: Mapping[str, Patch], engine: Engine) -> Iterator[Dropped]:
    """The patches that are refused. Operators are checked in processes of their own, which a kernel may end."""
    tasks = catalog.tasks()
    for name, patch in patches.items():
        arm = Arm(name, (replace(pack, patches=(patch,)),))
        try:
            plan = checked_plan(arm, engine, tasks)
        except (ContractError, EngineError) as error:
            yield Dropped(name, "contract_error", (name,), HOW, str(error))
            continue
        if _has_cases(pack, patch):
            try:
                run_apart("fk_overlay.integrity.operators", plan)
            except PackError as error:
                yield Dropped(name, "refused", (name,), HOW, str(error))


def _has_cases(pack: Pack, patch: Patch) -> bool:
    file = pack.folder / patch.file
    return file.is_file() and b"def opcheck_cases" in file.read_bytes()
