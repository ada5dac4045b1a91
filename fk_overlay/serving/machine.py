"""The machine that a run is made on: what its figures depend on, and which one it is."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from fk_overlay import __version__
from fk_overlay.engines.gpus import gpus, uuids

PACKAGES = ("torch", "triton", "transformers", "flashinfer-python", "numpy")
KIND = ("fk_overlay", "python", "gpus", *PACKAGES)
"""What has to be the same in all launches of a run. The processor need not be: a pair of launches is made on one."""
BOOT = Path("/proc/sys/kernel/random/boot_id")


def machine() -> dict[str, Any]:
    """Versions, processor and GPUs, and under ``host`` a name for this very machine until it is started again."""
    found = {
        "fk_overlay": __version__,
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpu": _cpu(),
    }
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    cards = [{key: card[key] for key in ("name", "driver_version")} for card in gpus()]
    return {**found, "gpus": cards, "host": _host()}


def other_kind(began: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What of ``KIND`` differs between two machines, as ``key (then / now)``."""
    return [f"{key} ({began.get(key)} / {now.get(key)})" for key in KIND if began.get(key) != now.get(key)]


def _host() -> str:
    boot = BOOT.read_text(encoding="ascii").strip() if BOOT.is_file() else platform.node()
    return hashlib.sha256("\n".join([boot, *uuids()]).encode()).hexdigest()[:12]


def _cpu() -> str:
    import psutil

    info = Path("/proc/cpuinfo")
    names = (
        [line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        if info.is_file()
        else []
    )
    return f"{names[0] if names else platform.processor()}, {psutil.cpu_count()} logical cores"
