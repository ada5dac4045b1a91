"""Tunes and judges the fused experts of Qwen3-30B-A3B on one H100, in steps that each end within ten minutes.

    python benchmarks/h100/moe.py tune 128,256,512      # then the other batch sizes of TOKENS, in groups
    python benchmarks/h100/moe.py pack                  # a pack of the tuned files, as often as there are more
    python benchmarks/h100/moe.py profile               # profile of the engine as it is, and with the packs
    python benchmarks/h100/moe.py judge batch           # again until it ends by itself: 256 at once, and one alone
    python benchmarks/h100/moe.py judge prefill         # 4096 tokens in, 16 out
    python benchmarks/h100/moe.py judge serve           # HTTP server; open loop at 70 % of saturation

Every step goes on where it stopped, from ``reports/runs/h100-moe``, which ``$OUT/h100-moe.tar.xz`` gets a copy of if OUT
is set. To go on elsewhere, unpack that there. Needs fk-overlay, vLLM and one H100; on anything else the packs refuse to
run.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

STATE = Path("reports/runs/h100-moe")
TUNED, PACK = STATE / "tuned", STATE / "h100-moe-tuned"
KERNELS = Path("patches/h100-moe")
SHAPE = "qwen3-30b-a3b"
TOKENS = ("128,256,512", "2048,4096,8192", "1,2,4,8", "16,32,64,1024")
"""A group is one step: most of it goes into compiling configurations that its batch sizes then share."""
STEP_S = 560.0
"""A step is interrupted after so many seconds; it then leaves its record whole and says how to go on."""
STOPPING_S = 30.0
LOADING_S = 40.0
"""Importing the engine and drawing the weights, ahead of a tuning's own budget."""


def overlay(*arguments: str | Path, seconds: float = STEP_S) -> int:
    """One ``fk-overlay`` call, interrupted when its time is over. Returns its exit code."""
    command = [sys.executable, "-m", "fk_overlay.cli.main", *map(str, arguments)]
    process = subprocess.Popen(command)
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        return process.wait(STOPPING_S)


def tune(tokens: str = TOKENS[0], shape: str = SHAPE, ranks: str = "1") -> int:
    asked = ("--shape", shape, "--tp", ranks, "--tokens", tokens, "--budget-s", str(STEP_S - STOPPING_S - LOADING_S))
    return overlay("tune", "moe", *asked, "--out", TUNED)


def pack() -> int:
    shutil.rmtree(PACK, ignore_errors=True)
    return overlay("tune", "pack", TUNED, PACK)


def packs() -> list[str | Path]:
    """The tuned files and the kernels, as far as they are there: each is judged alone, against one baseline."""
    there = [folder for folder in (PACK, KERNELS) if (folder / "pack.toml").is_file()]
    if not there:
        raise SystemExit(f"neither {PACK} nor {KERNELS} is there; tune and pack first")
    return [argument for folder in there for argument in ("--patch", folder)]


def judge(load: str) -> int:
    run = STATE / f"run-{load}"
    where = ("--resume", run) if (run / "records.jsonl").is_file() else ("--out", run)
    return overlay("run", "--scenario", f"qwen3-30b-a3b-h100-{load}", *packs(), "--mode", "decide", *where)


def profile() -> int:
    """Profiles under the batch load, of each pack with its baseline."""
    scenario = ("--scenario", "qwen3-30b-a3b-h100-batch")
    chosen = packs()[1::2]
    return max(
        overlay(
            "profile", *scenario, "--patch", each, "--out", STATE / f"profile-{Path(each).name}", seconds=STEP_S / 2
        )
        for each in chosen
    )


STEPS: dict[str, Callable[..., int]] = {"tune": tune, "pack": pack, "judge": judge, "profile": profile}


def keep() -> None:
    """Pack what is worth keeping: everything but compile caches."""
    out = os.environ.get("OUT")
    if out and STATE.is_dir():
        with tarfile.open(Path(out) / "h100-moe.tar.xz", "w:xz") as archive:
            archive.add(STATE, "h100-moe", filter=lambda each: None if "/cache" in each.name else each)


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] not in STEPS:
        raise SystemExit(__doc__)
    try:
        code = STEPS[sys.argv[1]](*sys.argv[2:])
    finally:
        keep()
    sys.exit(code)


if __name__ == "__main__":
    main()
