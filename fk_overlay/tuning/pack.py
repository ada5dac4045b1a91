"""Makes a pack of what was tuned: the engine's files, and bounds that keep them from every other card and version."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from packaging.version import Version

from fk_overlay.catalog import PACK_FILE
from fk_overlay.errors import UsageError
from fk_overlay.lineage import record

FOLDER = "configs"
TASK = "fused_experts"
"""The task whose kernels read the files."""


def make(tuned: Path, engine: str, folder: Path) -> Path:
    """Write a pack with the tuning seam from what ``fk-overlay tune moe --out tuned`` left for ``engine``.

    Returns the pack's folder, which must not hold one yet.

    Raises:
        UsageError: nothing was tuned for the engine, on more than one card or version, or the pack is there already.
    """
    found = sorted((tuned / engine).glob("*.json"))
    facts = [head for head in _heads(tuned) if head["engine"] == engine]
    if not found or not facts:
        raise UsageError(f"{tuned} holds nothing tuned for {engine}; tune it: fk-overlay tune moe --out {tuned}")
    if len({json.dumps(_where(each)) for each in facts}) > 1:
        raise UsageError(f"{tuned} was tuned on several cards or versions; give each an --out of its own")
    if (folder / PACK_FILE).exists():
        raise UsageError(f"{folder} holds a pack already; give another folder")
    (folder / FOLDER).mkdir(parents=True)
    for path in found:
        shutil.copy(path, folder / FOLDER)
    (folder / PACK_FILE).write_text(_pack(folder.name, engine, facts), encoding="utf-8")
    return folder


def _heads(tuned: Path) -> list[dict[str, Any]]:
    return [next(iter(record.read(folder))) for folder in sorted((tuned / "journal").glob("*"))]


def _where(head: Mapping[str, Any]) -> dict[str, str]:
    return {name: head[name] for name in ("gpu", "engine_version", "triton")}


def _pack(name: str, engine: str, heads: list[dict[str, Any]]) -> str:
    """JSON strings are TOML strings."""
    where = _where(heads[0])
    shapes = sorted({f"{head['shape']['name']} tp {head['ranks']}" for head in heads})
    laws = sorted({head["routing"]["law"] for head in heads})
    summary = (
        f"Configurations of fused experts for {', '.join(shapes)} on {where['gpu']}, tuned under {laws[0]} routing."
    )
    return f"""name = {json.dumps(name)}
summary = {json.dumps(summary)}

[requires]
gpus = [{json.dumps(where["gpu"])}]

[requires.engines]
{engine} = "=={Version(where["engine_version"]).public}"

[requires.packages]
triton = "=={Version(where["triton"]).public}"

[[patch]]
task = "{TASK}"
file = "{FOLDER}"
seam = "tuning"
engines = ["{engine}"]
"""
