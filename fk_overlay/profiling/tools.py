"""NVIDIA's profilers around an engine: how they are called, and what they say as CSV.

``nsys`` records everything with little overhead, and sums kernels by the NVTX ranges around their launches. ``ncu``
runs every kernel that it looks into several times over, so it needs a filter and a budget.
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fk_overlay.errors import UsageError
from fk_overlay.profiling.attribution import OUTSIDE, PREFIX
from fk_overlay.profiling.limits import Budget, ToolName

PARTS_OF = {"ncu": ("NVIDIA Nsight Compute", "nsight-compute"), "nsys": ("NVIDIA Nsight Systems", "nsight-systems-cli")}
"""Product and package of NVIDIA's CUDA repository that each binary comes with."""
METRICS = {
    "gpu__time_duration.sum": "time",
    "sm__throughput.avg.pct_of_peak_sustained_elapsed": "compute",
    "gpu__compute_memory_throughput.avg.pct_of_peak_sustained_elapsed": "memory",
}
"""What ncu measures: duration, and how much of the two roofs is reached (its section SpeedOfLight)."""
TO_US = {"nsecond": 1e-3, "ns": 1e-3, "usecond": 1.0, "us": 1.0, "msecond": 1e3, "ms": 1e3, "second": 1e6, "s": 1e6}
REPORT = "nvtx_kern_sum"


@dataclass(frozen=True, slots=True)
class Kernel:
    """One kernel, all its launches together.

    Attributes:
        task: of a range around its launches, empty outside of all or where ranges are not seen (ncu).
        compute, memory: share of the peak that it reaches, 0 to 1, mean over its launches; None where not measured.
    """

    name: str
    task: str
    calls: int
    us: float
    compute: float | None = None
    memory: float | None = None

    @property
    def achieved(self) -> float | None:
        """Share of the nearer roof."""
        known = [share for share in (self.compute, self.memory) if share is not None]
        return max(known, default=None)


def require(tool: ToolName) -> str:
    """Path of the tool's binary. Raises :class:`UsageError` with how to get it."""
    found = shutil.which(tool)
    if found is None:
        product, package = PARTS_OF[tool]
        raise UsageError(
            f"--tool {tool} needs the binary {tool!r} of {product}, which is not on PATH: install the package {package}"
            " from NVIDIA's CUDA repository, or add the folder bin of a CUDA toolkit to PATH"
        )
    return found


def ncu_command(binary: str, budget: Budget, log: Path) -> tuple[str, ...]:
    """The words before the engine's command. Its standard output is left to the engine."""
    return (
        *(binary, "--target-processes", "all", "--csv", "--page", "raw", "--print-units", "base"),
        *("--kernel-name", f"regex:{budget.kernel}"),
        *("--launch-skip", str(budget.skip), "--launch-count", str(budget.launches)),
        *("--metrics", ",".join(METRICS), "--log-file", str(log)),
    )


def nsys_command(binary: str, output: Path) -> tuple[str, ...]:
    return (
        *(binary, "profile", "--trace", "cuda,nvtx", "--sample", "none", "--cpuctxsw", "none"),
        *("--cuda-graph-trace", "node", "--trace-fork-before-exec", "true"),
        *("--force-overwrite", "true", "--output", str(output)),
    )


def nsys_export(binary: str, output: Path) -> list[str]:
    """Prints kernels by NVTX range as CSV."""
    return [binary, "stats", "--report", REPORT, "--format", "csv", "--force-export", "true", f"{output}.nsys-rep"]


def read_ncu(text: str) -> list[Kernel]:
    """Kernels of ncu's raw page as CSV, the one that took longest first.

    Raises:
        UsageError: there is no kernel in it; the message quotes what ncu said.
    """
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith('"ID"')), None)
    if start is None:
        said = next((line for line in reversed(lines) if line.startswith("==")), "nothing")
        raise UsageError(f"ncu measured no kernel; it says: {said}. Give another --kernel, or see the log")
    units, *rows = csv.DictReader(lines[start:])
    found: dict[str, list[dict[str, float]]] = {}
    for row in rows:
        found.setdefault(row["Kernel Name"], []).append(dict(_measured(row, units)))
    return sorted((_kernel(name, launches) for name, launches in found.items()), key=lambda kernel: -kernel.us)


def read_nsys(text: str) -> list[Kernel]:
    """Kernels by the task of the range around them. A kernel inside the ranges of several tasks stands in a row for
    each: the sum of a task's rows is its total time.

    Raises:
        UsageError: there is no such table.
    """
    lines = text.splitlines()
    start = next((number for number, line in enumerate(lines) if line.startswith("NVTX Range")), None)
    if start is None:
        raise UsageError(f"nsys saw no kernel inside a range; it says: {lines[-1] if lines else 'nothing'}")
    kernels = [
        Kernel(row["Kernel Name"], _task(row["NVTX Range"]), int(row["Kern Inst"]), float(row["Total Time (ns)"]) / 1e3)
        for row in csv.DictReader(lines[start:])
        if row.get("Kernel Name")
    ]
    return sorted(kernels, key=lambda kernel: -kernel.us)


def _task(name: str) -> str:
    bare = name.strip().lstrip(":")
    return bare.removeprefix(PREFIX) if bare.startswith(PREFIX) else OUTSIDE


def _measured(row: dict[str, str], units: dict[str, str]) -> Iterator[tuple[str, float]]:
    for metric, name in METRICS.items():
        if text := row.get(metric, "").replace(",", ""):
            value = float(text)
            yield name, value * TO_US.get(units.get(metric, ""), 1e-3) if name == "time" else value / 100


def _kernel(name: str, launches: list[dict[str, float]]) -> Kernel:
    us = sum(launch.get("time", 0.0) for launch in launches)
    return Kernel(name, OUTSIDE, len(launches), us, _mean(launches, "compute"), _mean(launches, "memory"))


def _mean(launches: Iterable[dict[str, float]], name: str) -> float | None:
    values = [launch[name] for launch in launches if name in launch]
    return sum(values) / len(values) if values else None
