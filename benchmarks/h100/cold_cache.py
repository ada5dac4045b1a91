#!/usr/bin/env python3
"""How the L2 cache is best made cold: times of a copy and of a sum after it was swept by writing, and by reading.

What sweeping by writing leaves behind has to be written back, in the time of the call that comes next. Prints
microseconds, medians of ``--calls``; ``hot`` is after no sweep. Needs torch alone, and ten seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from statistics import median

import torch

from fk_overlay.bench.cold import SWEPT, ColdCache, l2_bytes
from fk_overlay.tuning.graph_clock import GraphClock

MIB = (1, 4, 16, 64, 256, 1024)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=50)
    given = parser.parse_args()
    buffer = torch.empty(SWEPT * l2_bytes(), dtype=torch.uint8, device="cuda")
    sweeps: dict[str, Callable[[], object]] = {"written": buffer.zero_, "read": ColdCache(), "hot": lambda: None}
    print(f"{torch.cuda.get_device_name()}, L2 {l2_bytes() / 2**20:.0f} MiB\n{'':10}", end="")
    print("".join(f"{name:>10}" for name in sweeps))
    for size in MIB:
        x = torch.ones(size * 2**18, device="cuda")
        y, total = torch.empty_like(x), torch.empty((), device="cuda")
        calls: dict[str, Callable[[], object]] = {
            "sum": lambda x=x, total=total: torch.sum(x, dim=0, out=total),
            "copy": lambda x=x, y=y: y.copy_(x),
        }
        for name, call in calls.items():
            times = (
                median(GraphClock(sweep).times(call, lambda number: None, given.calls)) for sweep in sweeps.values()
            )
            print(f"{size:5} {name:4}" + "".join(f"{seconds * 1e6:10.1f}" for seconds in times), flush=True)


if __name__ == "__main__":
    main()
