"""Announces fk-overlay's plugin to an engine, also when fk-overlay runs from a checkout that is not installed."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from importlib import metadata
from pathlib import Path

from fk_overlay import __version__

PLUGIN = "fk_overlay"


def announce(env: MutableMapping[str, str], folder: Path, *, group: str, function: str, allowed: str) -> None:
    """Make an engine that starts with ``env`` load the plugin.

    Args:
        folder: may hold a folder for ``PYTHONPATH`` with the entry point, if no installed distribution has it.
        group, function: the entry point's group, and the name in :mod:`fk_overlay.entry`.
        allowed: the variable with which users restrict plugins to a list; the plugin is added to such a list.
    """
    if allowed in env:
        env[allowed] = ",".join(dict.fromkeys((*env[allowed].split(","), PLUGIN)))
    if not _registered(group):
        inherited = env.get("PYTHONPATH", "")
        env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_site(folder, group, function)), inherited)))


def _registered(group: str) -> bool:
    return any(point.name == PLUGIN for point in metadata.entry_points(group=group))


def _site(folder: Path, group: str, function: str) -> Path:
    site = folder / "site"
    info = site / f"fk_overlay-{__version__}.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: fk-overlay\nVersion: {__version__}\n")
    (info / "entry_points.txt").write_text(f"[{group}]\n{PLUGIN} = fk_overlay.entry:{function}\n")
    return site
