"""A pack as a plugin of SGLang's own, for servers that do not have fk-overlay: nothing is counted and no receipt is
left, so what it does was judged beforehand."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from fk_overlay import packs
from fk_overlay.core import Pack
from fk_overlay.engines.sglang import hooks
from fk_overlay.errors import PackError, UsageError
from fk_overlay.plan import Plan, Swap

VERSION = "0"
SEAMS = ("method", "function", "model")


def export(pack: Pack, plan: Plan, release: str, out: Path) -> Path:
    """Write the plugin's package and its entry point to ``out``, which then goes on ``PYTHONPATH``.

    Args:
        plan: the pack's, checked against the installed SGLang ``release``; the plugin refuses any other.

    Returns the package's folder.

    Raises:
        PackError: a patch has a seam that hooks cannot stand for.
        UsageError: the plugin is already there.
    """
    described = [_hook(swap) for swap in plan.swaps]
    name = f"fk_pack_{pack.name.replace('-', '_')}"
    package = out / name
    if package.exists():
        raise UsageError(f"{package} is already there; remove it, or give another --out")
    for path in packs.files(pack.folder):
        copy = package / "kernels" / path.relative_to(pack.folder)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    shutil.copyfile(hooks.__file__, package / "__init__.py")
    said = {"pack": pack.name, "digest": pack.digest, "release": release, "hooks": described}
    (package / "hooks.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    info = out / f"{name}-{VERSION}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {VERSION}\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[sglang.srt.plugins]\n{name} = {name}:register\n", encoding="utf-8")
    return package


def _hook(swap: Swap) -> dict[str, Any]:
    """How ``hooks.json`` describes a swap."""
    if swap.seam not in SEAMS:
        raise PackError(f"SGLang has no hook for the {swap.seam} seam of {swap.task}; serve the pack with fk-overlay")
    module = swap.file.relative_to(swap.pack_folder).with_suffix("").as_posix().replace("/", ".")
    target, name = swap.target, swap.target.qualname
    owner, members = (f"{target.module}.{name}", target.members) if target.members else (target.module, (name,))
    return {
        "module": module,
        "symbol": swap.symbol,
        "seam": swap.seam,
        "name": name,
        "owner": owner,
        "members": members,
    }
