"""A pack as SGLang's own plugin, in a process with SGLang in it and no overlay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from engine.real_engine import PACKS, only

pytestmark = [pytest.mark.engine, only("sglang"), pytest.mark.timeout(200)]

NORM = """
import json, sys
from fk_overlay.engines.sglang import standins
standins.install()
import torch
from sglang.srt.plugins import load_plugins
load_plugins()
from sglang.srt.layers.layernorm import RMSNorm
x = torch.linspace(1.0, 2.0, 8).repeat(2, 1)
plain = x / x.pow(2).mean(-1, keepdim=True).sqrt()
ratio = (RMSNorm(8)(x) / plain).mean().item()
print(json.dumps({"ratio": ratio, "overlay": "fk_overlay.overlay" in sys.modules}))
"""
"""The stand-ins are what SGLang needs to be imported on a CPU; the plugin does not know of them."""


def normalised(path: Path) -> dict[str, Any]:
    env = {**os.environ, "SGLANG_USE_CPU_ENGINE": "1", "FK_TEST_FACTOR": "2"}
    env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(path), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [sys.executable, "-c", NORM], env=env, capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def test_sglangs_hooks_call_the_kernel(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "fk_overlay.cli.main", "pack", "export", str(PACKS / "wrong")]
    command += ["--engine", "sglang", "--out", str(tmp_path / "out")]
    subprocess.run(command, check=True, timeout=60)
    assert normalised(tmp_path / "nothing") == {"ratio": pytest.approx(1.0, abs=0.01), "overlay": False}
    assert normalised(tmp_path / "out") == {"ratio": pytest.approx(2.0, abs=0.02), "overlay": False}
