"""Counts the uses of a pack's fused-MoE configurations: vLLM and SGLang look them up in a function of one name."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from fk_overlay.overlay.aliases import replace_everywhere


def count_lookups(module: ModuleType, folder: Path, found: Callable[[], None]) -> None:
    """Call ``found`` whenever ``module.get_moe_configs`` answers with what a file in ``folder`` holds."""
    look_up = module.get_moe_configs

    @functools.wraps(look_up)
    def counted(*args: Any, **kwargs: Any) -> Any:
        configs = look_up(*args, **kwargs)
        if configs is not None and any(_holds(path, configs) for path in folder.glob("*.json")):
            found()
        return configs

    replace_everywhere(look_up, counted)


def _holds(path: Path, configs: dict[int, Any]) -> bool:
    held = json.loads(path.read_text(encoding="utf-8"))
    held.pop("triton_version", None)
    return {int(key): value for key, value in held.items()} == configs
