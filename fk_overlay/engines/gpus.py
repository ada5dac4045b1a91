"""What the machine's NVIDIA GPUs are and how they do, asked of the driver's own tool so that CUDA stays untouched. Only
those count that ``CUDA_VISIBLE_DEVICES`` leaves to this process, by index or UUID."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from typing import Any

QUERY = ("name", "driver_version", "clocks.sm", "clocks.mem", "temperature.gpu", "power.draw", "memory.used")


def gpus() -> list[dict[str, Any]]:
    """One dict per GPU with the keys of ``QUERY`` (MHz, degrees Celsius, watts, MiB); empty on a machine without."""
    return [dict(zip(QUERY, map(_value, line), strict=True)) for line in _asked(QUERY)]


def names() -> tuple[str, ...]:
    return tuple(gpu["name"] for gpu in gpus())


def uuids() -> tuple[str, ...]:
    """What tells these cards from all others."""
    return tuple(line[0] for line in _asked(("uuid",)))


def _asked(fields: Sequence[str]) -> list[list[str]]:
    if shutil.which("nvidia-smi") is None:
        return []
    asked = subprocess.run(
        ["nvidia-smi", f"--query-gpu={','.join(('index', 'uuid', *fields))}", "--format=csv,noheader,nounits"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    if asked.returncode != 0:
        return []
    lines = [line.split(", ") for line in asked.stdout.strip().splitlines()]
    return [values for index, uuid, *values in lines if _visible(index, uuid)]


def _visible(index: str, uuid: str) -> bool:
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = [] if chosen is None else [name.strip() for name in chosen.split(",")]
    return chosen is None or any(name == index or (name[:4] == "GPU-" and uuid.startswith(name)) for name in names)


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
