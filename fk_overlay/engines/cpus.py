"""How much processor time the machine withholds from those that want it, as Linux counts it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import psutil

PRESSURE = Path("/proc/pressure/cpu")
QUOTA = Path("/sys/fs/cgroup/cpu.stat")


def withheld() -> dict[str, float]:
    """Seconds since the machine started. What the system does not tell is absent.

    ``waiting``    some task was ready and had no processor (pressure stall information)
    ``stolen``     a hypervisor ran somebody else, mean of the processors
    ``throttled``  this control group had used up its quota
    """
    found = {
        "waiting": _microseconds(PRESSURE, r"^some .*\btotal=(\d+)"),
        "stolen": getattr(psutil.cpu_times(), "steal", 0.0) / (psutil.cpu_count() or 1),
        "throttled": _microseconds(QUOTA, r"^throttled_usec (\d+)"),
    }
    return {key: value for key, value in found.items() if value is not None}


def since(before: Mapping[str, float]) -> dict[str, float]:
    """Seconds withheld after ``before`` was taken."""
    return {key: round(value - before[key], 6) for key, value in withheld().items() if key in before}


def _microseconds(path: Path, pattern: str) -> float | None:
    found = re.search(pattern, path.read_text(encoding="ascii"), re.MULTILINE) if path.is_file() else None
    return int(found[1]) / 1e6 if found else None
